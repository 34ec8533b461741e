"""Only for Google: the tree of accounts, changes, and GAQL queries."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google.ads.googleads.v26.services.types.google_ads_service import GoogleAdsRow
from pydantic import SecretStr

from sandbox.accounts import LOCALES
from sandbox.faults import FaultKind
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    PlatformError,
    Throttled,
    ThrottleScope,
    Unavailable,
    Unreached,
)
from sivera.platforms.google import NAMES_PER_QUERY
from sivera.values import BudgetKind, CampaignListing, DateWindow, Period
from tests.conftest import NOW
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import ACCOUNT, GOOGLE, TOKEN, Canned, Rig, app_at, ours, refused
from tests.unit.platforms.test_errors import failure
from tests.unit.platforms.test_rows import ROWS


@pytest.fixture
def rig(new_rig: NewRig) -> Rig:
    """A grant of three accounts: the first is reached directly, the others through a manager."""
    return new_rig(GOOGLE, accounts=3, campaigns=8)


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_each_account_is_listed_once_by_the_shortest_way_and_can_be_read(rig: Rig) -> None:
    first, second, third = rig.sites
    accounts = {account.external_id: account for account in rig.accounts().accounts}
    manager = rig.grant.manager_id
    assert {id_: account.manager_id for id_, account in accounts.items()} == {
        first.id: None,
        second.id: manager,
        third.id: manager,
    }
    assert accounts[second.id] == ours(second).model_copy(update={"manager_id": manager})
    for account in accounts.values():
        assert len(rig.campaigns(account=account).campaigns) == 8


@pytest.mark.parametrize("order", [["1", "2"], ["2", "1"]])
def test_an_account_below_two_managers_is_reached_through_the_nearer_one(order: list[str]) -> None:
    def answer(request: httpx.Request) -> Any:
        if request.method == "GET":
            return {"resourceNames": [f"customers/{id_}" for id_ in order]}
        level = "2" if "/customers/1/" in request.url.path else "1"
        client = {"id": "77", "currencyCode": "EUR", "timeZone": "Europe/Berlin", "status": "ENABLED", "level": level}
        return [{"results": [{"customerClient": client}], "fieldMask": "x"}]

    [account] = Canned(GOOGLE, answer).accounts().accounts
    assert (account.external_id, account.manager_id, account.name) == ("77", "2", "77")


def test_a_customer_with_an_odd_name_is_left_out() -> None:
    row = {"level": "0", **ROWS["google account"]}
    replies = [{"resourceNames": ["customers/1", None]}, [{"results": [{"customerClient": row}], "fieldMask": "x"}]]
    listing = Canned(GOOGLE, *replies).accounts()
    assert ([account.external_id for account in listing.accounts], len(listing.left_out)) == (["1"], 1)


@pytest.mark.parametrize("body", [{}, {"resourceNames": None}])
def test_a_user_without_customers_has_no_accounts(body: Any) -> None:
    assert Canned(GOOGLE, body).accounts().accounts == ()


def refusal(status: int, category: str, code: str, **quota: str) -> dict[str, Any]:
    details = {"quotaErrorDetails": quota} if quota else None
    return {"status": status, "value": [failure(status, category, code, details)]}


def throttle(scope: str) -> dict[str, Any]:
    return refusal(429, "quotaError", "RESOURCE_EXHAUSTED", rateScope=scope, retryDelay="900s")


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        (FaultKind.BODY, refusal(403, "authorizationError", "USER_PERMISSION_DENIED"), None),
        (FaultKind.BODY, refusal(400, "requestError", "A_NEW_ONE"), InvalidRequest),
        (FaultKind.BODY, throttle("ACCOUNT"), Throttled),
        (FaultKind.BODY, {"status": 200, "value": [{"results": 7}]}, InvalidReply),
        (FaultKind.STATUS, {"status": 500}, Unavailable),
        (FaultKind.TRUNCATED, {}, InvalidReply),
        (FaultKind.DISCONNECT, {}, Unavailable),
    ],
)
def test_a_customer_that_cannot_be_read_costs_no_account_of_another(
    rig: Rig, kind: FaultKind, options: dict[str, Any], error: type[PlatformError] | None
) -> None:
    manager, direct = str(rig.grant.manager_id), rig.site.id
    fault = rig.fault(kind, "accounts", match=f"customers/{manager}/", **options)
    listing = rig.accounts()
    assert [account.external_id for account in listing.accounts] == [direct]
    assert [(row.id, row.why[:16]) for row in listing.left_out] == [(manager, "cannot be read: ")]
    fault.match = ":searchStream"
    rig.reopen()
    if error is None:
        assert [row.id for row in rig.accounts().left_out] == [manager, direct]
    else:
        with refused(error):
            rig.accounts()


def test_a_throttle_of_our_application_ends_the_listing(rig: Rig) -> None:
    rig.fault(FaultKind.BODY, "accounts", match=f"customers/{rig.site.id}/", **throttle("DEVELOPER"))
    with refused(Throttled):
        rig.accounts()


def test_a_lost_connection_ends_the_listing() -> None:
    rows = [{"results": [{"customerClient": {"level": "0", **ROWS["google account"]}}], "fieldMask": "x"}]
    customers = {"resourceNames": ["customers/1", "customers/2"]}
    with refused(Unreached):
        Canned(GOOGLE, customers, rows, httpx.ConnectError("unplugged")).accounts()


def test_an_account_that_lost_its_direct_access_is_found_through_the_manager(rig: Rig) -> None:
    [before] = [a for a in rig.accounts().accounts if a.external_id == rig.site.id]
    rig.grant.only_through_manager = True
    with refused(AccountInaccessible):
        rig.campaigns(account=before)
    listing = rig.accounts()
    [after] = [account for account in listing.accounts if account.external_id == rig.site.id]
    assert (before.manager_id, after.manager_id, listing.left_out) == (None, rig.grant.manager_id, ())
    assert rig.campaigns(account=after).complete


# -- metrics and throttles --------------------------------------------------------------------------------------------


def test_a_window_starts_with_the_figures_that_google_still_has() -> None:
    canned, window = Canned(GOOGLE, [{"fieldMask": "x"}]), DateWindow(since=date(2020, 1, 1), until=date(2026, 11, 20))
    [reading] = canned.metrics(window)
    canned.totals(window)
    assert (reading.window.since, reading.window.until) == (date(2023, 11, 6), window.until)
    assert all(b"BETWEEN '2023-11-06' AND '2026-11-20'" in request.content for request in canned.requests)


def test_a_throttle_of_an_account_stops_only_that_account(rig: Rig) -> None:
    first, second, _ = rig.accounts().accounts
    rig.fault(FaultKind.BODY, match=f"/{first.external_id}/", **throttle("ACCOUNT"))
    for _ in range(2):
        with refused(Throttled) as caught:
            rig.campaigns(account=first)
        assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ACCOUNT, 900)
    assert rig.calls("campaigns") == 1
    assert rig.campaigns(account=second).complete


def test_the_last_row_of_a_campaign_and_day_counts() -> None:
    rows = [
        {"campaign": {"id": "1"}, "segments": {"date": "2026-11-01"}, "metrics": ROWS["google metrics"] | {"clicks": n}}
        for n in "67"
    ]
    canned = Canned(GOOGLE, [{"results": rows, "fieldMask": "x"}])
    [reading] = canned.metrics()
    assert [row.clicks for row in reading.rows] == [7]
    assert [total.day.day for total in canned.totals().days] == [1]


# -- changes ----------------------------------------------------------------------------------------------------------


def changes_since(rig: Rig, ago: timedelta = timedelta()) -> CampaignListing:
    [listing] = rig.changed_since(ago)
    return listing


def test_a_listing_without_changes_costs_one_call_and_one_since_long_ago_is_full(rig: Rig) -> None:
    listing = changes_since(rig, timedelta(hours=1))
    assert (listing.campaigns, listing.complete) == ((), False)
    assert (rig.calls("changes"), rig.calls("campaigns")) == (1, 0)
    listing = changes_since(rig, timedelta(days=90))
    assert (len(listing.campaigns), listing.complete) == (8, True)


def test_a_refusal_of_the_changes_is_an_error() -> None:
    refusal = httpx.Response(400, json=failure(400, "changeStatusError", "A_NEW_ONE"))
    with refused(InvalidRequest):
        Canned(GOOGLE, refusal, [{"fieldMask": "x"}]).campaigns(changed=Period(since=NOW, until=NOW))


def test_every_campaign_that_shares_a_changed_budget_is_listed(rig: Rig) -> None:
    sharers = {c.id for c in rig.site.campaigns.values() if c.budget_kind is BudgetKind.SHARED}
    assert len(sharers) == 2
    rig.change(min(sharers), budget=Decimal(77))
    listing = changes_since(rig)
    assert {campaign.external_id for campaign in listing.campaigns} == sharers
    assert {(c.budget.kind, c.budget.amount) for c in listing.campaigns} == {(BudgetKind.SHARED, Decimal(77))}


@pytest.mark.parametrize("zone", [zone for zone, _ in LOCALES])
def test_only_changes_within_the_period_are_listed_in_every_time_zone(rig: Rig, zone: str) -> None:
    rig.site.timezone = zone
    first = next(iter(rig.site.campaigns))
    rig.change(first, name="Renamed")
    now = rig.world.clock.now()
    for hours, found in ((0, 1), (-2, 0), (2, 0)):
        start = now + timedelta(hours=hours)
        changed = Period(since=start - timedelta(minutes=10), until=start + timedelta(minutes=10))
        listing = rig.campaigns(changed=changed)
        assert len(listing.campaigns) == found


def test_a_change_in_the_repeated_hour_is_found(rig: Rig) -> None:
    rig.site.timezone = "America/New_York"
    rig.world.clock.set(datetime(2026, 11, 1, 6, 20, tzinfo=UTC))  # 01:20 for the second time
    rig.held = rig.new_tokens()
    rig.change(next(iter(rig.site.campaigns)), name="Renamed")
    now = rig.world.clock.now()
    changed = Period(since=now - timedelta(minutes=30), until=now + timedelta(minutes=5))
    assert rig.campaigns(changed=changed).campaigns


def test_many_changes_are_asked_for_in_parts(rig: Rig) -> None:
    for _ in range(NAMES_PER_QUERY + 1):
        rig.world.add_campaign(GOOGLE, rig.site.id, budget_kind=BudgetKind.LOWER_LEVEL)
    listing = changes_since(rig)
    assert not listing.complete
    assert len({campaign.external_id for campaign in listing.campaigns}) == len(listing.campaigns) == 1_001
    assert rig.calls("campaigns") == 2


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


def test_every_gaql_name_in_our_queries_is_googles(rig: Rig) -> None:
    rig.change(list(rig.site.campaigns)[2], name="Renamed")
    rig.accounts()
    changes_since(rig)
    rig.listed()
    rig.rows()
    sent = " ".join(text for _, _, text in rig.world.faults.log)
    names = set(re.findall(r"\b[a-z_]+\.[a-z_]+\b", sent))
    assert names >= {"campaign.campaign_budget", "change_status.campaign", "customer_client.level", "segments.date"}
    assert {name for name in names if gaql_field(name) is None} == set()
    assert gaql_field("campaign.start_date") is None


@pytest.mark.parametrize("developer_token", [None, SecretStr("dev-token")])
def test_a_request_carries_the_token_the_manager_and_the_developer_token(developer_token: SecretStr | None) -> None:
    tokens = {"access_token": "ya29.new", "expires_in": 3599}
    canned = Canned(GOOGLE, [], [], tokens, app=app_at(None, developer_token=developer_token))
    canned.campaigns(account=ACCOUNT.model_copy(update={"manager_id": "9000000001"}))
    canned.campaigns()
    canned.renew()
    through_manager, direct, renewal = canned.requests
    assert through_manager.headers["authorization"] == f"Bearer {TOKEN}"
    assert through_manager.headers["login-customer-id"] == "9000000001"
    assert "login-customer-id" not in direct.headers
    assert direct.headers.get("developer-token") == (developer_token and "dev-token")
    assert b"grant_type=refresh_token" in renewal.content
