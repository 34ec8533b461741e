"""The Amazon client against the sandbox, and against the replies that Amazon documents."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from threading import Thread
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tenacity import Retrying, stop_after_delay, wait_fixed

from sandbox import world as neutral
from sandbox.faults import Fault, FaultKind
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Figures, World
from sivera.breaker import Breaker
from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
    Unreached,
)
from sivera.platforms import amazon_json
from sivera.platforms.amazon import AmazonAds
from sivera.platforms.amazon_json import PRODUCTS, ProductNotEnabled
from sivera.platforms.base import AppCredentials, Reply, StaticToken, new_http_client
from sivera.values import (
    AdAccount,
    Budget,
    BudgetKind,
    CampaignStatus,
    DateWindow,
    GrantTokens,
    MetricsReading,
    PlatformName,
    ReportRequest,
)
from tests.conftest import NOW, PATIENCE_SECONDS

AMAZON = PlatformName.AMAZON
SP, SB, SD = PRODUCTS
WINDOW = DateWindow(since=date(2026, 11, 1), until=date(2026, 11, 20))
DAY = date(2026, 11, 18)


@dataclass
class Renewing:
    """The tokens of a grant, renewed through the client as in production; counts the renewals."""

    client: AmazonAds
    tokens: GrantTokens
    renewals: int = 0

    def current(self) -> str:
        return self.tokens.access_token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        assert rejected == self.current()
        self.renewals += 1
        self.tokens = self.client.renew(self.tokens)
        return self.current()


@dataclass
class Amazon:
    """A client, and a grant in the sandbox with one account that it works for."""

    world: World
    client: AmazonAds
    breaker: Breaker
    grant: neutral.Grant
    tokens: Renewing

    @property
    def neutral_account(self) -> neutral.Account:
        return self.world.accounts_of(self.grant)[0]

    @property
    def account(self) -> AdAccount:
        own = self.neutral_account
        return AdAccount(
            external_id=own.id, name=own.name, currency=own.currency, timezone=own.timezone, region=own.region
        )

    @property
    def campaigns(self) -> list[neutral.Campaign]:
        return list(self.neutral_account.campaigns.values())

    def change(self, campaign: neutral.Campaign, **changes: Any) -> None:
        self.world.change_campaign(AMAZON, self.neutral_account.id, campaign.id, **changes)

    def list(self) -> dict[str, Any]:
        return {c.external_id: c for c in self.client.list_campaigns(self.tokens, self.account).campaigns}

    def read(self, outstanding: Sequence[ReportRequest] = (), window: DateWindow = WINDOW) -> MetricsReading:
        return self.client.read_metrics(self.tokens, self.account, window, outstanding)

    def fault(self, kind: FaultKind, operation: str | None = None, **options: Any) -> None:
        self.world.faults.add(Fault(kind, AMAZON, operation, **options))

    def calls(self, operation: str) -> int:
        return self.world.faults.count(AMAZON, operation)


def _client(url: str, world: World, breaker: Breaker, http: httpx.Client) -> AmazonAds:
    app = AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET), base_url=f"{url}/amazon")
    return AmazonAds(app, http, breaker, world.clock.now)


def _tokens(world: World, grant: neutral.Grant) -> GrantTokens:
    return GrantTokens(
        access_token=SecretStr(world.issue_access(grant)[0]), refresh_token=SecretStr(world.issue_refresh(grant))
    )


@pytest.fixture
def amazon(world: World, sandbox: str) -> Iterator[Amazon]:
    """A grant with an account of twelve campaigns, four a product."""
    grant, breaker = world.add_grant(AMAZON, accounts=1, campaigns=12), Breaker()
    with new_http_client() as http:
        client = _client(sandbox, world, breaker, http)
        yield Amazon(world, client, breaker, grant, Renewing(client, _tokens(world, grant)))


@contextmanager
def _refused(kind: type[PlatformError]) -> Iterator[pytest.ExceptionInfo[PlatformError]]:
    """Expect this very error, with a text that gives no secret away."""
    with pytest.raises(kind) as caught:
        yield caught
    assert type(caught.value) is kind
    secrets = [CLIENT_SECRET, "http://", "https://", "Atza|", "Atzr|", "Bearer"]
    assert not [secret for secret in secrets if secret in str(caught.value) + repr(caught.value)]


# -- accounts ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def spread(amazon: Amazon) -> Amazon:
    """The same with accounts in all three regions."""
    amazon.grant = amazon.world.add_grant(AMAZON, accounts=20, campaigns=0)
    amazon.tokens = Renewing(amazon.client, _tokens(amazon.world, amazon.grant))
    assert {a.region for a in amazon.world.accounts_of(amazon.grant)} == {"na", "eu", "fe"}
    return amazon


def test_accounts_of_all_regions_are_listed_once(spread: Amazon) -> None:
    expected = {a.id: (a.name, a.currency, a.timezone, a.region) for a in spread.world.accounts_of(spread.grant)}
    accounts = spread.client.list_accounts(spread.tokens)
    assert {a.external_id: (a.name, a.currency, a.timezone, a.region) for a in accounts} == expected
    assert len(accounts) == 20
    assert all(int(a.external_id) > 2**53 for a in accounts)  # exact, although a number in the reply
    assert spread.calls("accounts") == 3


def test_a_closed_account_is_no_longer_listed(spread: Amazon) -> None:
    closed = spread.neutral_account
    closed.closed = True
    assert closed.id not in {a.external_id for a in spread.client.list_accounts(spread.tokens)}
    with _refused(AccountInaccessible):
        spread.list()


@pytest.mark.parametrize("status", [401, 403])
def test_a_region_that_refuses_the_grant_is_left_out(spread: Amazon, status: int) -> None:
    spread.fault(FaultKind.STATUS, "accounts", match="/eu/", status=status)
    regions = {a.region for a in spread.client.list_accounts(spread.tokens)}
    assert regions == {"na", "fe"}


def test_a_region_that_is_down_fails_the_listing(spread: Amazon) -> None:
    spread.fault(FaultKind.STATUS, "accounts", match="/eu/", status=503)
    with _refused(Unavailable):
        spread.client.list_accounts(spread.tokens)


def test_a_token_that_no_region_takes_is_refused(spread: Amazon) -> None:
    with _refused(TokenRejected):
        spread.client.list_accounts(StaticToken(SecretStr("Atza|pasted"), AMAZON))


def test_a_seller_without_a_name_is_told_by_country_and_id() -> None:
    row = _profile(accountInfo={"id": "A1SELLER", "type": "seller"})
    assert amazon_json.account_of(row, "eu").name == "DE A1SELLER"


def _profile(**changes: Any) -> dict[str, Any]:
    return {
        "profileId": 9_100_000_000_000_001,
        "countryCode": "DE",
        "currencyCode": "EUR",
        "timezone": "Europe/Berlin",
        "accountInfo": {"id": "A1", "name": "Nari"},
    } | changes


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"profileId": 9.1e15}, "profileId"),
        ({"profileId": True}, "profileId"),
        ({"profileId": "ENTITY1"}, "profileId"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"currencyCode": ""}, "currencyCode"),
        ({"accountInfo": None}, "accountInfo"),
        ({"accountInfo": {"name": 7}}, "name"),
    ],
)
def test_a_malformed_profile_is_refused_by_name(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidReply, match=f"'{name}'"):
        amazon_json.account_of(_profile(**changes), "eu")


# -- campaigns --------------------------------------------------------------------------------------------------------


def test_a_listing_holds_every_campaign_of_the_three_products(amazon: Amazon) -> None:
    listing = amazon.client.list_campaigns(amazon.tokens, amazon.account)
    assert listing.complete
    assert len(listing.campaigns) == 12
    listed = {c.external_id: c for c in listing.campaigns}
    for campaign in amazon.campaigns:
        own = listed[campaign.id]
        assert (own.name, own.status, own.ad_product) == (campaign.name, campaign.state, campaign.product)
        assert own.budget == Budget(kind=BudgetKind.DAILY, amount=campaign.budget, currency=amazon.account.currency)
        assert (own.start_date, own.end_date, own.updated_at) == (campaign.start, None, campaign.updated)
    assert {c.ad_product for c in listing.campaigns} == {product.name for product in PRODUCTS}


@pytest.mark.parametrize(
    ("state", "end", "status", "native"),
    [
        (CampaignStatus.ACTIVE, None, CampaignStatus.ACTIVE, "ENABLED"),
        (CampaignStatus.ACTIVE, date(2026, 11, 1), CampaignStatus.ENDED, "ENABLED"),
        (CampaignStatus.PAUSED, date(2026, 11, 1), CampaignStatus.PAUSED, "PAUSED"),
        (CampaignStatus.ARCHIVED, None, CampaignStatus.ARCHIVED, "ARCHIVED"),
    ],
)
def test_states_are_the_same_for_all_products(
    state: CampaignStatus, end: date | None, status: CampaignStatus, native: str, amazon: Amazon
) -> None:
    for campaign in amazon.campaigns:
        amazon.change(campaign, state=state, end=end)
    campaigns = amazon.list().values()
    assert {(c.status, c.native_status.upper(), c.end_date, c.updated_at) for c in campaigns} == {
        (status, native, end, NOW)
    }
    assert {c.native_status for c in campaigns} == {native, native.lower()}


def test_a_state_that_we_do_not_know_is_kept() -> None:
    own = amazon_json.campaign_of(_sp_row(state="PROPOSED"), SP, "USD")
    assert (own.status, own.native_status) == (CampaignStatus.OTHER, "PROPOSED")


@pytest.mark.parametrize(
    ("currency", "amount"), [("USD", "12.34"), ("USD", "0.1"), ("JPY", "30000"), ("KRW", "1500000"), ("TWD", "450")]
)
def test_money_is_exact_in_major_units(currency: str, amount: str, amazon: Amazon) -> None:
    spend, value = Decimal(amount), Decimal(amount) * 3
    amazon.neutral_account.currency = currency
    for campaign in amazon.campaigns:
        amazon.change(campaign, budget=spend)
        amazon.world.restate(campaign.id, DAY, Figures(10, 2, spend, Decimal(1), value))
    budgets = [campaign.budget for campaign in amazon.list().values()]
    assert budgets == [Budget(kind=BudgetKind.DAILY, amount=spend, currency=currency)] * 12
    days = [row for batch in amazon.read(_reports(amazon)).batches for row in batch.rows if row.day == DAY]
    assert [(row.spend, row.conversion_value, row.currency) for row in days] == [(spend, value, currency)] * 12


def test_a_lifetime_budget(amazon: Amazon) -> None:
    campaign = amazon.campaigns[1]
    amazon.change(campaign, budget_kind=BudgetKind.LIFETIME)
    assert amazon.list()[campaign.id].budget.kind is BudgetKind.LIFETIME


def test_changed_since_lists_everything(amazon: Amazon) -> None:
    listing = amazon.client.list_campaigns(amazon.tokens, amazon.account, changed_since=NOW)
    assert (len(listing.campaigns), listing.complete) == (12, True)


@pytest.mark.parametrize(("campaigns", "pages"), [(0, 3), (300, 4), (350, 6)])
def test_listings_of_several_pages(amazon: Amazon, campaigns: int, pages: int) -> None:
    amazon.grant = amazon.world.add_grant(AMAZON, accounts=1, campaigns=campaigns)
    amazon.tokens = Renewing(amazon.client, _tokens(amazon.world, amazon.grant))
    assert amazon.list().keys() == amazon.neutral_account.campaigns.keys()
    assert amazon.calls("campaigns") == pages  # a full page of Display may be the last: only an empty one says so


def test_products_that_are_not_enabled_are_left_out(amazon: Amazon) -> None:
    amazon.neutral_account.products = (SP.name,)
    assert {c.ad_product for c in amazon.list().values()} == {SP.name}
    reading = amazon.read()
    assert [request.ad_product for request in reading.outstanding] == [SP.name]
    amazon.neutral_account.products = ()
    with _refused(ProductNotEnabled):
        amazon.list()
    with _refused(ProductNotEnabled):
        amazon.read()
    assert [batch.ad_product for batch in amazon.read(reading.outstanding).batches] == [SP.name]


def test_an_account_without_a_region_is_our_mistake(amazon: Amazon) -> None:
    account = amazon.account.model_copy(update={"region": None})
    with _refused(InvalidRequest):
        amazon.client.list_campaigns(amazon.tokens, account)


def _sp_row(**changes: Any) -> dict[str, Any]:
    return {
        "campaignId": "280000000000000",
        "name": "Brand",
        "state": "ENABLED",
        "startDate": "2026-01-31",
        "budget": {"budget": 10.5, "budgetType": "DAILY"},
        "extendedData": {"lastUpdateDateTime": "2026-11-20T12:00:00.123Z"},
    } | changes


def test_a_missing_time_of_change_is_none_and_seconds_are_not_milliseconds() -> None:
    assert amazon_json.campaign_of(_sp_row(extendedData=None), SP, "USD").updated_at is None
    row = {"campaignId": 1, "name": "n", "state": "paused", "budget": 1, "budgetType": "daily"}
    for value, expected in ((0, None), (1_795_176_000, NOW), (1_795_176_000_000, NOW)):
        assert amazon_json.campaign_of(row | {"lastUpdatedDate": value}, SD, "USD").updated_at == expected


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"campaignId": None}, "campaignId"),
        ({"campaignId": 1.5}, "campaignId"),
        ({"name": None}, "name"),
        ({"state": 3}, "state"),
        ({"budget": None}, "budgetType"),
        ({"budget": {"budget": "10", "budgetType": "DAILY"}}, "budget"),
        ({"budget": {"budget": 10, "budgetType": "HOURLY"}}, "budgetType"),
        ({"startDate": "31.01.2026"}, "startDate"),
        ({"endDate": 20260131}, "endDate"),
        ({"extendedData": {"lastUpdateDateTime": "yesterday"}}, "lastUpdateDateTime"),
        ({"extendedData": {"lastUpdateDateTime": 10**30}}, "lastUpdateDateTime"),
        ({"extendedData": "none"}, "servingStatus"),
    ],
)
def test_a_malformed_campaign_is_refused_by_name(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidReply, match=f"'{name}'"):
        amazon_json.campaign_of(_sp_row(**changes), SP, "USD")


# -- metrics ----------------------------------------------------------------------------------------------------------


def _reports(amazon: Amazon, window: DateWindow = WINDOW) -> tuple[ReportRequest, ...]:
    return amazon.read(window=window).outstanding


def test_reports_are_asked_for_and_collected_later(amazon: Amazon) -> None:
    amazon.world.report_seconds = 600
    first = amazon.read()
    assert first.batches == ()
    assert [(r.ad_product, r.window, r.requested_at) for r in first.outstanding] == [
        (product.name, WINDOW, NOW) for product in PRODUCTS
    ]
    assert amazon.read(first.outstanding) == first  # still being prepared, and not asked for twice
    amazon.world.clock.advance(timedelta(seconds=600))
    done = amazon.read(first.outstanding)
    assert [(b.ad_product, b.window) for b in done.batches] == [(product.name, WINDOW) for product in PRODUCTS]
    assert done.outstanding == ()
    assert amazon.calls("report-create") == 3


def test_a_batch_holds_every_day_with_figures_and_no_other(amazon: Amazon) -> None:
    world, account = amazon.world, amazon.neutral_account
    world.restate(amazon.campaigns[0].id, DAY, Figures(9, 1, Decimal("0.07"), Decimal(3), Decimal("59.9")))
    days = [WINDOW.since + timedelta(days=n) for n in range(20)]
    expected = {(c.id, day): world.figures(account, c, day) for c in amazon.campaigns for day in days}
    expected = {key: figures for key, figures in expected.items() if figures != neutral.ZERO}
    rows = [row for batch in amazon.read(_reports(amazon)).batches for row in batch.rows]
    assert {
        (r.campaign_id, r.day): Figures(r.impressions, r.clicks, r.spend, r.conversions, r.conversion_value)
        for r in rows
    } == expected
    assert len(rows) == len(expected) < 12 * 20


def test_a_restated_day_comes_with_the_next_report(amazon: Amazon) -> None:
    campaign = amazon.campaigns[0]
    amazon.read(_reports(amazon))
    amazon.world.restate(campaign.id, DAY, Figures(5, 1, Decimal("2.5"), Decimal(1), Decimal(40)))
    rows = amazon.read(_reports(amazon)).batches[0].rows
    [row] = [row for row in rows if (row.campaign_id, row.day) == (campaign.id, DAY)]
    assert (row.spend, row.conversions, row.conversion_value) == (Decimal("2.5"), Decimal(1), Decimal(40))


def test_a_collected_report_that_lacks_a_day_is_followed_by_another(amazon: Amazon) -> None:
    yesterday = DateWindow(since=date(2026, 10, 31), until=date(2026, 11, 19))
    reading = amazon.read(_reports(amazon, yesterday))
    assert [b.window for b in reading.batches] == [yesterday] * 3
    assert [r.window for r in reading.outstanding] == [WINDOW] * 3


def test_a_wider_report_is_asked_for_beside_one_under_way(amazon: Amazon) -> None:
    amazon.world.report_seconds = 600
    narrow = _reports(amazon, DateWindow(since=DAY, until=WINDOW.until))
    both = amazon.read(narrow)
    assert [r.window for r in both.outstanding if r not in narrow] == [WINDOW] * 3
    amazon.world.clock.advance(timedelta(seconds=600))
    polls = amazon.calls("report-status")
    # Both are ready by now. The newer one has the days of the older one, which is not fetched any more.
    newer = tuple(r.model_copy(update={"requested_at": NOW + timedelta(1)}) for r in both.outstanding[3:])
    reading = amazon.read((*narrow, *newer))
    assert [b.window for b in reading.batches] == [WINDOW] * 3
    assert (reading.outstanding, amazon.calls("report-status") - polls) == ((), 3)


def test_older_figures_come_before_newer_ones(amazon: Amazon) -> None:
    older = _reports(amazon, DateWindow(since=date(2026, 10, 31), until=date(2026, 11, 19)))
    newer = [r.model_copy(update={"requested_at": NOW + timedelta(hours=1)}) for r in _reports(amazon)]
    batches = [b for b in amazon.read([*newer, *older]).batches if b.ad_product == SP.name]
    assert [b.window.until.day for b in batches] == [19, 20]


def test_a_request_whose_id_was_lost_is_found_again(amazon: Amazon) -> None:
    amazon.world.report_seconds = 600
    lost = amazon.read()
    assert amazon.read() == lost
    assert amazon.calls("report-create") == 6


def test_a_report_that_failed_is_asked_for_again(amazon: Amazon) -> None:
    before = _reports(amazon)
    next(iter(amazon.world.reports.values()))["failure"] = "Internal error"
    reading = amazon.read(before)
    assert [b.ad_product for b in reading.batches] == [SB.name, SD.name]
    [again] = reading.outstanding
    assert (again.ad_product, again.window, again.report_id != before[0].report_id) == (SP.name, WINDOW, True)


def test_a_report_that_nobody_knows_is_asked_for_again(amazon: Amazon) -> None:
    gone = ReportRequest(report_id="gone?", ad_product=SB.name, window=WINDOW, requested_at=NOW)
    assert "gone?" not in {r.report_id for r in amazon.read([gone]).outstanding}
    assert amazon.calls("report-create") == 3


def test_a_report_of_a_product_that_we_no_longer_read_is_forgotten(amazon: Amazon) -> None:
    old = ReportRequest(report_id="1", ad_product="SPONSORED_TELEVISION", window=WINDOW, requested_at=NOW)
    assert old not in amazon.read([old]).outstanding


def test_patience_ends_after_four_hours(amazon: Amazon) -> None:
    amazon.world.report_seconds = timedelta(hours=9).total_seconds()
    before = _reports(amazon)
    amazon.world.clock.advance(timedelta(hours=4))
    assert amazon.read(before).outstanding == before
    amazon.world.clock.advance(timedelta(seconds=1))
    again = amazon.read(before).outstanding
    assert {r.requested_at for r in again} == {NOW + timedelta(hours=4, seconds=1)}


def test_a_report_that_is_done_is_collected_however_late(amazon: Amazon) -> None:
    before = _reports(amazon)
    amazon.world.clock.advance(timedelta(days=3))
    amazon.tokens.renewed(amazon.tokens.current())
    assert len(amazon.read(before).batches) == 3


def test_long_windows_are_cut_to_what_a_report_holds_and_amazon_keeps(amazon: Amazon) -> None:
    today = date(2026, 11, 20)
    requests = _reports(amazon, DateWindow(since=today - timedelta(days=120), until=today))
    for product in PRODUCTS:
        days = [r.window for r in requests if r.ad_product == product.name]
        assert all((w.until - w.since).days < 31 for w in days)
        assert days[0].since == today - timedelta(days=product.days_kept - 1)
        assert all(later.since - earlier.until == timedelta(days=1) for earlier, later in pairwise(days))
        assert days[-1].until == today
    batches = amazon.read(requests, DateWindow(since=today, until=today)).batches
    assert len(batches) == len(requests) == 9


def test_a_slow_down_keeps_what_was_got(amazon: Amazon) -> None:
    amazon.fault(FaultKind.THROTTLE, "report-create", match=SB.report_type, seconds=300)
    reading = amazon.read()
    assert [r.ad_product for r in reading.outstanding] == [SP.name]
    assert 0 < amazon.breaker.seconds_left(AMAZON) <= 300
    assert amazon.calls("report-create") == 2


def test_a_slow_down_before_anything_was_got_is_raised(amazon: Amazon) -> None:
    before = _reports(amazon)
    amazon.fault(FaultKind.THROTTLE, "report-status", seconds=300)
    with _refused(Throttled) as caught:
        amazon.read(before)
    assert isinstance(caught.value, Throttled)
    assert (caught.value.retry_after, caught.value.scope) == (300, ThrottleScope.PLATFORM)


def _report(*rows: Any) -> bytes:
    return gzip.compress(json.dumps(list(rows)).encode(), mtime=0)


REPORT_ROW = {
    "date": "2026-11-18",
    "campaignId": 280_000_000_000_001,
    "impressions": 10,
    "clicks": 1,
    "cost": 14.5,
    "purchases14d": 2,
    "sales14d": 59.97,
}


def test_a_report_row_of_amazons_guide() -> None:
    [row] = amazon_json.metrics_of(_report(REPORT_ROW), WINDOW, SP, "USD")
    assert (row.campaign_id, row.day) == ("280000000000001", DAY)
    assert (row.spend, row.conversions, row.conversion_value) == (Decimal("14.5"), Decimal(2), Decimal("59.97"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_report(REPORT_ROW | {"date": "2026-12-01"}), "'date'"),
        (_report(REPORT_ROW | {"date": None}), "'date'"),
        (_report(REPORT_ROW, REPORT_ROW), "'date'"),
        (_report(REPORT_ROW | {"campaignId": None}), "'campaignId'"),
        (_report(REPORT_ROW | {"clicks": 1.5}), "'clicks'"),
        (_report(REPORT_ROW | {"cost": "14.5"}), "'cost'"),
        (_report(REPORT_ROW | {"purchases14d": None}), "'purchases14d'"),
        (_report("row"), "'campaignId'"),
        (gzip.compress(b'{"rows":[]}', mtime=0), "not a list"),
        (gzip.compress(b"[{", mtime=0), "not JSON"),
        (_report(REPORT_ROW)[:-20], "cut off"),
        (b"[]", "not gzip"),
    ],
)
def test_a_malformed_report_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidReply, match=reason):
        amazon_json.metrics_of(content, WINDOW, SP, "USD")


def test_a_report_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(InvalidReply, match="over 1000 bytes"):
        amazon_json.unpack(gzip.compress(b"[" + b" " * 100_000 + b"]"), limit=1000)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.data())
def test_whatever_a_field_holds_the_answer_is_a_value_or_an_invalid_reply(data: st.DataObject) -> None:
    readers: list[tuple[dict[str, Any], Callable[[Any], object]]] = [
        (_profile(), lambda row: amazon_json.account_of(row, "eu")),
        (_sp_row(), lambda row: amazon_json.campaign_of(row, SP, "USD")),
        (REPORT_ROW, lambda row: amazon_json.metrics_of(_report(row), WINDOW, SP, "USD")),
    ]
    row, reader = data.draw(st.sampled_from(readers))
    changed = row | {data.draw(st.sampled_from(sorted(row))): data.draw(ANY_JSON)}
    with suppress(InvalidReply):
        assert reader(changed)


@given(st.integers(300, 599), ANY_JSON)
def test_whatever_an_error_says_it_is_one_of_ours(status: int, body: Any) -> None:
    reply = Reply(status, httpx.Headers(), body)
    assert isinstance(amazon_json.error_of(reply), PlatformError)
    assert isinstance(amazon_json.login_error_of(reply), PlatformError)


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_renewal_gives_a_token_for_an_hour(amazon: Amazon) -> None:
    fresh = amazon.client.renew(amazon.tokens.tokens)
    assert fresh.expires_in == timedelta(hours=1)
    assert amazon.world.grant_of_access(AMAZON, fresh.access_token.get_secret_value()) is amazon.grant
    assert fresh.refresh_token == amazon.tokens.tokens.refresh_token


def test_a_rotated_refresh_token_is_kept(amazon: Amazon) -> None:
    amazon.grant.rotates = True
    for _ in range(3):
        amazon.tokens.renewed(amazon.tokens.current())
    with _refused(GrantRevoked):
        amazon.client.renew(GrantTokens(access_token=SecretStr("x"), refresh_token=SecretStr("Atzr|spent")))


def test_a_grant_that_is_gone_must_be_reconnected(amazon: Amazon) -> None:
    amazon.world.revoke_grant(amazon.grant.id)
    with _refused(GrantRevoked) as caught:
        amazon.client.renew(amazon.tokens.tokens)
    assert caught.value.code == "invalid_grant"
    with _refused(ReconnectRequired):
        amazon.client.renew(GrantTokens(access_token=SecretStr("x")))


def test_a_wrong_secret_is_our_mistake(amazon: Amazon, sandbox: str) -> None:
    app = AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr("wrong"), base_url=f"{sandbox}/amazon")
    with new_http_client() as http, _refused(Misconfigured):
        AmazonAds(app, http, Breaker(), amazon.world.clock.now).renew(amazon.tokens.tokens)


def test_a_token_that_expires_on_the_way_is_renewed_once(amazon: Amazon) -> None:
    amazon.world.expire_access(amazon.grant.id)
    assert len(amazon.list()) == 12
    assert (amazon.tokens.renewals, amazon.calls("token"), amazon.calls("campaigns")) == (1, 1, 4)


def test_a_spurious_401_while_polling_is_repeated_once(amazon: Amazon) -> None:
    before = _reports(amazon)
    amazon.fault(FaultKind.STATUS, "report-status", times=1, status=401)
    assert len(amazon.read(before).batches) == 3
    assert amazon.tokens.renewals == 1


def test_a_token_that_stays_refused_is_not_renewed_for_ever(amazon: Amazon) -> None:
    amazon.fault(FaultKind.STATUS, "campaigns", status=401)
    with _refused(TokenRejected):
        amazon.list()
    assert (amazon.tokens.renewals, amazon.calls("campaigns")) == (1, 2)


# -- what goes wrong --------------------------------------------------------------------------------------------------

FAULTS = {
    FaultKind.THROTTLE: Throttled,
    FaultKind.STATUS: Unavailable,
    FaultKind.TRUNCATED: InvalidReply,
    FaultKind.MALFORMED: InvalidReply,
    FaultKind.DISCONNECT: Unavailable,
    FaultKind.HANG: Unavailable,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_of_each_call_has_its_error(amazon: Amazon, sandbox: str, kind: FaultKind) -> None:
    outstanding = _reports(amazon)
    amazon.fault(kind, seconds=17)
    reading = 0.1 if kind is FaultKind.HANG else PATIENCE_SECONDS
    with httpx.Client(timeout=httpx.Timeout(PATIENCE_SECONDS, read=reading)) as http:
        calls: dict[str, Callable[[AmazonAds], object]] = {
            "accounts": lambda client: client.list_accounts(amazon.tokens),
            "campaigns": lambda client: client.list_campaigns(amazon.tokens, amazon.account),
            "report-create": lambda client: client.read_metrics(amazon.tokens, amazon.account, WINDOW),
            "report-status": lambda client: client.read_metrics(amazon.tokens, amazon.account, WINDOW, outstanding),
            "token": lambda client: client.renew(amazon.tokens.tokens),
        }
        for operation, call in calls.items():
            before = amazon.calls(operation)
            with _refused(FAULTS[kind]):
                # A breaker each, so that no call is put off because of the one before.
                call(_client(sandbox, amazon.world, Breaker(), http))
            # The server may take up a call after its caller has given it up.
            for attempt in Retrying(wait=wait_fixed(0.01), stop=stop_after_delay(PATIENCE_SECONDS), reraise=True):
                with attempt:
                    assert amazon.calls(operation) == before + 1


@pytest.mark.parametrize(("status", "kind"), [(200, InvalidReply), (404, InvalidReply), (502, Unavailable)])
def test_a_page_instead_of_json(amazon: Amazon, status: int, kind: type[PlatformError]) -> None:
    amazon.fault(FaultKind.HTML, "campaigns", status=status)
    with _refused(kind):
        amazon.list()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.THROTTLE, Unavailable),
        (FaultKind.STATUS, Unavailable),
        (FaultKind.HTML, Unavailable),
        (FaultKind.TRUNCATED, InvalidReply),
        (FaultKind.MALFORMED, InvalidReply),
        (FaultKind.DISCONNECT, Unavailable),
    ],
)
def test_a_download_that_goes_wrong_is_tried_again_later(
    amazon: Amazon, kind: FaultKind, error: type[PlatformError]
) -> None:
    before = _reports(amazon)
    amazon.fault(kind, "report-download")
    with _refused(error):
        amazon.read(before)
    amazon.world.faults.clear()
    assert len(amazon.read(before).batches) == 3


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        # SP v3 and SB v4
        (400, {"code": "INVALID_ARGUMENT", "message": "maxResults must be at most 100"}, InvalidRequest, None),
        (401, {"code": "UNAUTHORIZED", "message": "HTTP 401 Unauthorized"}, TokenRejected, None),
        (403, {"code": "ACCESS_DENIED", "message": "Permission denied"}, AccountInaccessible, None),
        (429, {"code": "THROTTLED", "message": "Too Many Requests"}, Throttled, None),
        (500, {"code": "INTERNAL_ERROR", "message": "Internal error"}, Unavailable, None),
        (415, {"code": "UNSUPPORTED_MEDIA_TYPE", "message": "..."}, InvalidRequest, None),
        # Reporting v3
        (400, {"code": "400", "detail": "configuration reportTypeId is unknown or invalid"}, InvalidRequest, None),
        (400, {"code": "400", "detail": "Invalid Advertiser or Marketplace ID."}, InvalidRequest, None),
        (406, {"code": "406", "detail": "Report date is too far in the past."}, InvalidRequest, None),
        (429, {"code": "429", "detail": "Too Many Requests"}, Throttled, None),
        # v2 and SD
        (
            403,
            {"code": "403", "details": "Advertiser is not authorized for Sponsored Display."},
            ProductNotEnabled,
            None,
        ),
        (
            400,
            {"code": "400", "details": "KDP authors do not have access to Sponsored Brands functionality"},
            ProductNotEnabled,
            None,
        ),
        (401, {"code": "401", "details": "Not authorized to access scope 9100000000000001"}, AccountInaccessible, None),
        (401, {"code": "401", "details": "No matching advertiser found for scope"}, AccountInaccessible, None),
        (401, {"code": "401", "details": "Scope header is missing"}, InvalidRequest, None),
        (401, {"code": "401", "details": "The ClientId header is missing"}, Misconfigured, None),
        (404, {"code": "404", "details": "Not found"}, InvalidRequest, None),
        (422, {"code": "422", "details": "Unprocessable"}, InvalidRequest, None),
        # the gateway, and nothing at all
        (401, {"message": "Unauthorized"}, TokenRejected, "401"),
        (403, {"message": "Forbidden"}, AccountInaccessible, "403"),
        (307, None, Unavailable, "307"),
        (408, None, Unavailable, "408"),
        (403, ["odd"], AccountInaccessible, "403"),
        (400, {"code": 7, "message": {"odd": 1}}, InvalidRequest, "400"),
        (504, {"message": "Endpoint request timed out"}, Unavailable, "504"),
    ],
)
def test_what_amazon_says_is_understood(status: int, body: Any, kind: type[PlatformError], code: str | None) -> None:
    error = amazon_json.error_of(Reply(status, httpx.Headers({"Retry-After": "12"}), body))
    assert type(error) is kind
    assert error.code == (code or body["code"])
    if isinstance(error, Throttled):
        assert (error.retry_after, error.scope) == (12, ThrottleScope.PLATFORM)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_grant", GrantRevoked),
        (401, "invalid_client", Misconfigured),
        (400, "unauthorized_client", Misconfigured),
        (400, "unsupported_grant_type", Misconfigured),
        (400, "invalid_request", InvalidRequest),
        (400, "server_error", Unavailable),
        (400, "something_new", InvalidRequest),
        (429, "temporarily_unavailable", Throttled),
        (503, "temporarily_unavailable", Unavailable),
    ],
)
def test_what_login_with_amazon_says_is_understood(status: int, code: str, kind: type[PlatformError]) -> None:
    body = {"error": code, "error_description": "The request has an invalid grant parameter : refresh_token"}
    error = amazon_json.login_error_of(Reply(status, httpx.Headers(), body))
    assert type(error) is kind
    assert error.code == code


def test_what_amazon_says_is_repeated_without_secrets() -> None:
    said = "see https://example.org/?token=Atza|abc, Atzr|def " + "x" * 500
    error = amazon_json.error_of(Reply(400, httpx.Headers(), {"code": "400", "details": said}))
    assert error is not None
    assert "http" not in str(error)
    assert "Atz" not in str(error)
    assert len(str(error)) < 200


# -- replies that the sandbox never gives -----------------------------------------------------------------------------


@contextmanager
def _server(*bodies: Any) -> Iterator[str]:
    """Answer with these bodies in turn, and the last one for ever."""
    left = [json.dumps(body).encode() for body in bodies]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - the name that the standard library calls

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


TOKEN = StaticToken(SecretStr("Atza|any"), AMAZON)
ACCOUNT = AdAccount(external_id="9100000000000001", name="n", currency="USD", timezone="UTC", region="na")
NOTHING: dict[str, Any] = {"campaigns": []}
SD_PAGE = [{"campaignId": n, "name": "n", "state": "paused", "budget": 1, "budgetType": "daily"} for n in range(100)]


@contextmanager
def _answered(*bodies: Any) -> Iterator[AmazonAds]:
    with _server(*bodies) as url, new_http_client() as http:
        yield _client(url, World(now=NOW), Breaker(), http)


@pytest.mark.parametrize(
    "bodies",
    [
        ({"campaigns": [_sp_row()], "nextToken": "again"},),
        (NOTHING, {"campaigns": [], "nextToken": "again"}),
        (NOTHING, NOTHING, SD_PAGE),
        (NOTHING, NOTHING, {"campaigns": []}),
        ({"campaigns": [], "nextToken": 7},),
        ({"totalResults": 0},),
    ],
)
def test_pages_that_repeat_themselves_or_are_none_are_refused(bodies: tuple[Any, ...]) -> None:
    with _answered(*bodies) as client, _refused(InvalidReply):
        client.list_campaigns(TOKEN, ACCOUNT)


def test_a_campaign_that_comes_twice_is_listed_once() -> None:
    first, second = {"campaigns": [_sp_row()], "nextToken": "2"}, {"campaigns": [_sp_row(name="Later")]}
    with _answered(first, second, NOTHING, []) as client:
        assert [c.name for c in client.list_campaigns(TOKEN, ACCOUNT).campaigns] == ["Later"]


@pytest.mark.parametrize(
    "body",
    [
        {"access_token": "Atza|new"},
        {"access_token": "Atza|new", "expires_in": "3600"},
        {"access_token": "Atza|new", "expires_in": 0},
        {"access_token": "Atza|new", "expires_in": 10**15},
        {"access_token": "", "expires_in": 3600},
        {"access_token": "Atza|new", "expires_in": 3600, "refresh_token": 1},
        [],
    ],
)
def test_a_malformed_renewal_is_refused(body: Any) -> None:
    tokens = GrantTokens(access_token=SecretStr("a"), refresh_token=SecretStr("r"))
    with _answered(body) as client, _refused(InvalidReply):
        client.renew(tokens)


def test_a_refresh_token_that_the_answer_omits_is_kept() -> None:
    tokens = GrantTokens(access_token=SecretStr("a"), refresh_token=SecretStr("r"))
    with _answered({"access_token": "Atza|new", "expires_in": 3600}) as client:
        assert client.renew(tokens).refresh_token == SecretStr("r")


@pytest.mark.parametrize("url", [None, "", "not-a-url", "http://[", "ftp://127.0.0.1/report"])
def test_a_report_with_a_broken_url_is_refused(url: Any) -> None:
    request = ReportRequest(report_id="1", ad_product=SP.name, window=WINDOW, requested_at=NOW)
    with _answered({"status": "COMPLETED", "url": url}) as client, pytest.raises(Unavailable):
        client.read_metrics(TOKEN, ACCOUNT, WINDOW, [request])


class Unplugged(httpx.BaseTransport):
    """A network that reaches nobody and remembers who was called."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.called.append(str(request.url.copy_with(query=None)))
        raise httpx.ConnectError("unplugged", request=request)


def test_without_a_base_url_amazon_itself_is_called() -> None:
    network = Unplugged()
    app = AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET))
    with httpx.Client(transport=network) as http:
        client = AmazonAds(app, http, Breaker(), lambda: datetime.now(UTC))
        with _refused(Unreached):
            client.list_accounts(TOKEN)
        for region in ("na", "eu", "fe"):
            with _refused(Unreached):
                client.list_campaigns(TOKEN, ACCOUNT.model_copy(update={"region": region}))
        with _refused(Unreached):
            client.renew(GrantTokens(access_token=SecretStr("a"), refresh_token=SecretStr("r")))
    assert network.called == [
        "https://advertising-api.amazon.com/v2/profiles",
        "https://advertising-api.amazon.com/sp/campaigns/list",
        "https://advertising-api-eu.amazon.com/sp/campaigns/list",
        "https://advertising-api-fe.amazon.com/sp/campaigns/list",
        "https://api.amazon.com/auth/o2/token",
    ]
