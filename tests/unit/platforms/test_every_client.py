"""What all four clients promise, against the sandbox over real HTTP."""

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sandbox.faults import ABSENT, Fault, FaultKind
from sandbox.figures import ZERO, Figures
from sivera.breaker import OUTAGE_AFTER, Breaker
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    Throttled,
    ThrottleScope,
    TimedOut,
    TokenRejected,
    Unavailable,
    Unreached,
)
from sivera.platforms import open_client
from sivera.platforms.base import AnswersAtOnce
from sivera.platforms.meta_errors import TooMuchData
from sivera.platforms.parts import days_of
from sivera.values import AccountStatus, BudgetKind, CampaignStatus, DateWindow, PlatformName
from tests.conftest import PATIENCE_SECONDS
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import (
    ACCOUNT,
    AMAZON,
    GOOGLE,
    META,
    TIKTOK,
    WINDOW,
    Desk,
    Network,
    Renewing,
    app_at,
    client_on,
    figures_of,
    held,
    ours,
    questions,
    refused,
    spend_of,
    static,
    totals,
)

DAY = date(2026, 11, 18)

# -- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "accounts", "calls"), [(GOOGLE, 5, 3), (META, 130, 2), (AMAZON, 20, 3), (TIKTOK, 230, 3)]
)
def test_all_accounts_of_a_grant_are_listed_and_closed_ones_are_marked(
    new_desk: NewDesk, platform: PlatformName, accounts: int, calls: int
) -> None:
    desk = new_desk(platform, accounts=accounts, campaigns=0)
    sites = desk.world.accounts_of(desk.grant)
    sites[3].closed = True
    listed = {account.external_id: account for account in desk.client.list_accounts(desk.tokens).accounts}
    operations = ("accounts", "validate")
    assert sum(desk.calls(operation) for operation in operations) == calls + (platform is TIKTOK)
    expected = {site.id: ours(site) for site in sites if platform is not AMAZON or not site.closed}
    for id_, account in expected.items():
        status = AccountStatus.CLOSED if id_ == sites[3].id else AccountStatus.ACTIVE
        manager_id = listed[id_].manager_id
        assert listed[id_] == account.model_copy(update={"status": status, "manager_id": manager_id})
    assert listed.keys() == expected.keys()


def test_closed_foreign_and_unknown_accounts_are_inaccessible(desk: Desk) -> None:
    foreign = ours(desk.world.accounts_of(desk.world.add_grant(desk.platform))[0])
    foreign = foreign.model_copy(update={"region": desk.site.region})
    desk.site.closed = True
    unknown = desk.account.model_copy(update={"external_id": "1234567890"})
    for account in (desk.account, foreign, unknown):
        with refused(AccountInaccessible):
            desk.client.list_campaigns(desk.tokens, account, desk.client.products[0])


# -- campaigns --------------------------------------------------------------------------------------------------------

ACTIVE, PAUSED, _, ARCHIVED, REMOVED, OTHER = CampaignStatus
NATIVE = {
    GOOGLE: {ACTIVE: "ENABLED", PAUSED: "PAUSED", REMOVED: "REMOVED", OTHER: "UNKNOWN"},
    META: {ACTIVE: "ACTIVE", PAUSED: "PAUSED", ARCHIVED: "ARCHIVED"},
    AMAZON: {ACTIVE: "ENABLED", PAUSED: "PAUSED", ARCHIVED: "ARCHIVED"},
    TIKTOK: {ACTIVE: "CAMPAIGN_STATUS_ENABLE", PAUSED: "CAMPAIGN_STATUS_DISABLE", REMOVED: "CAMPAIGN_STATUS_DELETE"},
}
BUDGETS = {
    GOOGLE: set(BudgetKind),
    META: {BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL},
    AMAZON: {BudgetKind.DAILY},
    TIKTOK: {BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL},
}


def test_campaigns_are_those_of_the_account_in_every_state_and_with_every_budget(desk: Desk) -> None:
    states = NATIVE[desk.platform]
    for state in states:
        desk.world.add_campaign(desk.platform, desk.site.id, state=state)
    if desk.platform is GOOGLE:
        desk.world.add_campaign(GOOGLE, desk.site.id, budget_kind=BudgetKind.LOWER_LEVEL)
    listed = desk.listed()
    assert listed.keys() == desk.listable
    assert {c.status for c in listed.values()} == set(states)
    assert {c.budget.kind for c in listed.values()} == BUDGETS[desk.platform]
    for id_, campaign in listed.items():
        truth = desk.site.campaigns[id_]
        assert (campaign.name, campaign.ad_product, campaign.status) == (truth.name, truth.product, truth.state)
        assert campaign.native_status.upper() == states[truth.state]
        assert campaign.budget.kind is truth.budget_kind
        assert campaign.budget.amount == (None if truth.budget_kind is BudgetKind.LOWER_LEVEL else truth.budget)
        assert campaign.updated_at == (None if desk.platform is GOOGLE else truth.updated)
        assert campaign.start_date == (None if desk.platform is TIKTOK else truth.start)


@pytest.mark.parametrize(("currency", "amount"), [("USD", "12.34"), ("KRW", "12000000"), ("TWD", "600")])
def test_money_is_exact_in_major_units(desk: Desk, currency: str, amount: str) -> None:
    money, value = Decimal(amount), Decimal(amount) * 3
    desk.site.currency = currency
    first = next(iter(desk.site.campaigns))
    desk.change(first, budget_kind=BudgetKind.DAILY, budget=money)
    desk.world.restate(first, DAY, Figures(10, 2, money, Decimal(1), value))
    budget = desk.listed()[first].budget
    assert (budget.kind, budget.amount, budget.currency) == (BudgetKind.DAILY, money, currency)
    row = desk.rows()[first, DAY]
    assert (row.spend, row.conversion_value, row.currency) == (money, value, currency)


@pytest.mark.parametrize(
    ("platform", "campaigns", "calls"),
    [(GOOGLE, 230, 1), (META, 230, 3), (AMAZON, 0, 3), (AMAZON, 300, 4), (AMAZON, 350, 6), (TIKTOK, 2300, 3)],
)
def test_a_listing_of_several_pages_is_read_to_the_end(
    new_desk: NewDesk, platform: PlatformName, campaigns: int, calls: int
) -> None:
    desk = new_desk(platform, campaigns=campaigns)
    assert desk.listed().keys() == desk.listable
    assert desk.calls("campaigns") == calls


def test_a_listing_of_changes_has_what_changed_and_says_whether_it_is_complete(desk: Desk) -> None:
    renamed, gone, *_ = desk.site.campaigns
    desk.world.clock.advance(timedelta(hours=26))
    desk.tokens = Renewing(desk.client, desk.new_tokens())
    desk.change(renamed, name="Renamed")
    removed = ARCHIVED if desk.platform in (AMAZON, META) else REMOVED
    desk.change(gone, state=removed)
    added = desk.world.add_campaign(desk.platform, desk.site.id).id
    listings = desk.changed_since()
    listed = [campaign for listing in listings for campaign in listing.campaigns]
    found = {campaign.external_id: campaign for campaign in listed}
    assert len(found) == len(listed)
    assert (found[renamed].name, found[gone].status) == ("Renamed", removed)
    assert added in found
    has_filter = desk.platform in (GOOGLE, META)
    assert all(listing.complete is not has_filter for listing in listings)
    assert len(found) == (3 if has_filter else 13)
    assert found == {id_: campaign for id_, campaign in desk.listed().items() if id_ in found}


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_are_the_figures_of_every_day_that_has_some(desk: Desk) -> None:
    first, *_, last = desk.site.campaigns
    restated = Figures(1000, 50, Decimal("12.34"), Decimal(3), Decimal("700.25"))
    desk.world.restate(first, DAY, restated)
    desk.world.restate(first, WINDOW.until, ZERO)
    desk.world.restate(last, DAY, restated)
    desk.change(last, state=ARCHIVED if desk.platform is AMAZON else REMOVED)
    rows = desk.rows()
    assert {key: figures_of(row) for key, row in rows.items()} == desk.truth()
    assert figures_of(rows[first, DAY]) == figures_of(rows[last, DAY]) == restated
    assert (first, WINDOW.until) not in rows
    assert {row.currency for row in rows.values()} == {desk.site.currency}


@pytest.mark.parametrize("platform", [GOOGLE, META, TIKTOK], ids=str)
def test_the_total_of_a_day_has_what_no_campaign_spent(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform)
    desk.world.spend_elsewhere(desk.site.id, DAY, Decimal("7.25"))
    of_campaigns = spend_of(desk.rows())
    assert desk.totals() == of_campaigns | {DAY: of_campaigns[DAY] + Decimal("7.25")}


CURRENCIES = {GOOGLE: "customerClient.currencyCode", META: "currency", AMAZON: "currencyCode", TIKTOK: "currency"}


@pytest.mark.parametrize("platform", list(PlatformName), ids=str)
def test_an_odd_account_is_left_out_by_name_and_mostly_odd_ones_are_an_error(
    new_desk: NewDesk, platform: PlatformName
) -> None:
    desk = new_desk(platform, accounts=7, campaigns=0)
    odd, *good = desk.grant.account_ids
    fault = Fault(FaultKind.ODD_ROW, platform, "accounts", match=odd, field=CURRENCIES[platform], value="")
    desk.world.faults.add(fault)
    listing = desk.client.list_accounts(desk.tokens)
    assert {account.external_id for account in listing.accounts} == set(good)
    assert [(row.id, CURRENCIES[platform] in row.why) for row in listing.left_out] == [(odd, True)]
    fault.match = None
    with refused(InvalidReply, "rows that are not as documented"):
        desk.client.list_accounts(desk.tokens)


NAMES = {GOOGLE: "campaign.name", META: "name", AMAZON: "name", TIKTOK: "campaign_name"}
CLICKS = {GOOGLE: "metrics.clicks", META: "clicks", AMAZON: "clicks", TIKTOK: "metrics.clicks"}


@pytest.mark.parametrize("value", ["\ud83d", None], ids=["half an emoji", "null"])
def test_an_odd_campaign_is_left_out_by_name_and_the_listing_is_not_complete(desk: Desk, value: Any) -> None:
    odd = list(desk.site.campaigns)[1]
    name = NAMES[desk.platform]
    desk.world.faults.add(Fault(FaultKind.ODD_ROW, desk.platform, "campaigns", match=odd, field=name, value=value))
    listings = desk.listings()
    listed = {campaign.external_id for listing in listings for campaign in listing.campaigns}
    assert listed == desk.listable - {odd}
    assert [row.id for listing in listings for row in listing.left_out] == [odd]
    assert [listing.complete for listing in listings].count(False) == 1


TOO_LARGE: dict[PlatformName, list[tuple[str, Any]]] = {
    GOOGLE: [("metrics.conversions", 1e300), ("metrics.clicks", "9" * 19)],
    META: [("spend", "100000000000000"), ("clicks", "9" * 19)],
    AMAZON: [("cost", 10**14), ("clicks", 10**19)],
    TIKTOK: [("metrics.spend", "100000000000000"), ("metrics.clicks", "9" * 19)],
}
"""The database takes no such figures."""
ODD_CLICKS = {"null": None, "half an emoji": "\ud83d", "absent": ABSENT}


@pytest.mark.parametrize("what", [*ODD_CLICKS.values(), 0, 1], ids=[*ODD_CLICKS, "large", "large clicks"])
def test_odd_figures_are_left_out_by_name(desk: Desk, what: Any) -> None:
    odd = next(campaign for campaign, _ in desk.truth())
    name, value = TOO_LARGE[desk.platform][what] if isinstance(what, int) else (CLICKS[desk.platform], what)
    operation = "report-download" if desk.platform is AMAZON else "metrics"
    desk.world.faults.add(Fault(FaultKind.ODD_ROW, desk.platform, operation, match=odd, field=name, value=value))
    readings = desk.read()
    assert {row.campaign_id for reading in readings for row in reading.rows} == {c for c, _ in desk.truth()} - {odd}
    left_out = [row for reading in readings for row in reading.left_out]
    assert left_out
    assert all(odd in str(row.id) for row in left_out)
    assert what == 0 or all("clicks" in row.why for row in left_out)


DAYS = {GOOGLE: "segments.date", META: "date_start", AMAZON: "date", TIKTOK: "dimensions.stat_time_day"}


def test_a_day_that_was_not_asked_for_is_left_out(desk: Desk) -> None:
    odd, _ = min(desk.truth())
    operation = "report-download" if desk.platform is AMAZON else "metrics"
    far = Fault(FaultKind.ODD_ROW, desk.platform, operation, match=odd, field=DAYS[desk.platform], value="2031-01-01")
    desk.world.faults.add(far)
    assert {row.campaign_id for reading in desk.read() for row in reading.rows} == {c for c, _ in desk.truth()} - {odd}


SPEND = {GOOGLE: "metrics.costMicros", META: "spend", TIKTOK: "metrics.spend"}


@pytest.mark.parametrize("platform", SPEND, ids=str)
def test_an_odd_total_is_left_out_and_mostly_odd_ones_are_an_error(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform)
    whole = desk.totals()
    day = f"{DAY} 00:00:00" if platform is TIKTOK else str(DAY)
    odd = Fault(FaultKind.ODD_ROW, platform, match=day, field=SPEND[platform], value="many")
    desk.world.faults.add(odd)
    assert desk.totals() == {day: spend for day, spend in whole.items() if day != DAY}
    odd.match = None
    with refused(InvalidReply, r"metrics|costMicros|spend"):
        desk.totals()


DAYS_ASKED = {META: ("since", "until"), TIKTOK: ("start_date", "end_date")}
UNANSWERED: dict[PlatformName, Any] = {
    META: {"error": {"code": 1, "message": "Please reduce the amount of data"}},
    TIKTOK: httpx.Response(200, headers={"X-Tt-Ads-Throttle": "1"}, json={"code": 0, "data": {}}),
}


def total_page(platform: PlatformName, days: list[date]) -> Any:
    if platform is META:
        row = {"spend": "1", "account_currency": "USD"}
        return {"data": [row | {"date_start": str(day), "date_stop": str(day)} for day in days]}
    rows = [{"dimensions": {"stat_time_day": f"{day} 00:00:00"}, "metrics": {"spend": "1"}} for day in days]
    info = {"page": 1, "page_size": 1000, "total_number": len(rows), "total_page": 1}
    return {"code": 0, "data": {"list": rows, "page_info": info}}


@pytest.mark.parametrize("platform", UNANSWERED, ids=str)
def test_a_day_whose_total_cannot_be_read_costs_no_other_day(platform: PlatformName) -> None:
    unread = {date(2026, 11, 4), DAY}

    def answer(request: httpx.Request) -> Any:
        params = request.url.params
        asked = json.loads(params["time_range"]) if platform is META else params
        since, until = (date.fromisoformat(asked[name]) for name in DAYS_ASKED[platform])
        days = days_of(DateWindow(since=since, until=until))
        return UNANSWERED[platform] if unread & set(days) else total_page(platform, days)

    client = client_on(platform, Network(answer))
    assert isinstance(client, AnswersAtOnce)
    read = client.read_totals(static(platform), ACCOUNT, WINDOW)
    assert {total.day for total in read.days} == set(days_of(WINDOW)) - unread
    assert {row.id for row in read.left_out} == {str(day) for day in unread}
    assert all(row.why.startswith("cannot be read: ") for row in read.left_out)
    unread = set(days_of(WINDOW))
    network = Network(answer)
    with pytest.raises(InvalidReply if platform is TIKTOK else TooMuchData):
        totals(client_on(platform, network), static(platform), ACCOUNT)
    assert len(network.requests) < 10
    with pytest.raises(InvalidReply if platform is TIKTOK else TooMuchData):  # a single day is most days, too
        totals(client_on(platform, network), static(platform), ACCOUNT, DateWindow(since=DAY, until=DAY))


IDS = {GOOGLE: "campaign.id", META: "id", AMAZON: "campaignId", TIKTOK: "campaign_id"}


def test_what_is_stored_of_a_name_is_text_on_one_line(desk: Desk) -> None:
    campaign = next(iter(desk.site.campaigns))
    name = "\x00a\x1b[2J\r\n\u202eb\u2066\tc\u061c 가\u0301 \U0001f468\u200d\U0001f469"
    desk.world.change_campaign(desk.platform, desk.site.id, campaign, name=name)
    desk.site.name = name
    names = [c.name for listing in desk.listings() for c in listing.campaigns if c.external_id == campaign]
    assert {*names, *(account.name for account in desk.client.list_accounts(desk.tokens).accounts)} == {
        "a[2J b c 가\u0301 \U0001f468\u200d\U0001f469"
    }


# The database's indexes take no such long ones.
@pytest.mark.parametrize(("value", "name"), [("\x00\u202e77\x1b\ud83d", "77?"), ("7" * 3000, "7" * 64)])
def test_the_name_of_an_odd_row_is_printable_and_short(desk: Desk, value: str, name: str) -> None:
    odd = list(desk.site.campaigns)[1]
    rule = Fault(FaultKind.ODD_ROW, desk.platform, "campaigns", match=odd, field=IDS[desk.platform], value=value)
    desk.world.faults.add(rule)
    listings = desk.listings()
    assert {c.external_id for listing in listings for c in listing.campaigns} == desk.listable - {odd}
    assert [row.id for listing in listings for row in listing.left_out] == [name]


# -- tokens -----------------------------------------------------------------------------------------------------------

LIFETIME = {GOOGLE: timedelta(seconds=3599), META: timedelta(days=60), AMAZON: timedelta(hours=1), TIKTOK: None}


def test_a_renewal_gives_a_token_that_works_and_keeps_the_refresh_token(desk: Desk) -> None:
    before = desk.tokens.tokens
    after = desk.client.renew(before)
    assert after.expires_in == LIFETIME[desk.platform]
    assert after.refresh_token == before.refresh_token
    assert (after == before) is (desk.platform is TIKTOK)  # TikTok's long-lived tokens are only proved to work
    assert desk.client.list_accounts(static(desk.platform, after.access_token.get_secret_value())).accounts


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON, TIKTOK], ids=str)
def test_a_rotated_refresh_token_replaces_the_old_one(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform, rotates=True)
    seen = [desk.tokens.tokens]
    for _ in range(2):
        seen.append(desk.client.renew(seen[-1]))
    assert len({tokens.refresh_token for tokens in seen}) == 3
    if platform is TIKTOK:
        assert seen[-1].expires_in == timedelta(days=1)
    with pytest.raises(ReconnectRequired):
        desk.client.renew(seen[0])


def test_a_revoked_grant_must_be_reconnected(desk: Desk) -> None:
    tokens = desk.tokens.tokens
    desk.world.revoke_grant(desk.grant.id)
    with pytest.raises(ReconnectRequired):
        desk.listed()
    with pytest.raises(ReconnectRequired):
        desk.client.renew(tokens)


def test_a_wrong_app_secret_is_our_mistake(desk: Desk) -> None:
    client = desk.new_client(secret="wrong-secret")
    with refused(Misconfigured, None, "wrong-secret"):
        client.renew(desk.tokens.tokens)
    client.close()


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON], ids=str)
def test_a_grant_without_a_refresh_token_must_be_reconnected(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform)
    with refused(ReconnectRequired):
        desk.client.renew(held())
    assert desk.calls() == 0


@pytest.mark.parametrize(("platform", "calls"), [(GOOGLE, 2), (AMAZON, 4), (TIKTOK, 2)])
def test_an_expired_token_is_renewed_once_and_the_call_repeated_once(
    new_desk: NewDesk, platform: PlatformName, calls: int
) -> None:
    desk = new_desk(platform, rotates=True)
    desk.world.expire_access(desk.grant.id)
    assert len(desk.listed()) == 12
    assert (desk.tokens.renewals, desk.calls("token"), desk.calls("campaigns")) == (1, 1, calls)


def test_a_token_that_stays_refused_is_not_renewed_again() -> None:
    class Stubborn:
        renewals = 0

        def current(self) -> str:
            return "old"

        def renewed(self, rejected: str) -> str:
            self.renewals += 1
            return f"newer than {rejected}"

    network, tokens = Network({"message": "Unauthorized"}, status=401), Stubborn()
    with refused(TokenRejected):
        questions(AMAZON, tokens)["campaigns"](client_on(AMAZON, network))
    sent = [request.headers["authorization"] for request in network.requests]
    assert (tokens.renewals, sent) == (1, ["Bearer old", "Bearer newer than old"])


# -- what goes wrong --------------------------------------------------------------------------------------------------

FAULTS = [
    (Fault(FaultKind.THROTTLE, seconds=17), Throttled),
    (Fault(FaultKind.STATUS, status=503), Unavailable),
    (Fault(FaultKind.HTML, status=502), Unavailable),
    (Fault(FaultKind.HTML, status=403), InvalidRequest),
    (Fault(FaultKind.HTML, status=404), Misconfigured),
    (Fault(FaultKind.HTML, status=408), Unavailable),
    (Fault(FaultKind.HTML, status=429), Throttled),
    (Fault(FaultKind.HTML, status=200), InvalidReply),
    (Fault(FaultKind.TRUNCATED), InvalidReply),
    (Fault(FaultKind.BODY, status=200, value={"unexpected": [1]}), InvalidReply),
    (Fault(FaultKind.DISCONNECT), Unavailable),
    (Fault(FaultKind.HANG), TimedOut),
]
READ_SECONDS = 0.05
"""How long a client waits in vain for the answer to a call that hangs."""


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[f"{fault.kind.value} {fault.status}" for fault, _ in FAULTS])
def test_each_fault_is_the_right_error(new_desk: NewDesk, fault: Fault, kind: type[PlatformError]) -> None:
    desk = new_desk(TIKTOK)
    desk.world.faults.add(fault)
    reading = READ_SECONDS if fault.kind is FaultKind.HANG else PATIENCE_SECONDS
    with httpx.Client(timeout=httpx.Timeout(PATIENCE_SECONDS, read=reading)) as http, refused(kind):
        open_client(TIKTOK, app_at(desk.url), http=http).list_campaigns(desk.tokens, desk.account)


@pytest.mark.parametrize("fault", [Fault(FaultKind.THROTTLE, seconds=17), Fault(FaultKind.HTML, status=502)])
def test_each_question_tells_of_a_fault(desk: Desk, fault: Fault) -> None:
    desk.world.faults.add(fault)
    for ask in questions(desk.platform, desk.tokens, desk.account, desk.tokens.tokens).values():
        # A breaker for each, so that no call is postponed because of the one before.
        client = desk.new_client(breaker=Breaker())
        with refused(Throttled if fault.kind is FaultKind.THROTTLE else Unavailable):
            ask(client)
        client.close()


@pytest.mark.parametrize(("platform", "seconds"), [(GOOGLE, 300), (META, 600), (TIKTOK, 60)])
def test_a_throttled_platform_is_left_alone_by_every_account(
    new_desk: NewDesk, platform: PlatformName, seconds: int
) -> None:
    desk = new_desk(platform)
    desk.world.faults.add(Fault(FaultKind.THROTTLE, platform, seconds=300, times=1))
    with refused(Throttled) as caught:
        desk.listed()
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.PLATFORM, seconds)
    assert desk.breaker.seconds_left(platform) == seconds
    with refused(Throttled):
        desk.client.list_accounts(desk.tokens)
    assert desk.calls() == 1


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON], ids=str)
def test_a_throttled_renewal_puts_off_no_call_but_renewals(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform)
    desk.world.faults.add(Fault(FaultKind.THROTTLE, platform, "token", seconds=300))
    for _ in range(2):
        with refused(Throttled) as caught:
            desk.client.renew(desk.tokens.tokens)
        assert caught.value.scope is ThrottleScope.ENDPOINT
    assert desk.calls("token") == 1
    assert desk.listed()


def test_a_refusal_between_failures_is_an_answer_and_so_no_outage(new_desk: NewDesk) -> None:
    desk = new_desk(META)
    desk.site.closed = True
    desk.world.faults.add(Fault(FaultKind.STATUS, desk.platform, times=OUTAGE_AFTER - 1, status=503))
    for _ in range(OUTAGE_AFTER - 1):
        with refused(Unavailable):
            desk.listings()
    with refused(AccountInaccessible):
        desk.listings()
    desk.world.faults.add(Fault(FaultKind.STATUS, desk.platform, status=503))
    with refused(Unavailable):
        desk.listings()
    assert desk.breaker.silent() == frozenset()


LIVE_HOSTS = {
    GOOGLE: {"googleads.googleapis.com", "oauth2.googleapis.com"},
    META: {"graph.facebook.com"},
    AMAZON: {
        "advertising-api.amazon.com",
        "advertising-api-eu.amazon.com",
        "advertising-api-fe.amazon.com",
        "api.amazon.com",
    },
    TIKTOK: {"business-api.tiktok.com"},
}


@pytest.mark.parametrize("platform", list(PlatformName), ids=str)
def test_without_a_base_url_the_live_platform_is_called_and_unreached_it_is_unavailable(platform: PlatformName) -> None:
    network = Network(httpx.ConnectError("to https://platform.test/?secret=1 failed"))
    client = client_on(platform, network, app_at(None))
    for ask in questions(platform).values():
        with refused(Unreached):
            ask(client)
    assert {request.url.host for request in network.requests} == LIVE_HOSTS[platform]
    assert {request.url.scheme for request in network.requests} == {"https"}
