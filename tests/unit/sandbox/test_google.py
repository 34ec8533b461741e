"""The sandbox's Google against Google's own code (protobufs and google-auth) and its documented rules."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

from sandbox.accounts import Account
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.google_query import SELECTABLE
from sandbox.google_rows import FIELDS
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.platforms import google as client
from sivera.values import PlatformName
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
    for resource, beginnings in SELECTABLE.items():
        names = (f"{group}.{name}" for group in FIELDS for name in FIELDS[group])
        fields = ", ".join(name for name in names if name.startswith(beginnings))
        days = " WHERE segments.date BETWEEN '2026-11-18' AND '2026-11-20'"
        where = {
            "campaign": days,
            "customer": days,
            "change_status": " WHERE change_status.last_change_date_time BETWEEN '2026-11-01' AND '2026-11-21' LIMIT 1",
        }.get(resource, "")
        assert caller.ask(f"SELECT {fields} FROM {resource}{where}").status_code == 200  # noqa: S608


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
    "SELECT customer_client.id FROM customer_client WHERE campaign.id = ''": "PROHIBITED_RESOURCE_TYPE_IN_WHERE_CLAUSE",
    "SELECT campaign.id, metrics.clicks FROM campaign": "EXPECTED_FILTERS_ON_DATE_RANGE",
    "SELECT segments.date FROM campaign WHERE segments.date = '2026-11-01'": "EXPECTED_FILTERS_ON_DATE_RANGE",
    "SELECT segments.date FROM campaign WHERE segments.date BETWEEN '1.11.2026' AND '2.11.2026'": "INVALID_DATE_FORMAT",
    f"{SELECT} WHERE campaign.status = 'DELETED'": "BAD_ENUM_CONSTANT",
    f"{SELECT} WHERE campaign.name = TRUE": "BAD_VALUE",
    f"{SELECT} WHERE campaign.name LIKE '%sale%'": "UNEXPECTED_INPUT",
    f"{SELECT} WHERE campaign.name = 'open": "UNEXPECTED_INPUT",
    f"{SELECT} ORDER BY campaign.id": "UNEXPECTED_INPUT",
    f"{SELECT} LIMIT 0": "UNEXPECTED_INPUT",
    "campaign.id FROM campaign": "UNEXPECTED_INPUT",
    f"{CHANGED} WHERE change_status.resource_type = 'CAMPAIGN' LIMIT 10": "CHANGE_DATE_RANGE_INFINITE",
    f"{CHANGED} {BY_TIME} BETWEEN '2026-11-19' AND '2026-11-20'": "LIMIT_NOT_SPECIFIED",
    f"{CHANGED} {BY_TIME} BETWEEN '2026-11-19' AND '2026-11-20' LIMIT 10001": "INVALID_LIMIT_CLAUSE",
    f"{CHANGED} {BY_TIME} BETWEEN '2026-11-20' AND '2026-11-19' LIMIT 10": "CHANGE_DATE_RANGE_NEGATIVE",
    f"{CHANGED} {BY_TIME} BETWEEN '2026-08-21' AND '2026-11-20' LIMIT 10": "START_DATE_TOO_OLD",
}


def test_queries_that_google_does_not_accept(caller: Caller) -> None:
    for query, code in REFUSED_QUERIES.items():
        category = "change_status_error" if query.startswith(CHANGED) else "query_error"
        assert failure_of(caller.ask(query)) == (400, category, code), query
    expected = (400, "query_error", "REQUESTED_METRICS_FOR_MANAGER")
    assert failure_of(caller.ask(METRICS, caller.grant.manager_id)) == expected
    assert caller.ask(client.METRICS_QUERY.format(since="2023-10-23", until="2026-11-20")).status_code == 200
    too_old = caller.ask(client.METRICS_QUERY.format(since="2023-10-20", until="2026-11-20"))
    assert failure_of(too_old) == (400, "date_range_error", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"query": "SELECT campaign.id FROM campaign", "pageSize": 1}'])
def test_a_body_or_a_url_that_is_not_of_a_search_is_refused(caller: Caller, body: bytes) -> None:
    url = f"{caller.url}/v26/customers/{caller.account.id}/googleAds:searchStream"
    headers = {"Authorization": f"Bearer {caller.token}", "Content-Type": "application/json"}
    right = b'{"query": "SELECT campaign.id FROM campaign"}'
    for path, content in ((url, body), (f"{url}?pageSize=1", right)):
        response = caller.http.post(path, content=content, headers=headers)
        assert response.status_code == 400
        assert response.json()[0]["error"]["message"].startswith("Invalid JSON payload received.")


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


# -- answers ----------------------------------------------------------------------------------------------------------


def test_conditions_and_limit(caller: Caller) -> None:
    for clause, last_digits in {
        "WHERE campaign.status IN ('PAUSED', 'REMOVED') AND campaign.name = 'Launch 7'": "6",
        "WHERE campaign.id BETWEEN '20000000002' AND '20000000004'": "234",
        "WHERE campaign_budget.explicitly_shared = TRUE": "26",
        "LIMIT 3": "012",
    }.items():
        assert "".join(row["campaign"]["id"][-1] for row in caller.rows(f"{SELECT} {clause}")) == last_digits
