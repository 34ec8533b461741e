"""The sandbox's Google, held against Google's own code (protobufs and OAuth library) and its documented rules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import google.auth.transport.requests
import httpx
import pytest
from google.ads.googleads.v26.errors.types import errors as google_errors
from google.ads.googleads.v26.services.types.customer_service import ListAccessibleCustomersResponse
from google.ads.googleads.v26.services.types.google_ads_service import (
    GoogleAdsRow,
    SearchGoogleAdsResponse,
    SearchGoogleAdsStreamResponse,
)
from google.oauth2.credentials import Credentials
from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from sandbox.app import create_app
from sandbox.faults import Fault, FaultKind
from sandbox.gaql import QueryRefused, parse
from sandbox.google_query import SELECTABLE
from sandbox.google_rows import FIELDS
from sandbox.server import serve
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Account, Figures, Grant, World
from sivera.values import BudgetKind, CampaignStatus, PlatformName
from tests.conftest import PATIENCE_SECONDS

GOOGLE = PlatformName.GOOGLE
IDS = "SELECT campaign.id FROM campaign"
CAMPAIGNS = (
    "SELECT campaign.id, campaign.name, campaign.status, campaign.serving_status, campaign.primary_status, "
    "campaign.advertising_channel_type, campaign.start_date_time, campaign.end_date_time, campaign.campaign_budget, "
    "campaign_budget.id, campaign_budget.amount_micros, campaign_budget.total_amount_micros, campaign_budget.period, "
    "campaign_budget.explicitly_shared, customer.currency_code, customer.time_zone FROM campaign"
)
METRICS = (
    "SELECT campaign.id, segments.date, metrics.impressions, metrics.clicks, metrics.cost_micros, "
    "metrics.conversions, metrics.conversions_value FROM campaign "
    "WHERE segments.date BETWEEN '2026-11-01' AND '2026-11-20'"
)
CLIENTS = (
    "SELECT customer_client.client_customer, customer_client.id, customer_client.descriptive_name, "
    "customer_client.level, customer_client.manager, customer_client.hidden, customer_client.test_account, "
    "customer_client.status, customer_client.currency_code, customer_client.time_zone FROM customer_client"
)
CHANGED = "SELECT change_status.resource_name FROM change_status"
CHANGES = (
    "SELECT change_status.resource_name, change_status.resource_type, change_status.resource_status, "
    "change_status.campaign, change_status.campaign_budget, change_status.last_change_date_time FROM change_status "
    "WHERE change_status.last_change_date_time BETWEEN '2026-11-19' AND '2026-11-21 00:00:00' "
    "ORDER BY change_status.last_change_date_time LIMIT 10000"
)


@dataclass
class Caller:
    """Calls the sandbox as a grant's user does."""

    url: str
    http: httpx.Client
    world: World
    grant: Grant
    token: str

    def ask(
        self,
        query: str,
        customer_id: str | None = None,
        login_id: str | None = None,
        verb: str = "searchStream",
        **body: Any,
    ) -> httpx.Response:
        """Send a query, as the manager unless `customer_id` says otherwise."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"login-customer-id": login_id} if login_id else {})
        url = f"{self.url}/v26/customers/{customer_id or self.grant.manager_id}/googleAds:{verb}"
        return self.http.post(url, headers=headers, json={"query": query, **body})

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query on the account that the user reaches directly."""
        chunks = self.ask(query, self.account.id).raise_for_status().json()
        return [row for chunk in chunks for row in chunk.get("results", [])]

    def renew(self, **form: str) -> httpx.Response:
        """Ask for a new access token; `form` replaces what is right."""
        right = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        if "refresh_token" not in form:
            right["refresh_token"] = self.refresh_token()
        return self.http.post(f"{self.url}/token", data=right | form)

    def refresh_token(self) -> str:
        """Return the grant's refresh token."""
        return self.world.issue_refresh(self.grant)

    @property
    def account(self) -> Account:
        """The account that the user reaches directly."""
        return self.world.accounts_of(self.grant)[0]


@contextmanager
def call(world: World, url: str) -> Iterator[Caller]:
    """Yield a caller for a new grant of three accounts with eight campaigns each."""
    grant = world.add_grant(GOOGLE, accounts=3, campaigns=8)
    with httpx.Client(timeout=PATIENCE_SECONDS) as http:
        yield Caller(f"{url}/google", http, world, grant, world.issue_access(grant)[0])


@pytest.fixture
def caller(world: World, sandbox: str) -> Iterator[Caller]:
    """A caller whose world a test may change."""
    with call(world, sandbox) as made:
        yield made


@pytest.fixture(scope="module")
def reader() -> Iterator[Caller]:
    """A caller for the tests that only read; they share one server, which makes them fast."""
    world = World(seed=7, now=datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
    with serve(create_app(world)) as url, call(world, url) as made:
        yield made


def field_of(name: str) -> Any:
    """Return the protobuf field that a GAQL name stands for; None if Google has none."""
    descriptor, field = GoogleAdsRow.pb(GoogleAdsRow()).DESCRIPTOR, None
    for part in name.split("."):
        field = descriptor.fields_by_name.get(part)
        if field is None:
            return None
        descriptor = field.message_type
    return field


# -- Google's own code --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"{resource}.{field}" for resource in FIELDS for field in FIELDS[resource]])
def test_every_field_of_the_sandbox_is_googles(name: str) -> None:
    assert field_of(name) is not None


def test_googles_check_of_names_can_fail() -> None:
    assert field_of("campaign.start_date") is None


@pytest.mark.parametrize("verb", ["search", "searchStream"])
@pytest.mark.parametrize("query", [CAMPAIGNS, METRICS, CLIENTS, CHANGES, "SELECT customer.id FROM customer"])
def test_answers_are_googles_protobufs(reader: Caller, query: str, verb: str) -> None:
    reader.world.change_campaign(GOOGLE, reader.account.id, "20000000002", name="Retargeting 3")
    kind = SearchGoogleAdsResponse if verb == "search" else SearchGoogleAdsStreamResponse

    answer = reader.ask(query, reader.account.id, verb=verb).raise_for_status().json()

    for part in [answer] if verb == "search" else answer:
        message = kind.pb(kind())
        json_format.ParseDict(part, message)
        assert message.results
        assert json_format.MessageToDict(message) == part


def test_the_list_of_customers_is_googles_protobuf(reader: Caller) -> None:
    url, headers = f"{reader.url}/v26/customers:listAccessibleCustomers", {"Authorization": f"Bearer {reader.token}"}

    answer = reader.http.get(url, headers=headers).json()

    message = ListAccessibleCustomersResponse.pb(ListAccessibleCustomersResponse())
    json_format.ParseDict(answer, message)
    assert list(message.resource_names) == [f"customers/{reader.grant.manager_id}", f"customers/{reader.account.id}"]


def test_google_auth_refreshes_against_the_token_endpoint(reader: Caller) -> None:
    credentials = Credentials(  # type: ignore[no-untyped-call]
        None,
        refresh_token=reader.refresh_token(),
        token_uri=f"{reader.url}/token",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        scopes=["https://www.googleapis.com/auth/adwords"],
    )

    credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]

    assert reader.world.grant_of_access(GOOGLE, str(credentials.token)) is reader.grant
    assert credentials.expiry is not None
    assert timedelta(minutes=59) < credentials.expiry - datetime.now(UTC).replace(tzinfo=None) <= timedelta(hours=1)


def test_google_auth_takes_over_a_rotated_refresh_token(caller: Caller) -> None:
    caller.grant.rotates = True
    first = caller.refresh_token()
    credentials = Credentials(None, first, None, f"{caller.url}/token", CLIENT_ID, CLIENT_SECRET)  # type: ignore[no-untyped-call]

    credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]

    assert credentials.refresh_token != first
    assert caller.renew(refresh_token=credentials.refresh_token).status_code == 200


# -- errors -------------------------------------------------------------------------------------------------------


def failure_of(response: httpx.Response) -> tuple[str, str]:
    """Return category and code of the only error in a reply, which Google's protobufs must be able to read."""
    body = response.json()
    error = (body[0] if isinstance(body, list) else body)["error"]
    assert error.pop("code") == response.status_code
    assert error.pop("status")
    status = Status()
    json_format.ParseDict(error, status)
    failure = google_errors.GoogleAdsFailure.pb(google_errors.GoogleAdsFailure())
    assert status.details[0].Unpack(failure)
    (only,) = failure.errors
    category = only.error_code.WhichOneof("error_code")
    return category, error["details"][0]["errors"][0]["errorCode"].popitem()[1]


REFUSED_QUERIES = {
    "SELECT campaign.start_date FROM campaign": "UNRECOGNIZED_FIELD",
    "SELECT metrics.video_views, segments.date FROM campaign": "UNRECOGNIZED_FIELD",
    "SELECT campaign.id FROM campaign WHERE campaign.last_modified_time > '2026-01-01'": "UNRECOGNIZED_FIELD",
    "SELECT campaign.id FROM campain": "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE",
    "SELECT campaign.id FROM customer_client": "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE",
    "SELECT customer.id FROM customer WHERE campaign.id = 1": "PROHIBITED_RESOURCE_TYPE_IN_WHERE_CLAUSE",
    "SELECT campaign.id, metrics.clicks FROM campaign": "EXPECTED_FILTERS_ON_DATE_RANGE",
    "SELECT campaign.id, segments.date FROM campaign WHERE segments.date >= '2026-11-01'": (
        "EXPECTED_FILTERS_ON_DATE_RANGE"
    ),
    "SELECT segments.date FROM campaign WHERE segments.date BETWEEN '1.11.2026' AND '2.11.2026'": "INVALID_DATE_FORMAT",
    "SELECT campaign.id FROM campaign WHERE campaign.status = 'DELETED'": "BAD_ENUM_CONSTANT",
    "SELECT campaign.id FROM campaign WHERE campaign.name = 5": "BAD_VALUE",
    "SELECT campaign.id FROM campaign WHERE campaign.id IN (1, 'two')": "BAD_VALUE",
    "SELECT campaign.id FROM campaign WHERE campaign.name LIKE '%sale%'": "BAD_OPERATOR",
    "SELECT campaign.id FROM campaign WHERE campaign.id NOT 1": "BAD_OPERATOR",
    "SELECT campaign.id FROM campaign WHERE campaign.id IN 1": "EXPECTED_LIST",
    "SELECT campaign.id FROM campaign WHERE campaign.id BETWEEN 1, 2": "EXPECTED_VALUE_WITH_BETWEEN_OPERATOR",
    "SELECT campaign.id FROM campaign WHERE campaign.id = ": "UNEXPECTED_END_OF_QUERY",
    "SELECT campaign.id FROM campaign WHERE campaign.name = 'open": "STRING_NOT_TERMINATED",
    "SELECT campaign.id FROM campaign ORDER campaign.id": "EXPECTED_BY",
    "SELECT campaign.id FROM campaign LIMIT 0": "BAD_LIMIT_VALUE",
    "SELECT campaign.id FROM campaign; DROP": "BAD_SYMBOL",
    "SELECT campaign.id FROM campaign PARAMETERS include_drafts = true": "UNEXPECTED_INPUT",
    "SELECT 'campaign.id' FROM campaign": "BAD_FIELD_NAME",
    "SELECT campaign.id WHERE campaign.id = 1": "EXPECTED_FROM",
    "campaign.id FROM campaign": "EXPECTED_SELECT",
    "SELECT campaign.id FROM campaign WHERE campaign.id = )": "BAD_VALUE",
}


@pytest.mark.parametrize(("query", "code"), REFUSED_QUERIES.items())
def test_queries_that_google_does_not_take(reader: Caller, query: str, code: str) -> None:
    response = reader.ask(query, reader.account.id)

    assert response.status_code == 400
    assert failure_of(response) == ("query_error", code)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("WHERE change_status.resource_type = 'CAMPAIGN' LIMIT 10", "CHANGE_DATE_RANGE_INFINITE"),
        ("WHERE change_status.last_change_date_time >= '2026-11-19' LIMIT 10", "CHANGE_DATE_RANGE_INFINITE"),
        ("WHERE change_status.last_change_date_time BETWEEN '2026-11-19' AND '2026-11-20'", "LIMIT_NOT_SPECIFIED"),
        (
            "WHERE change_status.last_change_date_time BETWEEN '2026-11-19' AND '2026-11-20' LIMIT 10001",
            "INVALID_LIMIT_CLAUSE",
        ),
        (
            "WHERE change_status.last_change_date_time BETWEEN '2026-11-20' AND '2026-11-19' LIMIT 10",
            "CHANGE_DATE_RANGE_NEGATIVE",
        ),
        (
            "WHERE change_status.last_change_date_time BETWEEN '2026-08-21' AND '2026-11-20' LIMIT 10",
            "START_DATE_TOO_OLD",
        ),
    ],
)
def test_change_status_needs_a_finite_recent_range_and_a_limit(reader: Caller, condition: str, code: str) -> None:
    response = reader.ask(f"{CHANGED} {condition}", reader.account.id)

    assert response.status_code == 400
    assert failure_of(response) == ("change_status_error", code)


def test_metrics_are_refused_on_a_manager(reader: Caller) -> None:
    assert failure_of(reader.ask(METRICS)) == ("query_error", "REQUESTED_METRICS_FOR_MANAGER")


def test_a_page_size_is_refused(reader: Caller) -> None:
    response = reader.ask(CAMPAIGNS, verb="search", pageSize=100)

    assert failure_of(response) == ("request_error", "PAGE_SIZE_NOT_SUPPORTED")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"query": "SELECT campaign.id FROM campaign", "qery": 1}'])
def test_a_body_that_is_no_search_request_is_refused(reader: Caller, body: bytes) -> None:
    url = f"{reader.url}/v26/customers/{reader.account.id}/googleAds:search"
    headers = {"Authorization": f"Bearer {reader.token}", "Content-Type": "application/json"}

    response = reader.http.post(url, content=body, headers=headers)

    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("Invalid JSON payload received.")


def test_a_request_without_query_is_refused(reader: Caller) -> None:
    assert failure_of(reader.ask("", verb="search")) == ("request_error", "REQUIRED_FIELD_MISSING")


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
def test_tokens_that_are_no_longer_good_are_refused(caller: Caller, spoil: Callable[[Caller], None], code: str) -> None:
    spoil(caller)

    response = caller.ask(CAMPAIGNS)

    assert response.status_code == 401
    assert failure_of(response) == ("authentication_error", code)


def test_a_call_without_a_token_is_refused(reader: Caller) -> None:
    response = reader.http.get(f"{reader.url}/v26/customers:listAccessibleCustomers")

    assert response.status_code == 401
    assert response.json()["error"]["status"] == "UNAUTHENTICATED"


def test_who_may_read_which_customer(caller: Caller) -> None:
    direct, below, _ = caller.world.accounts_of(caller.grant)
    manager = caller.grant.manager_id
    foreign = caller.world.accounts_of(caller.world.add_grant(GOOGLE))[0]
    denied = ("authorization_error", "USER_PERMISSION_DENIED")

    assert caller.ask(CAMPAIGNS, direct.id).status_code == 200
    assert caller.ask(CAMPAIGNS, direct.id, login_id=manager).status_code == 200
    assert caller.ask(CAMPAIGNS, below.id, login_id=manager).status_code == 200
    for customer, login in (below.id, None), (below.id, direct.id), (foreign.id, None), (foreign.id, manager):
        response = caller.ask(CAMPAIGNS, customer, login_id=login)
        assert response.status_code == 403
        assert failure_of(response) == denied
    assert failure_of(caller.ask(CAMPAIGNS, "123-456-7890")) == ("request_error", "INVALID_CUSTOMER_ID")
    assert failure_of(caller.ask(CAMPAIGNS, below.id, "90-1")) == ("header_error", "INVALID_LOGIN_CUSTOMER_ID")


def test_a_closed_account_is_refused_and_still_listed_by_its_manager(caller: Caller) -> None:
    caller.account.closed = True

    assert failure_of(caller.ask(CAMPAIGNS, caller.account.id)) == ("authorization_error", "CUSTOMER_NOT_ENABLED")
    rows = caller.ask(f"{CLIENTS} WHERE customer_client.status = 'CANCELED'").json()[0]["results"]
    assert [row["customerClient"]["id"] for row in rows] == [caller.account.id]


def test_a_throttle_names_the_wait_and_the_quota(caller: Caller) -> None:
    caller.world.faults.add(Fault(FaultKind.THROTTLE, GOOGLE, "campaigns", seconds=512))

    response = caller.ask(CAMPAIGNS)

    details = response.json()[0]["error"]["details"][0]["errors"][0]["details"]["quotaErrorDetails"]
    assert response.status_code == 429
    assert failure_of(response) == ("quota_error", "RESOURCE_TEMPORARILY_EXHAUSTED")
    assert (details["rateScope"], details["retryDelay"]) == ("DEVELOPER", "512s")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_trouble_is_told_as_google_tells_it(caller: Caller, status: int) -> None:
    caller.world.faults.add(Fault(FaultKind.STATUS, GOOGLE, status=status))

    response = caller.ask(CAMPAIGNS, verb="search")

    assert response.status_code == status
    assert failure_of(response) == ("internal_error", "TRANSIENT_ERROR")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_secret": "other"}, 401, "invalid_client"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"refresh_token": "1//made-up"}, 400, "invalid_grant"),
    ],
)
def test_token_requests_that_are_refused(reader: Caller, form: dict[str, str], status: int, error: str) -> None:
    response = reader.renew(**form)

    assert (response.status_code, response.json()["error"]) == (status, error)


def test_a_token_request_must_be_a_form(reader: Caller) -> None:
    assert reader.http.post(f"{reader.url}/token", json={"grant_type": "refresh_token"}).status_code == 400


def test_a_revoked_grant_and_one_that_needs_a_login_are_not_renewed(caller: Caller) -> None:
    caller.grant.needs_login = True
    assert caller.renew().json()["error_subtype"] == "invalid_rapt"
    caller.world.revoke_grant(caller.grant.id)
    assert caller.renew().json() == {
        "error": "invalid_grant",
        "error_description": "Token has been expired or revoked.",
    }


# -- what a query answers -----------------------------------------------------------------------------------------


def test_only_what_is_selected_comes_with_the_resource_names(reader: Caller) -> None:
    row, *_ = reader.rows("SELECT campaign.id, campaign_budget.amount_micros FROM campaign")

    customer = f"customers/{reader.account.id}"
    assert row == {
        "campaign": {"resourceName": f"{customer}/campaigns/20000000000", "id": "20000000000"},
        "campaignBudget": {"resourceName": f"{customer}/campaignBudgets/70000000000", "amountMicros": "137000000"},
    }


@pytest.mark.parametrize(
    ("clause", "last_digits"),
    [
        ("WHERE campaign.status = 'PAUSED'", "45"),
        ("WHERE campaign.status != 'REMOVED' AND campaign.id > 20000000003", "45"),
        ("WHERE campaign.status IN (PAUSED, REMOVED) ORDER BY campaign.id DESC", "7654"),
        ("WHERE campaign.status NOT IN ('ENABLED')", "4567"),
        ("WHERE campaign.id BETWEEN 20000000002 AND 20000000004", "234"),
        ("WHERE campaign.id < 20000000002", "01"),
        ("WHERE campaign.id >= 20000000006 AND campaign.id <= 20000000007", "67"),
        ('WHERE campaign.name = "Brand 2"', "1"),
        ("WHERE campaign_budget.explicitly_shared = TRUE", "26"),
        ("WHERE campaign.end_date_time != '2026-01-01 00:00:00' ORDER BY campaign.name LIMIT 3", "146"),
        ("WHERE campaign.end_date_time = '2026-01-01 00:00:00'", ""),
    ],
)
def test_conditions_order_and_limit(reader: Caller, clause: str, last_digits: str) -> None:
    rows = reader.rows(f"{IDS} {clause}")

    assert "".join(row["campaign"]["id"][-1] for row in rows) == last_digits


def test_an_escaped_quote_is_part_of_the_text() -> None:
    assert parse(r"SELECT campaign.id FROM campaign WHERE campaign.name = 'Kim\'s'").conditions[0].values == ("Kim's",)


def test_a_refused_query_says_where() -> None:
    with pytest.raises(QueryRefused, match="LIMIT"):
        parse("SELECT campaign.id FROM campaign LIMIT many")


def test_removed_campaigns_are_listed_and_ended_ones_say_so(caller: Caller) -> None:
    account = caller.account
    caller.world.archive_campaign(GOOGLE, account.id, "20000000001")
    caller.world.change_campaign(GOOGLE, account.id, "20000000002", end=date(2026, 11, 19))
    caller.world.change_campaign(GOOGLE, account.id, "20000000003", budget_kind=BudgetKind.LOWER_LEVEL)
    caller.world.change_campaign(GOOGLE, account.id, "20000000004", state=CampaignStatus.OTHER)

    rows = {row["campaign"]["id"][-1]: row for row in caller.rows(CAMPAIGNS)}

    assert rows["1"]["campaign"]["status"] == "REMOVED"
    assert rows["2"]["campaign"]["status"] == "ENABLED"
    assert rows["2"]["campaign"]["servingStatus"] == rows["2"]["campaign"]["primaryStatus"] == "ENDED"
    assert rows["2"]["campaign"]["endDateTime"] == "2026-11-19 23:59:59"
    assert "campaignBudget" not in rows["3"]
    assert rows["4"]["campaign"]["status"] == "UNKNOWN"


def test_a_shared_budget_is_one_budget(caller: Caller) -> None:
    caller.world.change_campaign(GOOGLE, caller.account.id, "20000000002", budget=Decimal(77))

    rows = caller.rows(f"{CAMPAIGNS} WHERE campaign_budget.explicitly_shared = TRUE")

    assert [row["campaign"]["id"] for row in rows] == ["20000000002", "20000000006"]
    assert {row["campaignBudget"]["amountMicros"] for row in rows} == {"77000000"}


def test_a_change_is_told_in_the_time_of_the_customer_and_for_the_budget_too(caller: Caller) -> None:
    caller.world.remove_campaign(GOOGLE, caller.account.id, "20000000002")

    campaign, budget = (row["changeStatus"] for row in caller.rows(CHANGES))

    assert caller.account.timezone == "Australia/Sydney"
    assert campaign["lastChangeDateTime"] == budget["lastChangeDateTime"] == "2026-11-20 23:00:00.000000"
    assert (campaign["resourceType"], campaign["resourceStatus"]) == ("CAMPAIGN", "REMOVED")
    assert (budget["resourceType"], budget["resourceStatus"]) == ("CAMPAIGN_BUDGET", "CHANGED")
    assert "campaign" not in budget


def test_days_without_figures_are_left_out(caller: Caller) -> None:
    for day in 1, 2:
        caller.world.restate("20000000000", date(2026, 11, day), Figures(0, 0, Decimal(0), Decimal(0), Decimal(0)))

    days = {row["segments"]["date"] for row in caller.rows(f"{METRICS} AND campaign.id = 20000000000")}

    assert days
    assert days.isdisjoint({"2026-11-01", "2026-11-02"})


def test_search_pages_by_ten_thousand_and_the_token_is_for_its_query_only(caller: Caller) -> None:
    caller.account.campaign_count = 10_001

    first = caller.ask(IDS, caller.account.id, verb="search").json()
    second = caller.ask(IDS, caller.account.id, verb="search", pageToken=first["nextPageToken"]).json()

    ids = {row["campaign"]["id"] for page in (first, second) for row in page["results"]}
    assert (len(first["results"]), len(second["results"]), len(ids)) == (10_000, 1, 10_001)
    assert "nextPageToken" not in second
    for token in first["nextPageToken"], "made-up":
        response = caller.ask(CAMPAIGNS, caller.account.id, verb="search", pageToken=token)
        assert failure_of(response) == ("request_error", "INVALID_PAGE_TOKEN")


def test_a_stream_comes_in_chunks_and_an_empty_one_in_one(caller: Caller) -> None:
    account = caller.world.accounts_of(caller.world.add_grant(GOOGLE, 1, 230))[0]
    caller.token = caller.world.issue_access(caller.world.grants[account.grant_id])[0]

    chunks = caller.ask(CAMPAIGNS, account.id).json()
    (empty,) = caller.ask(f"{CAMPAIGNS} WHERE campaign.id = 1", account.id).json()

    assert [len(chunk["results"]) for chunk in chunks] == [100, 100, 30]
    assert "results" not in empty
    assert empty["fieldMask"].startswith("campaign.id,campaign.name,")


def test_calls_are_counted_by_what_they_ask(caller: Caller) -> None:
    for query in CAMPAIGNS, METRICS, CHANGES, CLIENTS, "nonsense":
        caller.ask(query, caller.account.id)

    counts = {operation: n for (_, operation), n in caller.world.faults.calls.items()}
    assert counts == {"campaigns": 2, "metrics": 1, "changes": 1, "accounts": 1}


def test_every_resource_can_be_asked_for_all_of_its_fields(reader: Caller) -> None:
    for resource, groups in SELECTABLE.items():
        fields = ", ".join(f"{group}.{name}" for group in groups for name in FIELDS[group])
        where = {
            "campaign": "WHERE segments.date BETWEEN '2026-11-18' AND '2026-11-20'",
            "change_status": "WHERE change_status.last_change_date_time BETWEEN '2026-11-01' AND '2026-11-20' LIMIT 1",
        }.get(resource, "")
        query = " ".join(["SELECT", fields, "FROM", resource, where])
        assert reader.ask(query, reader.account.id).status_code == 200
