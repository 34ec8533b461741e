"""The sandbox's Google against Google's own code (protobufs and google-auth) and its documented rules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import google.auth.transport.requests
import httpx
import pytest
from google.ads.googleads.v26.errors.types import errors as google_errors
from google.ads.googleads.v26.services.types.customer_service import ListAccessibleCustomersResponse
from google.ads.googleads.v26.services.types.google_ads_service import SearchGoogleAdsStreamResponse
from google.oauth2.credentials import Credentials
from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from sandbox.faults import Fault, FaultKind
from sandbox.gaql import QueryRefused, parse
from sandbox.google_query import SELECTABLE
from sandbox.google_rows import FIELDS
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Account, Grant, World
from sivera.platforms import google as client
from sivera.values import BudgetKind, CampaignStatus, PlatformName
from tests.conftest import PATIENCE_SECONDS
from tests.unit.platforms.test_google import gaql_field

GOOGLE = PlatformName.GOOGLE
CAMPAIGNS, CLIENTS = client.CAMPAIGN_QUERY, client.ACCOUNT_QUERY
METRICS = client.METRICS_QUERY.format(since="2026-11-01", until="2026-11-20")
CHANGED = "SELECT change_status.resource_name FROM change_status"


@dataclass
class Caller:
    """Calls the sandbox as a grant's user does."""

    url: str
    http: httpx.Client
    world: World
    grant: Grant
    token: str

    def ask(self, query: str, customer_id: str | None = None, login_id: str | None = None) -> httpx.Response:
        """Send a query for the account that the user reaches directly, or for another customer."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"login-customer-id": login_id} if login_id else {})
        url = f"{self.url}/v26/customers/{customer_id or self.account.id}/googleAds:searchStream"
        return self.http.post(url, headers=headers, json={"query": query})

    def rows(self, query: str) -> list[dict[str, Any]]:
        return [row for chunk in self.ask(query).raise_for_status().json() for row in chunk.get("results", [])]

    def renew(self, **form: str) -> httpx.Response:
        """Ask for a new access token; `form` replaces what is right."""
        right = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        right["refresh_token"] = self.world.issue_refresh(self.grant)
        return self.http.post(f"{self.url}/token", data=right | form)

    @property
    def account(self) -> Account:
        return self.world.accounts_of(self.grant)[0]


@pytest.fixture
def caller(world: World, sandbox: str) -> Iterator[Caller]:
    """A caller for a grant of three accounts with eight campaigns each."""
    grant = world.add_grant(GOOGLE, accounts=3, campaigns=8)
    with httpx.Client(timeout=PATIENCE_SECONDS) as http:
        yield Caller(f"{sandbox}/google", http, world, grant, world.issue_access(grant)[0])


# -- Google's own code ------------------------------------------------------------------------------------------------


def test_every_field_of_the_sandbox_is_googles_and_can_be_selected(caller: Caller) -> None:
    assert not [name for group, names in FIELDS.items() for name in names if gaql_field(f"{group}.{name}") is None]
    for resource, groups in SELECTABLE.items():
        fields = ", ".join(f"{group}.{name}" for group in groups for name in FIELDS[group])
        days = "WHERE segments.date BETWEEN '2026-11-18' AND '2026-11-20'"
        where = {
            "campaign": days,
            "customer": days,
            "change_status": "WHERE change_status.last_change_date_time BETWEEN '2026-11-01' AND '2026-11-21' LIMIT 1",
        }.get(resource, "")
        assert caller.ask(" ".join(["SELECT", fields, "FROM", resource, where])).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        CAMPAIGNS,
        METRICS,
        client.TOTALS_QUERY.format(since="2026-11-01", until="2026-11-20"),
        CLIENTS,
        client.CHANGE_QUERY.format(since="2026-11-19", until="2026-11-21 00:00:00", limit=10_000),
    ],
    ids=["campaigns", "metrics", "totals", "accounts", "changes"],
)
def test_answers_are_googles_protobufs(caller: Caller, query: str) -> None:
    caller.world.change_campaign(GOOGLE, caller.account.id, "20000000002", name="Retargeting 3")
    for part in caller.ask(query).raise_for_status().json():
        message = SearchGoogleAdsStreamResponse.pb(SearchGoogleAdsStreamResponse())
        json_format.ParseDict(part, message)
        assert message.results
        assert json_format.MessageToDict(message) == part


def test_the_list_of_customers_is_googles_protobuf(caller: Caller) -> None:
    url, headers = f"{caller.url}/v26/customers:listAccessibleCustomers", {"Authorization": f"Bearer {caller.token}"}
    message = ListAccessibleCustomersResponse.pb(ListAccessibleCustomersResponse())
    json_format.ParseDict(caller.http.get(url, headers=headers).json(), message)
    assert list(message.resource_names) == [f"customers/{caller.grant.manager_id}", f"customers/{caller.account.id}"]
    assert caller.http.get(url).json()["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("rotates", [False, True])
def test_google_auth_refreshes_a_token_and_adopts_a_rotated_refresh_token(caller: Caller, rotates: bool) -> None:
    caller.world.clock.set(datetime.now(UTC))
    caller.grant.rotates = rotates
    first = caller.world.issue_refresh(caller.grant)
    credentials = Credentials(None, first, None, f"{caller.url}/token", CLIENT_ID, CLIENT_SECRET)  # type: ignore[no-untyped-call]
    credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]
    assert caller.world.grant_of_access(GOOGLE, str(credentials.token)) is caller.grant
    assert (credentials.refresh_token != first) is rotates
    assert credentials.expiry is not None
    assert timedelta(minutes=59) < credentials.expiry - datetime.now(UTC).replace(tzinfo=None) <= timedelta(hours=1)


# -- errors -----------------------------------------------------------------------------------------------------------


def failure_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, category and code of the only error in a reply, which Google's protobufs must be able to read."""
    error = response.json()[0]["error"]
    assert error.pop("code") == response.status_code
    assert error.pop("status")
    status = Status()
    json_format.ParseDict(error, status)
    failure = google_errors.GoogleAdsFailure.pb(google_errors.GoogleAdsFailure())
    assert status.details[0].Unpack(failure)
    (only,) = failure.errors
    category = only.error_code.WhichOneof("error_code")
    return response.status_code, category, error["details"][0]["errors"][0]["errorCode"].popitem()[1]


SELECT = "SELECT campaign.id FROM campaign"
BY_TIME = "WHERE change_status.last_change_date_time"
REFUSED_QUERIES = {
    "SELECT campaign.start_date FROM campaign": "UNRECOGNIZED_FIELD",
    "SELECT metrics.video_views, segments.date FROM campaign": "UNRECOGNIZED_FIELD",
    f"{SELECT} WHERE campaign.last_modified_time = '2026-01-01'": "UNRECOGNIZED_FIELD",
    "SELECT campaign.id FROM campain": "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE",
    "SELECT campaign.id FROM customer_client": "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE",
    "SELECT customer_client.id FROM customer_client WHERE campaign.id = 1": "PROHIBITED_RESOURCE_TYPE_IN_WHERE_CLAUSE",
    "SELECT campaign.id, metrics.clicks FROM campaign": "EXPECTED_FILTERS_ON_DATE_RANGE",
    "SELECT segments.date FROM campaign WHERE segments.date = '2026-11-01'": "EXPECTED_FILTERS_ON_DATE_RANGE",
    "SELECT segments.date FROM campaign WHERE segments.date BETWEEN '1.11.2026' AND '2.11.2026'": "INVALID_DATE_FORMAT",
    f"{SELECT} WHERE campaign.status = 'DELETED'": "BAD_ENUM_CONSTANT",
    f"{SELECT} WHERE campaign.name = 5": "BAD_VALUE",
    f"{SELECT} WHERE campaign.id IN (1, 'two')": "BAD_VALUE",
    f"{SELECT} WHERE campaign.id = )": "BAD_VALUE",
    f"{SELECT} WHERE campaign.name LIKE '%sale%'": "BAD_OPERATOR",
    f"{SELECT} WHERE campaign.id > 1": "BAD_OPERATOR",
    f"{SELECT} WHERE campaign.id IN 1": "EXPECTED_LIST",
    f"{SELECT} WHERE campaign.id BETWEEN 1, 2": "EXPECTED_VALUE_WITH_BETWEEN_OPERATOR",
    f"{SELECT} WHERE campaign.id = ": "UNEXPECTED_END_OF_QUERY",
    f"{SELECT} WHERE campaign.name = 'open": "STRING_NOT_TERMINATED",
    f"{SELECT} ORDER BY campaign.id": "UNEXPECTED_INPUT",
    f"{SELECT} LIMIT 0": "BAD_LIMIT_VALUE",
    f"{SELECT}; DROP": "BAD_SYMBOL",
    f"{SELECT} PARAMETERS include_drafts = true": "UNEXPECTED_INPUT",
    "SELECT 'campaign.id' FROM campaign": "BAD_FIELD_NAME",
    "SELECT campaign.id WHERE campaign.id = 1": "EXPECTED_FROM",
    "campaign.id FROM campaign": "EXPECTED_SELECT",
    f"{CHANGED} WHERE change_status.resource_type = 'CAMPAIGN' LIMIT 10": "CHANGE_DATE_RANGE_INFINITE",
    f"{CHANGED} {BY_TIME} BETWEEN '2026-11-19' AND '2026-11-20'": "LIMIT_NOT_SPECIFIED",
    f"{CHANGED} {BY_TIME} BETWEEN '2026-11-19' AND '2026-11-20' LIMIT 10001": "INVALID_LIMIT_CLAUSE",
    f"{CHANGED} {BY_TIME} BETWEEN '2026-11-20' AND '2026-11-19' LIMIT 10": "CHANGE_DATE_RANGE_NEGATIVE",
    f"{CHANGED} {BY_TIME} BETWEEN '2026-08-21' AND '2026-11-20' LIMIT 10": "START_DATE_TOO_OLD",
}


@pytest.mark.parametrize(("query", "code"), REFUSED_QUERIES.items(), ids=REFUSED_QUERIES.values())
def test_queries_that_google_does_not_accept(caller: Caller, query: str, code: str) -> None:
    is_about_changes = query.startswith(CHANGED)
    category = "change_status_error" if is_about_changes else "query_error"
    assert failure_of(caller.ask(query)) == (400, category, code)


def test_daily_figures_are_kept_for_37_months(caller: Caller) -> None:
    for since, status in (("2023-10-23", 200), ("2023-10-20", 400)):
        response = caller.ask(client.METRICS_QUERY.format(since=since, until="2026-11-20"))
        assert response.status_code == status
    assert failure_of(response) == (400, "date_range_error", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED")


def test_metrics_are_refused_for_a_manager(caller: Caller) -> None:
    found = failure_of(caller.ask(METRICS, caller.grant.manager_id))
    assert found == (400, "query_error", "REQUESTED_METRICS_FOR_MANAGER")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"query": "SELECT campaign.id FROM campaign", "pageSize": 1}'])
def test_a_body_that_is_not_a_search_request_is_refused(caller: Caller, body: bytes) -> None:
    url = f"{caller.url}/v26/customers/{caller.account.id}/googleAds:searchStream"
    headers = {"Authorization": f"Bearer {caller.token}", "Content-Type": "application/json"}
    response = caller.http.post(url, content=body, headers=headers)
    assert response.status_code == 400
    assert response.json()[0]["error"]["message"].startswith("Invalid JSON payload received.")
    assert failure_of(caller.ask("")) == (400, "request_error", "REQUIRED_FIELD_MISSING")
    response = caller.http.post(f"{url}?pageSize=1", json={"query": CAMPAIGNS}, headers=headers)
    assert response.json()[0]["error"]["message"].startswith('Invalid JSON payload received. Unknown name "pageSize"')


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda c: c.world.expire_access(c.grant.id), "OAUTH_TOKEN_EXPIRED"),
        (lambda c: c.world.clock.advance(timedelta(hours=1)), "OAUTH_TOKEN_EXPIRED"),
        (lambda c: c.world.revoke_grant(c.grant.id), "OAUTH_TOKEN_REVOKED"),
        (lambda c: setattr(c, "token", "ya29.somebody-else"), "OAUTH_TOKEN_INVALID"),
    ],
    ids=["expired by hand", "expired", "revoked", "foreign"],
)
def test_a_token_that_is_not_valid_is_refused(caller: Caller, spoil: Callable[[Caller], None], code: str) -> None:
    spoil(caller)
    assert failure_of(caller.ask(CAMPAIGNS)) == (401, "authentication_error", code)


def test_who_may_read_which_customer(caller: Caller) -> None:
    direct, below, closed = caller.world.accounts_of(caller.grant)
    closed.closed = True
    manager = caller.grant.manager_id
    foreign = caller.world.accounts_of(caller.world.add_grant(GOOGLE))[0]
    for customer, login in ((direct.id, None), (direct.id, manager), (below.id, manager)):
        assert caller.ask(CAMPAIGNS, customer, login).status_code == 200
    denied = (403, "authorization_error", "USER_PERMISSION_DENIED")
    for customer, login in ((below.id, None), (below.id, direct.id), (foreign.id, None), (foreign.id, manager)):
        assert failure_of(caller.ask(CAMPAIGNS, customer, login)) == denied
    for customer, login, expected in (
        (closed.id, manager, (403, "authorization_error", "CUSTOMER_NOT_ENABLED")),
        ("123-456-7890", None, (400, "request_error", "INVALID_CUSTOMER_ID")),
        (below.id, "90-1", (400, "header_error", "INVALID_LOGIN_CUSTOMER_ID")),
    ):
        assert failure_of(caller.ask(CAMPAIGNS, customer, login)) == expected
    rows = caller.ask(f"{CLIENTS} AND customer_client.status = 'CANCELED'", manager).json()[0]["results"]
    assert [row["customerClient"]["id"] for row in rows] == [closed.id]


def test_a_throttle_names_the_wait_and_the_quota(caller: Caller) -> None:
    caller.world.faults.add(Fault(FaultKind.THROTTLE, GOOGLE, "campaigns", seconds=512))
    response = caller.ask(CAMPAIGNS)
    details = response.json()[0]["error"]["details"][0]["errors"][0]["details"]["quotaErrorDetails"]
    assert failure_of(response) == (429, "quota_error", "RESOURCE_TEMPORARILY_EXHAUSTED")
    assert (details["rateScope"], details["retryDelay"]) == ("DEVELOPER", "512s")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_trouble_is_an_internal_error(caller: Caller, status: int) -> None:
    caller.world.faults.add(Fault(FaultKind.STATUS, GOOGLE, status=status))
    assert failure_of(caller.ask(CAMPAIGNS)) == (status, "internal_error", "TRANSIENT_ERROR")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_secret": "other"}, 401, "invalid_client"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"client": "x"}, 400, "invalid_request"),
        ({"refresh_token": "1//made-up"}, 400, "invalid_grant"),
    ],
)
def test_token_requests_that_are_refused(caller: Caller, form: dict[str, str], status: int, error: str) -> None:
    response = caller.renew(**form)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert caller.http.post(f"{caller.url}/token", json=form).status_code == 400  # not a form


# -- answers ----------------------------------------------------------------------------------------------------------


def test_a_row_has_what_is_selected_and_the_resource_names(caller: Caller) -> None:
    row, *_ = caller.rows("SELECT campaign.id, campaign_budget.amount_micros FROM campaign")
    customer = f"customers/{caller.account.id}"
    assert row == {
        "campaign": {"resourceName": f"{customer}/campaigns/20000000000", "id": "20000000000"},
        "campaignBudget": {"resourceName": f"{customer}/campaignBudgets/70000000000", "amountMicros": "137000000"},
    }


@pytest.mark.parametrize(
    ("clause", "last_digits"),
    [
        ("WHERE campaign.status = 'PAUSED'", "45"),
        ("WHERE campaign.status IN (PAUSED, REMOVED) AND campaign.name = 'Launch 7'", "6"),
        ("WHERE campaign.id BETWEEN '20000000002' AND '20000000004'", "234"),
        ("WHERE campaign_budget.explicitly_shared = TRUE", "26"),
        ("WHERE campaign.end_date_time = '2026-01-01 00:00:00'", ""),
        ("LIMIT 3", "012"),
    ],
)
def test_conditions_and_limit(caller: Caller, clause: str, last_digits: str) -> None:
    assert "".join(row["campaign"]["id"][-1] for row in caller.rows(f"{SELECT} {clause}")) == last_digits


def test_an_escaped_quote_is_part_of_the_text_and_a_refusal_says_where() -> None:
    assert parse(rf"{SELECT} WHERE campaign.name = 'Kim\'s'").conditions[0].values == ("Kim's",)
    with pytest.raises(QueryRefused, match="many"):
        parse(f"{SELECT} LIMIT many")


def test_states_and_budgets_as_google_writes_them(caller: Caller) -> None:
    changes: dict[str, dict[str, Any]] = {
        "20000000001": {"state": CampaignStatus.ARCHIVED},
        "20000000002": {"end": date(2026, 11, 19)},
        "20000000003": {"budget_kind": BudgetKind.LOWER_LEVEL},
    }
    for id_, change in changes.items():
        caller.world.change_campaign(GOOGLE, caller.account.id, id_, **change)
    rows = {row["campaign"]["id"][-1]: row for row in caller.rows(CAMPAIGNS)}
    assert rows["1"]["campaign"]["status"] == "REMOVED"
    assert (rows["2"]["campaign"]["status"], rows["2"]["campaign"]["servingStatus"]) == ("ENABLED", "ENDED")
    assert rows["2"]["campaign"]["endDateTime"] == "2026-11-19 23:59:59"
    assert "campaignBudget" not in rows["3"]


def test_a_change_has_the_customers_local_time_and_is_one_of_the_budget_too(caller: Caller) -> None:
    caller.world.remove_campaign(GOOGLE, caller.account.id, "20000000002")
    fields = "change_status.resource_type, change_status.campaign, change_status.last_change_date_time"
    query = CHANGED.replace("change_status.resource_name", fields)
    query += f" {BY_TIME} BETWEEN '2026-11-19' AND '2026-11-21' LIMIT 9"
    campaign, budget = (row["changeStatus"] for row in caller.rows(query))
    assert caller.account.timezone == "Australia/Sydney"
    assert campaign["lastChangeDateTime"] == budget["lastChangeDateTime"] == "2026-11-20 23:00:00.000000"
    assert (campaign["resourceType"], budget["resourceType"]) == ("CAMPAIGN", "CAMPAIGN_BUDGET")
    assert "campaign" not in budget


def test_a_stream_comes_in_chunks_and_an_empty_one_in_one(caller: Caller) -> None:
    caller.account.campaign_count = 230
    assert [len(chunk["results"]) for chunk in caller.ask(CAMPAIGNS).json()] == [100, 100, 30]
    [empty] = caller.ask(f"{CAMPAIGNS} WHERE campaign.id = '1'").json()
    assert "results" not in empty
    assert empty["fieldMask"].startswith("campaign.id,campaign.name,")


def test_calls_are_counted_by_what_they_ask(caller: Caller) -> None:
    for query in (CAMPAIGNS, METRICS, CHANGED, CLIENTS, "nonsense"):
        caller.ask(query)
    counts = {operation: n for (_, operation), n in caller.world.faults.calls.items()}
    assert counts == {"campaigns": 2, "metrics": 1, "changes": 1, "accounts": 1}
