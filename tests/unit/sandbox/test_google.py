"""The sandbox's Google against Google's own code (protobufs and google-auth) and its documented rules."""

from datetime import UTC, datetime, timedelta

import google.auth.transport.requests
import httpx
import pytest
from google.ads.googleads.v26.errors.types import errors as google_errors
from google.ads.googleads.v26.services.types.customer_service import ListAccessibleCustomersResponse
from google.ads.googleads.v26.services.types.google_ads_service import SearchGoogleAdsStreamResponse
from google.oauth2.credentials import Credentials
from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.google_query import SELECTABLE
from sandbox.google_rows import FIELDS
from sivera.platforms import google as client
from sivera.values import PlatformName
from tests.unit.platforms.test_google import gaql_field
from tests.unit.sandbox.conftest import FORM, Changes, NewUser, Request, User

GOOGLE = PlatformName.GOOGLE
CAMPAIGNS, CLIENTS = client.CAMPAIGN_QUERY, client.ACCOUNT_QUERY
CHANGED = "SELECT change_status.resource_name FROM change_status"
SELECT = "SELECT campaign.id FROM campaign"
SEARCH = "v26/customers/{id}/googleAds:searchStream"
REQUESTS = {
    "search": Request("POST", SEARCH, {"query": SELECT}),
    "search with a parameter": Request("POST", f"{SEARCH}?pageSize=1", {"query": SELECT}),
    "customers": Request("GET", "v26/customers:listAccessibleCustomers"),
    "retired": Request("GET", "v25/customers:listAccessibleCustomers"),
    "revoke": Request("POST", "revoke", {"token": "ya29.forged"}, FORM),
}


@pytest.fixture
def user(new_user: NewUser) -> User:
    """The user of three accounts with eight campaigns each, who has direct access to the first."""
    user = new_user(GOOGLE, accounts=3, campaigns=8)
    user.requests = REQUESTS
    return user


def ask(user: User, query: str, customer_id: str | None = None, login_id: str | None = None) -> httpx.Response:
    """Send a query for the first account, or for another customer."""
    login = {"Login-Customer-Id": login_id} if login_id else {}
    return user.ask("search", {"query": query, "/id": customer_id or user.account.id, **login})


def metrics(since: str, until: str = "2026-11-20") -> str:
    return client.METRICS_QUERY.format(since=since, until=until)


# -- Google's own code ------------------------------------------------------------------------------------------------


def test_every_field_of_the_sandbox_exists_at_google_and_can_be_selected(user: User) -> None:
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
        assert ask(user, f"SELECT {fields} FROM {resource}{where}").status_code == 200  # noqa: S608


@pytest.mark.parametrize(
    "query",
    [
        CAMPAIGNS,
        metrics("2026-11-01"),
        client.TOTALS_QUERY.format(since="2026-11-01", until="2026-11-20"),
        CLIENTS,
        client.CHANGE_QUERY.format(since="2026-11-19", until="2026-11-21 00:00:00", limit=10_000),
    ],
    ids=["campaigns", "metrics", "totals", "accounts", "changes"],
)
def test_answers_parse_as_googles_protobufs(user: User, query: str) -> None:
    user.world.change_campaign(GOOGLE, user.account.id, "20000000002", name="Retargeting 3")
    for part in ask(user, query).raise_for_status().json():
        message = SearchGoogleAdsStreamResponse.pb(SearchGoogleAdsStreamResponse())
        json_format.ParseDict(part, message)
        assert message.results
        assert json_format.MessageToDict(message) == part


def test_the_list_of_customers_parses_as_googles_protobuf(user: User) -> None:
    message = ListAccessibleCustomersResponse.pb(ListAccessibleCustomersResponse())
    json_format.ParseDict(user.ask("customers").json(), message)
    assert list(message.resource_names) == [f"customers/{user.grant.manager_id}", f"customers/{user.account.id}"]


@pytest.mark.parametrize("rotates", [False, True])
def test_google_auth_refreshes_a_token_and_adopts_a_rotated_refresh_token(user: User, rotates: bool) -> None:
    user.world.clock.set(datetime.now(UTC))
    user.grant.rotates = rotates
    first = user.world.issue_refresh(user.grant)
    credentials = Credentials(None, first, None, str(user.http.base_url.join("token")), CLIENT_ID, CLIENT_SECRET)  # type: ignore[no-untyped-call]
    credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]
    assert user.world.grant_of_access(GOOGLE, str(credentials.token)) is user.grant
    assert (credentials.refresh_token != first) is rotates
    assert credentials.expiry is not None
    assert timedelta(minutes=59) < credentials.expiry - datetime.now(UTC).replace(tzinfo=None) <= timedelta(hours=1)


# -- errors -----------------------------------------------------------------------------------------------------------


def failure_of(response: httpx.Response) -> tuple[int, str, str]:
    """Return the status, category and code of a reply's only error, parsed with Google's protobufs."""
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
    "SELECT metrics.clicks FROM campaign WHERE segments.date BETWEEN '2026-11-01' AND '2026-11-02'": (
        "EXPECTED_FILTERS_ON_DATE_RANGE"
    ),
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


@pytest.mark.parametrize(("query", "code"), REFUSED_QUERIES.items())
def test_google_refuses_an_invalid_query(user: User, query: str, code: str) -> None:
    category = "change_status_error" if query.startswith(CHANGED) else "query_error"
    assert failure_of(ask(user, query)) == (400, category, code)


def test_metrics_go_back_37_months_and_a_manager_has_none(user: User) -> None:
    expected = (400, "query_error", "REQUESTED_METRICS_FOR_MANAGER")
    assert failure_of(ask(user, metrics("2026-11-01"), user.grant.manager_id)) == expected
    assert ask(user, metrics("2023-10-23")).status_code == 200
    expected = (400, "date_range_error", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED")
    assert failure_of(ask(user, metrics("2023-10-20"))) == expected


REFUSED: list[tuple[str, Changes, int, str]] = [
    ("search", {"query": None}, 400, "Invalid JSON payload received."),
    ("search", {"pageSize": 1}, 400, "Invalid JSON payload received."),
    ("search with a parameter", {}, 400, "Invalid JSON payload received."),
    ("search", {"Content-Type": "text/plain"}, 400, "Invalid JSON payload received."),
    ("search", {"Authorization": "Bearer ya29.forged"}, 401, "OAUTH_TOKEN_INVALID"),
    ("customers", {"Authorization": ""}, 401, "UNAUTHENTICATED"),
    ("retired", {}, 404, "<!DOCTYPE html>"),
    ("revoke", {}, 400, "invalid_token"),
    ("revoke", {"more": 1}, 400, "invalid_request"),
]


@pytest.mark.parametrize(("name", "changes", "status", "words"), REFUSED)
def test_google_refuses_an_invalid_request(user: User, name: str, changes: Changes, status: int, words: str) -> None:
    reply = user.ask(name, changes)
    assert reply.status_code == status
    assert words in reply.text


def test_a_user_reads_only_customers_within_reach(user: User) -> None:
    direct, below, closed = user.world.accounts_of(user.grant)
    closed.closed = True
    manager = user.grant.manager_id
    foreign = user.world.accounts_of(user.world.add_grant(GOOGLE))[0]
    for customer, login in ((direct.id, None), (direct.id, manager), (below.id, manager)):
        assert ask(user, CAMPAIGNS, customer, login).status_code == 200
    denied = (403, "authorization_error", "USER_PERMISSION_DENIED")
    for customer, login in ((below.id, None), (below.id, direct.id), (foreign.id, None), (foreign.id, manager)):
        assert failure_of(ask(user, CAMPAIGNS, customer, login)) == denied
    for customer, login, expected in (
        (closed.id, manager, (403, "authorization_error", "CUSTOMER_NOT_ENABLED")),
        ("123-456-7890", None, (400, "request_error", "INVALID_CUSTOMER_ID")),
        (below.id, "90-1", (400, "header_error", "INVALID_LOGIN_CUSTOMER_ID")),
    ):
        assert failure_of(ask(user, CAMPAIGNS, customer, login)) == expected
    rows = ask(user, f"{CLIENTS} AND customer_client.status = 'CANCELED'", manager).json()[0]["results"]
    assert [row["customerClient"]["id"] for row in rows] == [closed.id]


# -- answers ----------------------------------------------------------------------------------------------------------


def test_conditions_and_a_limit_select_rows(user: User) -> None:
    for clause, last_digits in {
        "WHERE campaign.status IN ('PAUSED', 'REMOVED') AND campaign.name = 'Launch 7'": "6",
        "WHERE campaign.id BETWEEN '20000000002' AND '20000000004'": "234",
        "WHERE campaign_budget.explicitly_shared = TRUE": "26",
        "LIMIT 3": "012",
    }.items():
        [answer] = ask(user, f"{SELECT} {clause}").json()
        assert "".join(row["campaign"]["id"][-1] for row in answer["results"]) == last_digits
