"""What only the Google client does: the tree of accounts, changes and GAQL, and what google-auth says of renewals."""

import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google.ads.googleads.v26.services.types.google_ads_service import GoogleAdsRow
from pydantic import SecretStr

from sandbox.accounts import LOCALES
from sandbox.faults import Fault, FaultKind
from sivera.breaker import Breaker
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    PlatformError,
    Throttled,
    ThrottleScope,
    Unavailable,
)
from sivera.platforms.base import AnswersAtOnce
from sivera.platforms.google import NAMES_PER_QUERY
from sivera.values import BudgetKind, CampaignListing, DateWindow, Period
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import (
    ACCOUNT,
    GOOGLE,
    TOKEN,
    Desk,
    Network,
    answered,
    app_at,
    client_on,
    held,
    metrics,
    ours,
    refused,
    static,
    totals,
)
from tests.unit.platforms.test_errors import failure
from tests.unit.platforms.test_rows import ROWS


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    """A grant of three accounts: the first is reached directly, the others through a manager."""
    return new_desk(GOOGLE, accounts=3, campaigns=8)


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_each_account_is_listed_once_by_the_shortest_way_and_can_be_read(desk: Desk) -> None:
    first, second, third = desk.world.accounts_of(desk.grant)
    accounts = {account.external_id: account for account in desk.client.list_accounts(desk.tokens).accounts}
    manager = desk.grant.manager_id
    assert {id_: account.manager_id for id_, account in accounts.items()} == {
        first.id: None,
        second.id: manager,
        third.id: manager,
    }
    assert accounts[second.id] == ours(second).model_copy(update={"manager_id": manager})
    for account in accounts.values():
        assert len(desk.client.list_campaigns(desk.tokens, account).campaigns) == 8


@pytest.mark.parametrize("order", [["1", "2"], ["2", "1"]])
def test_an_account_below_two_managers_is_reached_through_the_nearer_one(order: list[str]) -> None:
    def answer(request: httpx.Request) -> Any:
        if request.method == "GET":
            return {"resourceNames": [f"customers/{id_}" for id_ in order]}
        level = "2" if "/customers/1/" in request.url.path else "1"
        client = {"id": "77", "currencyCode": "EUR", "timeZone": "Europe/Berlin", "status": "ENABLED", "level": level}
        return [{"results": [{"customerClient": client}], "fieldMask": "x"}]

    [account] = answered(GOOGLE, answer).list_accounts(static(GOOGLE)).accounts
    assert (account.external_id, account.manager_id, account.name) == ("77", "2", "77")


def test_a_customer_with_an_odd_name_is_left_out() -> None:
    row = {"level": "0", **ROWS["google account"]}
    replies = [{"resourceNames": ["customers/1", None]}, [{"results": [{"customerClient": row}], "fieldMask": "x"}]]
    listing = answered(GOOGLE, *replies).list_accounts(static(GOOGLE))
    assert ([account.external_id for account in listing.accounts], len(listing.left_out)) == (["1"], 1)


@pytest.mark.parametrize("body", [{}, {"resourceNames": None}])
def test_a_user_without_customers_has_no_accounts(body: Any) -> None:
    assert answered(GOOGLE, body).list_accounts(static(GOOGLE)).accounts == ()


@pytest.mark.parametrize(
    ("category", "code"), [("authorizationError", "USER_PERMISSION_DENIED"), ("requestError", "A_NEW_ONE")]
)
def test_a_customer_that_cannot_be_read_is_left_out_by_name(desk: Desk, category: str, code: str) -> None:
    manager, direct = str(desk.grant.manager_id), desk.site.id
    answer = [failure(403 if code.startswith("USER") else 400, category, code)]
    fault = Fault(FaultKind.BODY, GOOGLE, "accounts", match=f"customers/{manager}/", status=400, value=answer)
    desk.world.faults.add(fault)
    listing = desk.client.list_accounts(desk.tokens)
    assert [account.external_id for account in listing.accounts] == [direct]
    assert [(row.id, row.why[:16]) for row in listing.left_out] == [(manager, "cannot be read: ")]
    fault.match = ":searchStream"
    if code == "A_NEW_ONE":
        with refused(InvalidRequest, "No"):
            desk.client.list_accounts(desk.tokens)
    else:
        listing = desk.client.list_accounts(desk.tokens)
        assert (listing.accounts, [row.id for row in listing.left_out]) == ((), [manager, direct])


def throttled(scope: str) -> Fault:
    """Return a 'slow down' of a customer, or of our application."""
    details = {"quotaErrorDetails": {"rateScope": scope}}
    answer = [failure(429, "quotaError", "RESOURCE_EXHAUSTED", details)]
    return Fault(FaultKind.BODY, GOOGLE, "accounts", status=429, value=answer)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(FaultKind.STATUS, GOOGLE, "accounts", status=500), Unavailable),
        (Fault(FaultKind.TRUNCATED, GOOGLE, "accounts"), InvalidReply),
        (Fault(FaultKind.BODY, GOOGLE, "accounts", status=200, value=[{"results": 7}]), InvalidReply),
        (Fault(FaultKind.DISCONNECT, GOOGLE, "accounts"), Unavailable),
        (throttled("ACCOUNT"), Throttled),
    ],
)
def test_a_customer_in_trouble_costs_no_account_of_another(desk: Desk, fault: Fault, kind: type[PlatformError]) -> None:
    manager, direct = str(desk.grant.manager_id), desk.site.id
    desk.world.faults.add(replace(fault, match=f"customers/{manager}/"))
    with closing(desk.new_client(breaker=Breaker())) as client:
        listing = client.list_accounts(desk.tokens)
    assert [account.external_id for account in listing.accounts] == [direct]
    assert [row.id for row in listing.left_out] == [manager]
    desk.world.faults.add(replace(fault, match=":searchStream"))
    with closing(desk.new_client(breaker=Breaker())) as client, refused(kind):
        client.list_accounts(desk.tokens)


def test_a_throttle_of_our_application_ends_the_listing(desk: Desk) -> None:
    desk.world.faults.add(replace(throttled("DEVELOPER"), match=f"customers/{desk.grant.manager_id}/"))
    with refused(Throttled):
        desk.client.list_accounts(desk.tokens)


def test_an_account_that_lost_its_direct_access_is_found_through_the_manager(desk: Desk) -> None:
    [before] = [a for a in desk.client.list_accounts(desk.tokens).accounts if a.external_id == desk.site.id]
    desk.grant.only_through_manager = True
    with refused(AccountInaccessible):
        desk.client.list_campaigns(desk.tokens, before)
    listing = desk.client.list_accounts(desk.tokens)
    [after] = [account for account in listing.accounts if account.external_id == desk.site.id]
    assert (before.manager_id, after.manager_id, listing.left_out) == (None, desk.grant.manager_id, ())
    assert desk.client.list_campaigns(desk.tokens, after).complete


# -- what Google no longer answers ------------------------------------------------------------------------------------


def test_a_window_begins_when_google_still_has_figures() -> None:
    network = Network([{"fieldMask": "x"}])
    client, window = client_on(GOOGLE, network), DateWindow(since=date(2020, 1, 1), until=date(2026, 11, 20))
    assert isinstance(client, AnswersAtOnce)
    [reading] = client.read_metrics(static(GOOGLE), ACCOUNT, window)
    client.read_totals(static(GOOGLE), ACCOUNT, window)
    assert (reading.window.since, reading.window.until) == (date(2023, 11, 6), window.until)
    assert all(b"BETWEEN '2023-11-06' AND '2026-11-20'" in request.content for request in network.requests)


def test_a_throttle_of_an_account_leaves_the_others(desk: Desk) -> None:
    quota = {"rateScope": "ACCOUNT", "retryDelay": "900s"}
    answer = [failure(429, "quotaError", "RESOURCE_EXHAUSTED", {"quotaErrorDetails": quota})]
    first, second, _ = desk.client.list_accounts(desk.tokens).accounts
    desk.world.faults.add(Fault(FaultKind.BODY, GOOGLE, match=f"/{first.external_id}/", status=429, value=answer))
    for _ in range(2):
        with refused(Throttled) as caught:
            desk.client.list_campaigns(desk.tokens, first)
        assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ACCOUNT, 900)
    assert desk.calls("campaigns") == 1
    assert desk.client.list_campaigns(desk.tokens, second).complete


def test_of_two_rows_of_a_campaign_and_day_the_last_counts() -> None:
    rows = [
        {"campaign": {"id": "1"}, "segments": {"date": "2026-11-01"}, "metrics": ROWS["google metrics"] | {"clicks": n}}
        for n in "67"
    ]
    client = answered(GOOGLE, [{"results": rows, "fieldMask": "x"}])
    assert [row.clicks for row in metrics(client, static(GOOGLE), ACCOUNT)] == [7]
    assert [total.day.day for total in totals(client, static(GOOGLE), ACCOUNT)] == [1]


# -- changes ----------------------------------------------------------------------------------------------------------


def changes_since(desk: Desk, ago: timedelta = timedelta()) -> CampaignListing:
    [listing] = desk.changed_since(ago)
    return listing


def test_a_listing_without_changes_costs_one_call(desk: Desk) -> None:
    listing = changes_since(desk, timedelta(hours=1))
    assert (listing.campaigns, listing.complete) == ((), False)
    assert (desk.calls("changes"), desk.calls("campaigns")) == (1, 0)


def test_a_changed_shared_budget_brings_every_campaign_that_uses_it(desk: Desk) -> None:
    sharers = {c.id for c in desk.site.campaigns.values() if c.budget_kind is BudgetKind.SHARED}
    assert len(sharers) == 2
    desk.change(min(sharers), budget=Decimal(77))
    listing = changes_since(desk)
    assert {campaign.external_id for campaign in listing.campaigns} == sharers
    assert {(c.budget.kind, c.budget.amount) for c in listing.campaigns} == {(BudgetKind.SHARED, Decimal(77))}


@pytest.mark.parametrize("zone", [zone for zone, _ in LOCALES])
def test_changes_are_those_of_the_period_in_every_time_zone(desk: Desk, zone: str) -> None:
    desk.site.timezone = zone
    first = next(iter(desk.site.campaigns))
    desk.change(first, name="Renamed")
    now = desk.world.clock.now()
    for hours, found in ((0, 1), (-2, 0), (2, 0)):
        start = now + timedelta(hours=hours)
        changed = Period(since=start - timedelta(minutes=10), until=start + timedelta(minutes=10))
        listing = desk.client.list_campaigns(desk.tokens, desk.account, changed=changed)
        assert len(listing.campaigns) == found


def test_a_change_in_the_hour_that_comes_twice_is_found(desk: Desk) -> None:
    desk.site.timezone = "America/New_York"
    desk.world.clock.set(datetime(2026, 11, 1, 6, 20, tzinfo=UTC))  # 01:20 for the second time
    desk.tokens.tokens = desk.new_tokens()
    desk.change(next(iter(desk.site.campaigns)), name="Renamed")
    now = desk.world.clock.now()
    changed = Period(since=now - timedelta(minutes=30), until=now + timedelta(minutes=5))
    assert desk.client.list_campaigns(desk.tokens, desk.account, changed=changed).campaigns


def test_changes_since_long_ago_are_a_full_listing(desk: Desk) -> None:
    listing = changes_since(desk, timedelta(days=90))
    assert (len(listing.campaigns), listing.complete) == (8, True)


def test_many_changes_are_asked_for_in_parts(desk: Desk) -> None:
    for _ in range(NAMES_PER_QUERY + 1):
        desk.world.add_campaign(GOOGLE, desk.site.id, budget_kind=BudgetKind.LOWER_LEVEL)
    listing = changes_since(desk)
    assert not listing.complete
    assert len({campaign.external_id for campaign in listing.campaigns}) == len(listing.campaigns) == 1_001
    assert desk.calls("campaigns") == 2


# -- requests ---------------------------------------------------------------------------------------------------------


def gaql_field(name: str) -> Any:
    """Return the protobuf field that a GAQL name stands for; None if Google has none."""
    descriptor, field = GoogleAdsRow.pb(GoogleAdsRow()).DESCRIPTOR, None
    for part in name.split("."):
        field = descriptor.fields_by_name.get(part)
        if field is None:
            return None
        descriptor = field.message_type
    return field


def test_every_gaql_name_in_our_queries_is_googles(desk: Desk) -> None:
    desk.change(list(desk.site.campaigns)[2], name="Renamed")
    desk.client.list_accounts(desk.tokens)
    changes_since(desk)
    desk.listed()
    desk.rows()
    sent = " ".join(text for _, _, text in desk.world.faults.log)
    names = set(re.findall(r"\b[a-z_]+\.[a-z_]+\b", sent))
    assert names >= {"campaign.campaign_budget", "change_status.campaign", "customer_client.level", "segments.date"}
    assert {name for name in names if gaql_field(name) is None} == set()
    assert gaql_field("campaign.start_date") is None


@pytest.mark.parametrize("developer_token", [None, SecretStr("dev-token")])
def test_a_request_carries_the_token_the_manager_and_the_developer_token(developer_token: SecretStr | None) -> None:
    network = Network([], [], {"access_token": "ya29.new", "expires_in": 3599})
    client = client_on(GOOGLE, network, app_at(None, developer_token=developer_token))
    client.list_campaigns(static(GOOGLE), ACCOUNT.model_copy(update={"manager_id": "9000000001"}))
    client.list_campaigns(static(GOOGLE), ACCOUNT)
    client.renew(held("old", "1//refresh"))
    through_manager, direct, renewal = network.requests
    assert through_manager.headers["authorization"] == f"Bearer {TOKEN}"
    assert through_manager.headers["login-customer-id"] == "9000000001"
    assert "login-customer-id" not in direct.headers
    assert direct.headers.get("developer-token") == (developer_token and "dev-token")
    assert b"grant_type=refresh_token" in renewal.content
