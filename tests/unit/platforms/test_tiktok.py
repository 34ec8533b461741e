"""Our TikTok client against the sandbox, and against replies that only the real platform gives, over real HTTP."""

import json
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from business_api_client.tiktok_business.tiktok_code import NumericErrorCodes
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from sandbox.faults import Fault, FaultKind
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Account, Figures, Grant, World
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
)
from sivera.platforms.base import AppCredentials, PlatformClient, StaticToken
from sivera.platforms.tiktok import TikTokAds
from sivera.platforms.tiktok_json import ERRORS, Record, account_of, campaign_of, metrics_of
from sivera.values import (
    AccountStatus,
    AdAccount,
    Budget,
    BudgetKind,
    CampaignStatus,
    DateWindow,
    GrantTokens,
    PlatformName,
)
from tests.conftest import NOW, PATIENCE_SECONDS

TIKTOK = PlatformName.TIKTOK
TOKEN = "act.0123456789abcdef0123456789abcdef01234567"
SECRET = "fedcba9876543210fedcba9876543210fedcba98"
ACCOUNT = AdAccount(external_id="7100000000000000000", name="Hanok", currency="USD", timezone="America/New_York")
WINDOW = DateWindow(since=date(2026, 11, 1), until=date(2026, 11, 20))
CAMPAIGN = {
    "campaign_id": "1780000000000000001",
    "campaign_name": "Spring sale",
    "objective_type": "TRAFFIC",
    "budget": 50,
    "budget_mode": "BUDGET_MODE_DAY",
    "operation_status": "ENABLE",
    "secondary_status": "CAMPAIGN_STATUS_ENABLE",
    "modify_time": "2026-11-19 08:30:00",
}
ADVERTISER = {
    "advertiser_id": "7100000000000000000",
    "name": "Hanok",
    "currency": "USD",
    "timezone": "Etc/GMT+8",
    "display_timezone": "America/Los_Angeles",
    "status": "STATUS_ENABLE",
}
METRICS = {
    "spend": "20.000",
    "impressions": "5830",
    "clicks": "69",
    "conversion": "2",
    "total_complete_payment_rate": "99.50",
}


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=PATIENCE_SECONDS) as client:
        yield client


Connect = Callable[..., TikTokAds]


@pytest.fixture
def connect(http: httpx.Client) -> Connect:
    """Return a client of the platform at a URL."""

    def make(url: str, secret: str = CLIENT_SECRET, breaker: Breaker | None = None) -> TikTokAds:
        app = AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr(secret), base_url=url)
        return TikTokAds(app, http, breaker or Breaker(), lambda: NOW)

    return make


@pytest.fixture
def client(sandbox: str, connect: Connect) -> TikTokAds:
    return connect(f"{sandbox}/tiktok")


@pytest.fixture
def grant(world: World) -> Grant:
    return world.add_grant(TIKTOK, accounts=1, campaigns=24)


@pytest.fixture
def tokens(world: World, grant: Grant) -> StaticToken:
    return token_of(world, grant)


def token_of(world: World, grant: Grant) -> StaticToken:
    return StaticToken(SecretStr(world.issue_access(grant)[0]), TIKTOK)


def ad_account(account: Account) -> AdAccount:
    return AdAccount(external_id=account.id, name=account.name, currency=account.currency, timezone=account.timezone)


class Renewable:
    """A grant's tokens, renewed by the client itself; `on_call` is told of each call before it is made."""

    def __init__(self, client: TikTokAds, tokens: GrantTokens, on_call: Callable[[int], None] = lambda _: None) -> None:
        self.client, self.tokens, self.on_call = client, tokens, on_call
        self.calls = 0
        self.renewals = 0

    def current(self) -> str:
        self.calls += 1
        self.on_call(self.calls)
        return self.tokens.access_token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        assert rejected == self.tokens.access_token.get_secret_value()
        self.renewals += 1
        self.tokens = self.client.renew(self.tokens)
        return self.tokens.access_token.get_secret_value()


class Canned:
    """A server that answers whatever it is asked with the replies it was given, the last one again and again."""

    def __init__(self) -> None:
        self.replies: deque[tuple[int, bytes, dict[str, str]]] = deque()
        self.asked = 0
        canned = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                canned.asked += 1
                status, body, headers = canned.replies[0] if len(canned.replies) == 1 else canned.replies.popleft()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the names are http.server's

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, *bodies: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.replies.extend((status, json.dumps(body).encode(), headers or {}) for body in bodies)


@pytest.fixture
def canned() -> Iterator[Canned]:
    canned = Canned()
    thread = threading.Thread(target=canned.server.serve_forever, args=[0.01])
    thread.start()
    yield canned
    canned.server.shutdown()
    canned.server.server_close()
    thread.join()


@pytest.fixture
def live(canned: Canned, connect: Connect) -> TikTokAds:
    """A client of the canned platform."""
    return connect(canned.url, secret=SECRET)


SOME_TOKEN = StaticToken(SecretStr(TOKEN), TIKTOK)


def ok(data: object) -> dict[str, object]:
    return {"code": 0, "message": "OK", "request_id": "1", "data": data}


def page(records: list[Any], number: int = 1, pages: int = 1, total: int | None = None) -> dict[str, object]:
    total = len(records) if total is None else total
    info = {"page": number, "page_size": 1000, "total_page": pages, "total_number": total}
    return ok({"list": records, "page_info": info})


def refused(code: int, message: str = "no") -> dict[str, object]:
    return {"code": code, "message": message, "request_id": "1", "data": {}}


def row(metrics: dict[str, Any] | None = None, day: str = "2026-11-19 00:00:00", campaign: Any = "1") -> dict[str, Any]:
    return {"dimensions": {"campaign_id": campaign, "stat_time_day": day}, "metrics": {**METRICS, **(metrics or {})}}


def test_a_closed_client_makes_no_calls(client: TikTokAds, http: httpx.Client, tokens: StaticToken) -> None:
    assert isinstance(client, PlatformClient)
    assert client.list_accounts(tokens)
    client.close()
    assert http.is_closed


class TestAccounts:
    def test_lists_all_accounts_of_a_grant_in_chunks(self, client: TikTokAds, world: World) -> None:
        grant = world.add_grant(TIKTOK, accounts=230)
        closed = world.accounts_of(grant)[7]
        closed.closed = True
        accounts = client.list_accounts(token_of(world, grant))

        assert [account.external_id for account in accounts] == grant.account_ids
        assert [account.external_id for account in accounts if account.status is AccountStatus.CLOSED] == [closed.id]
        assert accounts[0] == ad_account(world.accounts_of(grant)[0])
        assert world.faults.count(TIKTOK, "accounts") == 3

    def test_reads_recorded_shapes(self, canned: Canned, live: TikTokAds) -> None:
        canned.answer(ok({"list": [{"advertiser_id": 7100000000000000000}] * 2}))
        canned.answer(ok({"list": [{**ADVERTISER, "advertiser_id": 7100000000000000000}]}))
        [account] = live.list_accounts(SOME_TOKEN)
        assert (account.external_id, account.timezone) == ("7100000000000000000", "America/Los_Angeles")

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("STATUS_ENABLE", AccountStatus.ACTIVE),
            ("STATUS_LIMIT", AccountStatus.ACTIVE),
            ("STATUS_NEW_WORD", AccountStatus.ACTIVE),
            (None, AccountStatus.ACTIVE),
            ("STATUS_DISABLE", AccountStatus.CLOSED),
            ("STATUS_CONFIRM_FAIL_END", AccountStatus.CLOSED),
        ],
    )
    def test_only_what_cannot_be_read_is_closed(
        self, canned: Canned, live: TikTokAds, status: str | None, expected: AccountStatus
    ) -> None:
        canned.answer(ok({"list": [ADVERTISER]}), ok({"list": [{**ADVERTISER, "status": status}]}))
        assert [account.status for account in live.list_accounts(SOME_TOKEN)] == [expected]

    @pytest.mark.parametrize(
        "details",
        [
            [],
            [{**ADVERTISER, "advertiser_id": "7100000000000000001"}],
            [{**ADVERTISER, "currency": None}],
            [{**ADVERTISER, "status": ["STATUS_ENABLE"]}],
            [{**ADVERTISER, "display_timezone": "Mars/Olympus"}],
            [{**ADVERTISER, "display_timezone": "", "timezone": None}],
            ["7100000000000000000"],
            None,
        ],
    )
    def test_an_account_that_cannot_be_understood_is_an_invalid_reply(
        self, canned: Canned, live: TikTokAds, details: object
    ) -> None:
        canned.answer(ok({"list": [ADVERTISER]}), ok({"list": details}))
        with pytest.raises(InvalidReply):
            live.list_accounts(SOME_TOKEN)


class TestCampaigns:
    def test_every_state_and_budget_is_read(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        account = world.accounts_of(grant)[0]
        world.archive_campaign(TIKTOK, account.id, next(iter(account.campaigns)))
        listing = client.list_campaigns(tokens, ad_account(account))
        native = {
            CampaignStatus.ACTIVE: (CampaignStatus.ACTIVE, "CAMPAIGN_STATUS_ENABLE"),
            CampaignStatus.PAUSED: (CampaignStatus.PAUSED, "CAMPAIGN_STATUS_DISABLE"),
            CampaignStatus.ARCHIVED: (CampaignStatus.REMOVED, "CAMPAIGN_STATUS_DELETE"),
            CampaignStatus.REMOVED: (CampaignStatus.REMOVED, "CAMPAIGN_STATUS_DELETE"),
        }
        made = account.campaigns

        assert listing.complete
        assert [campaign.external_id for campaign in listing.campaigns] == list(made)
        assert {c.state for c in made.values()} == set(native)
        assert {c.budget_kind for c in made.values()} == {
            BudgetKind.DAILY,
            BudgetKind.LIFETIME,
            BudgetKind.LOWER_LEVEL,
        }
        for campaign in listing.campaigns:
            truth = made[campaign.external_id]
            amount = None if truth.budget_kind is BudgetKind.LOWER_LEVEL else truth.budget
            assert (campaign.status, campaign.native_status) == native[truth.state]
            assert campaign.budget == Budget(kind=truth.budget_kind, amount=amount, currency=account.currency)
            assert (campaign.name, campaign.ad_product) == (truth.name, truth.product)
            assert campaign.updated_at == truth.updated.replace(microsecond=0)

    def test_pages_are_read_to_the_last(self, client: TikTokAds, world: World) -> None:
        grant = world.add_grant(TIKTOK, campaigns=2300)
        account = world.accounts_of(grant)[0]
        listing = client.list_campaigns(token_of(world, grant), ad_account(account))

        assert listing.complete
        assert [campaign.external_id for campaign in listing.campaigns] == list(account.campaigns)
        assert world.faults.count(TIKTOK, "campaigns") == 3

    def test_incremental_lists_all_since_there_is_no_filter_by_change(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        account = world.accounts_of(grant)[0]
        world.change_campaign(TIKTOK, account.id, next(iter(account.campaigns)), name="Renamed")
        full = client.list_campaigns(tokens, ad_account(account))
        listing = client.list_campaigns(tokens, ad_account(account), changed_since=NOW - timedelta(hours=1))

        assert listing == full
        assert listing.campaigns[0].name == "Renamed"
        assert listing.campaigns[0].updated_at == NOW

    def test_a_campaign_gone_for_good_is_missing_from_a_complete_listing(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        account = world.accounts_of(grant)[0]
        gone = next(iter(account.campaigns))
        world.hard_delete_campaign(TIKTOK, account.id, gone)
        listing = client.list_campaigns(tokens, ad_account(account))
        assert listing.complete
        assert gone not in {campaign.external_id for campaign in listing.campaigns}

    @pytest.mark.parametrize(
        ("currency", "budget"),
        [("USD", "20.05"), ("EUR", "1234567.89"), ("JPY", "5000"), ("KRW", "12000000"), ("TWD", "600")],
    )
    def test_budgets_are_exact_in_major_units(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken, currency: str, budget: str
    ) -> None:
        account = world.accounts_of(grant)[0]
        account.currency = currency
        first = next(iter(account.campaigns))
        world.change_campaign(TIKTOK, account.id, first, budget=Decimal(budget), budget_kind=BudgetKind.DAILY)
        campaign = client.list_campaigns(tokens, ad_account(account)).campaigns[0]
        assert campaign.budget == Budget(kind=BudgetKind.DAILY, amount=Decimal(budget), currency=currency)

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"budget_mode": "BUDGET_MODE_DYNAMIC_DAILY_BUDGET"}, {"budget.kind": BudgetKind.DAILY}),
            ({"budget_mode": "BUDGET_MODE_INFINITE", "budget": 0}, {"budget.amount": None}),
            ({"budget": 0.1}, {"budget.amount": Decimal("0.1")}),
            ({"campaign_id": 1780000000000000001}, {"external_id": "1780000000000000001"}),
            ({"modify_time": None}, {"updated_at": None}),
            ({"objective_type": None}, {"ad_product": None}),
            ({"operation_status": "DELETE"}, {"status": CampaignStatus.REMOVED}),
            ({"operation_status": "FREEZE"}, {"status": CampaignStatus.OTHER, "native_status": "FREEZE"}),
            (
                {"secondary_status": "CAMPAIGN_STATUS_BUDGET_EXCEED"},
                {"status": CampaignStatus.ACTIVE, "native_status": "CAMPAIGN_STATUS_BUDGET_EXCEED"},
            ),
        ],
    )
    def test_reads_recorded_shapes(
        self, canned: Canned, live: TikTokAds, changes: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        canned.answer(page([{**CAMPAIGN, **changes}]))
        [campaign] = live.list_campaigns(SOME_TOKEN, ACCOUNT).campaigns
        for path, value in expected.items():
            holder, _, name = path.rpartition(".")
            assert getattr(campaign.budget if holder else campaign, name) == value

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("campaign_id", None),
            ("campaign_id", ""),
            ("campaign_id", 1.5),
            ("campaign_name", 7),
            ("operation_status", None),
            ("secondary_status", {}),
            ("budget_mode", "BUDGET_MODE_WEEK"),
            ("budget", None),
            ("budget", True),
            ("budget", "fifty"),
            ("budget", "NaN"),
            ("budget", "1e9"),
            ("modify_time", "yesterday"),
            ("modify_time", 1763539200),
        ],
    )
    def test_a_malformed_record_is_an_invalid_reply_naming_the_field(
        self, canned: Canned, live: TikTokAds, field: str, value: object
    ) -> None:
        canned.answer(page([CAMPAIGN, {**CAMPAIGN, "campaign_id": "2", field: value}]))
        with pytest.raises(InvalidReply, match=field):
            live.list_campaigns(SOME_TOKEN, ACCOUNT)


class TestPaging:
    FIRST, SECOND, THIRD = ({**CAMPAIGN, "campaign_id": number} for number in ("1", "2", "3"))

    def test_a_campaign_on_two_pages_is_listed_once(self, canned: Canned, live: TikTokAds) -> None:
        canned.answer(page([self.FIRST, self.SECOND], 1, 2, total=3), page([self.SECOND, self.THIRD], 2, 2, total=3))
        listing = live.list_campaigns(SOME_TOKEN, ACCOUNT)
        assert [campaign.external_id for campaign in listing.campaigns] == ["1", "2", "3"]
        assert listing.complete

    def test_a_listing_that_lost_a_campaign_between_pages_is_not_complete(
        self, canned: Canned, live: TikTokAds
    ) -> None:
        canned.answer(page([self.FIRST, self.SECOND], 1, 2, total=4), page([], 2, 2, total=3))
        assert not live.list_campaigns(SOME_TOKEN, ACCOUNT).complete

    @pytest.mark.parametrize(
        "second",
        [page([SECOND], 1, 9, total=9), page([FIRST], 2, 9, total=9), page([], 2, 9, total=9)],
        ids=["the same page", "the same campaigns", "an empty page"],
    )
    def test_a_loop_ends(self, canned: Canned, live: TikTokAds, second: object) -> None:
        canned.answer(page([self.FIRST], 1, 9, total=9), second)
        with pytest.raises(InvalidReply):
            live.list_campaigns(SOME_TOKEN, ACCOUNT)
        assert canned.asked == 2

    @pytest.mark.parametrize(
        "data",
        [
            None,
            [],
            {"list": [CAMPAIGN]},
            {"list": None, "page_info": {"page": 1, "total_page": 1, "total_number": 0}},
            {"list": [], "page_info": {"page": "1", "total_page": 1, "total_number": 0}},
            {"list": [], "page_info": {"page": 1, "total_page": None, "total_number": 0}},
            {"list": [], "page_info": {"page": 1, "total_page": 1, "total_number": -1}},
        ],
    )
    def test_a_malformed_page_is_an_invalid_reply(self, canned: Canned, live: TikTokAds, data: object) -> None:
        canned.answer(ok(data))
        with pytest.raises(InvalidReply):
            live.list_campaigns(SOME_TOKEN, ACCOUNT)


class TestMetrics:
    def test_reads_what_each_campaign_did_each_day(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        account = world.accounts_of(grant)[0]
        reading = client.read_metrics(tokens, ad_account(account), WINDOW)
        [batch] = reading.batches
        truth = {
            (campaign.id, day): figures
            for campaign in account.campaigns.values()
            for day in (WINDOW.since + timedelta(days=offset) for offset in range(20))
            if (figures := world.figures(account, campaign, day)).impressions
        }

        assert (batch.window, reading.outstanding) == (WINDOW, ())
        assert len(batch.rows) == len(truth) > 100
        for line in batch.rows:
            figures = truth[line.campaign_id, line.day]
            assert (line.impressions, line.clicks, line.currency) == (
                figures.impressions,
                figures.clicks,
                account.currency,
            )
            assert (line.spend, line.conversions, line.conversion_value) == (
                figures.spend,
                figures.conversions,
                figures.conversion_value,
            )

    def test_restated_zero_and_deleted(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        account = world.accounts_of(grant)[0]
        live, *_, deleted = account.campaigns.values()
        assert deleted.state is CampaignStatus.REMOVED
        day, other = date(2026, 11, 5), date(2026, 11, 6)
        world.restate(live.id, day, Figures(7, 1, Decimal("0.07"), Decimal("0.5"), Decimal("1.25")))
        world.restate(live.id, other, Figures(0, 0, Decimal(0), Decimal(0), Decimal(0)))
        world.restate(deleted.id, day, Figures(1, 0, Decimal("12345678.9"), Decimal(0), Decimal(0)))
        rows = client.read_metrics(tokens, ad_account(account), WINDOW).batches[0].rows
        found = {(line.campaign_id, line.day): line for line in rows}

        assert (found[live.id, day].spend, found[live.id, day].conversions) == (Decimal("0.07"), Decimal("0.5"))
        assert (live.id, other) not in found
        assert found[deleted.id, day].spend == Decimal("12345678.9")

    @pytest.mark.parametrize(("days", "calls"), [(1, 1), (30, 1), (31, 2), (65, 3)])
    def test_a_report_covers_thirty_days_at_most(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken, days: int, calls: int
    ) -> None:
        account = world.accounts_of(grant)[0]
        first = next(iter(account.campaigns.values()))
        window = DateWindow(since=date(2026, 11, 20) - timedelta(days=days - 1), until=date(2026, 11, 20))
        for day in {window.since, window.until}:
            world.restate(first.id, day, Figures(1, 1, Decimal(1), Decimal(0), Decimal(0)))
        rows = client.read_metrics(tokens, ad_account(account), window).batches[0].rows

        assert {window.since, window.until} <= {line.day for line in rows if line.campaign_id == first.id}
        assert len({(line.campaign_id, line.day) for line in rows}) == len(rows)
        assert world.faults.count(TIKTOK, "metrics") == calls

    def test_a_large_report_is_read_to_the_last_page(self, client: TikTokAds, world: World) -> None:
        grant = world.add_grant(TIKTOK, campaigns=120)
        account = world.accounts_of(grant)[0]
        window = DateWindow(since=date(2026, 10, 22), until=date(2026, 11, 20))
        rows = client.read_metrics(token_of(world, grant), ad_account(account), window).batches[0].rows
        assert len(rows) > 1000
        assert world.faults.count(TIKTOK, "metrics") == 2

    def test_a_window_without_days_asks_nothing(self, live: TikTokAds, canned: Canned) -> None:
        window = DateWindow(since=date(2026, 11, 2), until=date(2026, 11, 1))
        assert live.read_metrics(SOME_TOKEN, ACCOUNT, window).batches[0].rows == ()
        assert canned.asked == 0

    def test_reads_recorded_shapes(self, canned: Canned, live: TikTokAds) -> None:
        canned.answer(page([row({"conversion": "-", "impressions": 5830}, campaign=1), row(campaign="0")]))
        [line] = live.read_metrics(SOME_TOKEN, ACCOUNT, WINDOW).batches[0].rows
        assert (line.campaign_id, line.day, line.impressions) == ("1", date(2026, 11, 19), 5830)
        assert (line.spend, line.conversions, line.conversion_value) == (Decimal(20), Decimal(0), Decimal("99.5"))

    @pytest.mark.parametrize(
        ("malformed", "field"),
        [
            (row({"spend": None}), "spend"),
            (row({"spend": "12,34"}), "spend"),
            (row({"clicks": "1.5"}), "clicks"),
            (row({"impressions": "many"}), "impressions"),
            (row({"total_complete_payment_rate": "Infinity"}), "total_complete_payment_rate"),
            (row(day="the 19th"), "stat_time_day"),
            (row(day="2026-10-31 00:00:00"), "stat_time_day"),
            (row(campaign=None), "campaign_id"),
            ({"metrics": METRICS}, "dimensions"),
            ({"dimensions": row()["dimensions"]}, "metrics"),
        ],
    )
    def test_a_malformed_row_is_an_invalid_reply_naming_the_field(
        self, canned: Canned, live: TikTokAds, malformed: object, field: str
    ) -> None:
        canned.answer(page([row(day="2026-11-18 00:00:00"), malformed]))
        with pytest.raises(InvalidReply, match=field):
            live.read_metrics(SOME_TOKEN, ACCOUNT, WINDOW)

    def test_a_report_with_fewer_rows_than_it_counts_is_not_taken_for_zeros(
        self, canned: Canned, live: TikTokAds
    ) -> None:
        canned.answer(page([row()], total=2))
        with pytest.raises(InvalidReply, match="fewer rows"):
            live.read_metrics(SOME_TOKEN, ACCOUNT, WINDOW)


class TestTokens:
    @pytest.fixture
    def rotating(self, world: World) -> Grant:
        return world.add_grant(TIKTOK, accounts=1, campaigns=2300, rotates=True)

    @pytest.fixture
    def rotating_tokens(self, world: World, rotating: Grant) -> GrantTokens:
        access, _ = world.issue_access(rotating)
        return GrantTokens(access_token=SecretStr(access), refresh_token=SecretStr(world.issue_refresh(rotating)))

    def test_a_long_lived_token_is_proved_and_kept(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        held = GrantTokens(access_token=tokens.token)
        assert client.renew(held) == held
        assert world.faults.count(TIKTOK, "validate") == 1

    def test_a_revoked_grant_needs_a_human(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        world.revoke_grant(grant.id)
        with pytest.raises(ReconnectRequired, match="connect the account again"):
            client.renew(GrantTokens(access_token=tokens.token))

    def test_a_refresh_keeps_the_rotated_token(
        self, client: TikTokAds, world: World, rotating: Grant, rotating_tokens: GrantTokens
    ) -> None:
        renewed = client.renew(rotating_tokens)
        assert renewed.expires_in == timedelta(days=1)
        assert renewed.refresh_token not in (None, rotating_tokens.refresh_token)
        assert world.grant_of_access(TIKTOK, renewed.access_token.get_secret_value()) is rotating
        assert client.renew(renewed).refresh_token != renewed.refresh_token

    def test_a_spent_refresh_token_needs_a_human(self, client: TikTokAds, rotating_tokens: GrantTokens) -> None:
        client.renew(rotating_tokens)
        with pytest.raises(ReconnectRequired):
            client.renew(rotating_tokens)

    def test_a_wrong_app_secret_is_ours_to_mend(
        self, sandbox: str, connect: Connect, tokens: StaticToken, rotating_tokens: GrantTokens
    ) -> None:
        client = connect(f"{sandbox}/tiktok", secret="wrong")
        for held in (GrantTokens(access_token=tokens.token), rotating_tokens):
            with pytest.raises(Misconfigured):
                client.renew(held)

    def test_what_a_refresh_does_not_say_is_kept_or_documented(self, canned: Canned, live: TikTokAds) -> None:
        canned.answer(ok({"access_token": "new"}))
        renewed = live.renew(GrantTokens(access_token=SecretStr("old"), refresh_token=SecretStr("kept")))
        assert renewed == GrantTokens(
            access_token=SecretStr("new"), refresh_token=SecretStr("kept"), expires_in=timedelta(days=1)
        )

    @pytest.mark.parametrize("data", [{}, {"access_token": 7}, {"access_token": "new", "expires_in": "soon"}, None])
    def test_a_malformed_refresh_is_an_invalid_reply(self, canned: Canned, live: TikTokAds, data: object) -> None:
        canned.answer(ok(data))
        with pytest.raises(InvalidReply):
            live.renew(GrantTokens(access_token=SecretStr("old"), refresh_token=SecretStr("kept")))

    def test_a_token_that_expires_in_the_middle_is_renewed_once(
        self, client: TikTokAds, world: World, rotating: Grant, rotating_tokens: GrantTokens
    ) -> None:
        def expire(call: int) -> None:
            if call == 2:
                world.expire_access(rotating.id)

        source = Renewable(client, rotating_tokens, expire)
        listing = client.list_campaigns(source, ad_account(world.accounts_of(rotating)[0]))

        assert (len(listing.campaigns), listing.complete) == (2300, True)
        assert source.renewals == world.faults.count(TIKTOK, "token") == 1
        assert world.faults.count(TIKTOK, "campaigns") == 4

    def test_a_token_refused_twice_is_not_renewed_again(self, canned: Canned, live: TikTokAds) -> None:
        canned.answer(refused(40105), ok({"list": []}), refused(40105))
        source = Renewable(live, GrantTokens(access_token=SecretStr(TOKEN)))
        with pytest.raises(TokenRejected):
            live.list_campaigns(source, ACCOUNT)
        assert (source.renewals, canned.asked) == (1, 3)

    def test_a_revoked_grant_is_found_out_by_a_call(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        world.revoke_grant(grant.id)
        source = Renewable(client, GrantTokens(access_token=tokens.token))
        with pytest.raises(ReconnectRequired):
            client.list_accounts(source)


class TestTrouble:
    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (Fault(FaultKind.THROTTLE), Throttled),
            (Fault(FaultKind.STATUS, status=503), Unavailable),
            (Fault(FaultKind.HTML, status=200), InvalidReply),
            (Fault(FaultKind.HTML, status=502), Unavailable),
            (Fault(FaultKind.TRUNCATED), InvalidReply),
            (Fault(FaultKind.MALFORMED), InvalidReply),
            (Fault(FaultKind.DISCONNECT), Unavailable),
        ],
        ids=lambda value: value.kind.value if isinstance(value, Fault) else None,
    )
    def test_each_fault_is_the_right_error(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken, fault: Fault, expected: type
    ) -> None:
        account = ad_account(world.accounts_of(grant)[0])
        held = GrantTokens(access_token=tokens.token)
        world.faults.add(fault)
        calls: tuple[Callable[[], object], ...] = (
            lambda: client.list_campaigns(tokens, account),
            lambda: client.read_metrics(tokens, account, WINDOW),
            lambda: client.list_accounts(tokens),
            lambda: client.renew(held),
        )
        for call in calls:
            with pytest.raises(PlatformError) as caught:
                call()
            assert type(caught.value) is expected

    def test_silence_ends_with_the_timeout(self, sandbox: str, world: World, grant: Grant, tokens: StaticToken) -> None:
        world.faults.add(Fault(FaultKind.HANG, TIKTOK))
        app = AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET), base_url=f"{sandbox}/tiktok/")
        timeout = httpx.Timeout(PATIENCE_SECONDS, read=0.2)
        with httpx.Client(timeout=timeout) as http, pytest.raises(Unavailable, match="in time"):
            TikTokAds(app, http, Breaker(), lambda: NOW).list_accounts(tokens)

    def test_slow_down_puts_off_every_account_without_a_call(self, canned: Canned, connect: Connect) -> None:
        breaker = Breaker(monotonic=lambda: 0.0)
        client = connect(canned.url, breaker=breaker)
        canned.answer(refused(40100))
        for _ in range(2):
            with pytest.raises(Throttled) as caught:
                client.list_campaigns(SOME_TOKEN, ACCOUNT)
            assert caught.value.scope is ThrottleScope.PLATFORM
        assert canned.asked == 1
        assert breaker.seconds_left(TIKTOK) == 60

    def test_a_wait_that_the_gateway_names_is_kept(self, canned: Canned, live: TikTokAds) -> None:
        canned.answer({"message": "slow down"}, status=429, headers={"Retry-After": "7"})
        with pytest.raises(Throttled) as caught:
            live.list_campaigns(SOME_TOKEN, ACCOUNT)
        assert caught.value.retry_after == 7

    def test_a_closed_or_foreign_account_is_inaccessible(
        self, client: TikTokAds, world: World, grant: Grant, tokens: StaticToken
    ) -> None:
        closed = world.accounts_of(grant)[0]
        closed.closed = True
        foreign = world.accounts_of(world.add_grant(TIKTOK))[0]
        for account in (closed, foreign):
            with pytest.raises(AccountInaccessible):
                client.list_campaigns(tokens, ad_account(account))

    def test_without_a_base_url_the_live_platform_is_asked(self) -> None:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return httpx.Response(200, json=page([]))

        app = AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr(SECRET))
        with httpx.Client(transport=httpx.MockTransport(answer)) as http:
            TikTokAds(app, http, Breaker(), lambda: NOW).list_campaigns(SOME_TOKEN, ACCOUNT)
        [request] = asked
        assert str(request.url).startswith("https://business-api.tiktok.com/open_api/v1.3/campaign/get/?")
        assert request.headers["Access-Token"] == TOKEN


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["-", "1e999"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


class TestAnyJson:
    @pytest.mark.parametrize(
        ("read", "valid"),
        [
            (lambda fields: account_of(Record(fields)), ADVERTISER),
            (lambda fields: campaign_of(Record(fields), "USD"), CAMPAIGN),
            (lambda fields: metrics_of(Record(fields), WINDOW, "USD"), row()),
            (lambda fields: metrics_of(Record(row(fields)), WINDOW, "USD"), METRICS),
            (lambda fields: metrics_of(Record({**row(), "dimensions": fields}), WINDOW, "USD"), row()["dimensions"]),
        ],
        ids=["account", "campaign", "row", "metrics", "dimensions"],
    )
    @given(data=st.data())
    @settings(max_examples=50, deadline=None, database=None)
    def test_a_record_is_read_whole_or_refused(
        self, data: st.DataObject, read: Callable[[dict[str, Any]], object], valid: dict[str, Any]
    ) -> None:
        changes = data.draw(st.dictionaries(st.sampled_from(sorted(valid)), JSON, max_size=3))
        with suppress(InvalidReply):
            assert read({**valid, **changes}) is not None


OFFICIAL = {name: code for name, code in vars(NumericErrorCodes).items() if name.startswith("ERROR_CODE_") and code}


class TestCodes:
    @pytest.mark.parametrize(
        ("name", "by_call", "by_renewal"),
        [
            ("ACCESS_TOKEN_EXPIRE", TokenRejected, ReconnectRequired),
            ("INVALID_ACCESS_TOKEN", TokenRejected, GrantRevoked),
            ("REFRESH_TOKEN_EXPIRE", ReconnectRequired, ReconnectRequired),
            ("EMPTY_ACCESS_TOKEN", ReconnectRequired, ReconnectRequired),
            ("INVALID_CORE_USER", ReconnectRequired, ReconnectRequired),
            ("INVALID_REFRESH_TOKEN", ReconnectRequired, ReconnectRequired),
            ("ADVERTISER_LOGOUT", ReconnectRequired, ReconnectRequired),
            ("SCOPE_TT_USER_OAUTH_FAILED", ReconnectRequired, ReconnectRequired),
            ("PERMISSION_ERROR", AccountInaccessible, Misconfigured),
            ("ADVERTISER_NOT_EXIST", AccountInaccessible, Misconfigured),
            ("ADVERTISER_ROLE_ERROR", AccountInaccessible, Misconfigured),
            ("REQUEST_TOO_FREQUENT", Throttled, Throttled),
            ("REQUEST_FREQUENCY_LIMITED", Throttled, Throttled),
            ("TOO_MANY_REQUESTS_BL", Throttled, Throttled),
            ("GENERAL_TASK_ERROR", Unavailable, Unavailable),
            ("WRITE_CONFLICT", Unavailable, Unavailable),
            ("RPC_VALIDATION_ERROR", Unavailable, Unavailable),
            ("SYS_ERROR", Unavailable, Unavailable),
            ("SYS_TIMEOUT", Unavailable, Unavailable),
            ("STATISTICS_ERROR", Unavailable, Unavailable),
            ("RDS_TIMEOUT_ERROR", Unavailable, Unavailable),
            ("MAINTENANCE", Unavailable, Unavailable),
            ("PARAM_ERROR", InvalidRequest, InvalidRequest),
            ("ROUTE_NOT_FOUND", InvalidRequest, InvalidRequest),
            ("AUTH_CODE_ERROR", Misconfigured, Misconfigured),
            ("APP_FORBIDDEN", Misconfigured, Misconfigured),
            ("NOT_IN_WHITELIST", Misconfigured, Misconfigured),
            ("DEVELOPER_REJECTED", Misconfigured, Misconfigured),
            ("DEVELOPER_NO_PERMISSION", Misconfigured, Misconfigured),
        ],
    )
    def test_a_code_means_what_the_sdk_names_it(
        self, canned: Canned, connect: Connect, name: str, by_call: type, by_renewal: type
    ) -> None:
        code = OFFICIAL[f"ERROR_CODE_{name}"]
        canned.answer(refused(code))
        with pytest.raises(PlatformError) as call:
            connect(canned.url).list_campaigns(SOME_TOKEN, ACCOUNT)
        with pytest.raises(PlatformError) as renewal:
            connect(canned.url).renew(GrantTokens(access_token=SecretStr(TOKEN)))
        assert (type(call.value), type(renewal.value)) == (by_call, by_renewal)
        assert renewal.value.code == str(code)

    def test_every_code_of_the_sdk_has_a_type(self, canned: Canned, connect: Connect) -> None:
        for name, code in OFFICIAL.items():
            canned.replies.clear()
            canned.answer(refused(code))
            with pytest.raises(PlatformError) as caught:
                connect(canned.url).list_campaigns(SOME_TOKEN, ACCOUNT)
            assert type(caught.value) not in (PlatformError, InvalidReply), name
            assert isinstance(caught.value, Unavailable) or code not in range(50000, 60000), name

    def test_our_table_names_only_codes_of_the_sdk_and_each_once(self) -> None:
        ours = [code for codes in ERRORS.values() for code in codes]
        assert sorted(ours) == sorted(set(ours) & set(OFFICIAL.values()))

    @pytest.mark.parametrize(
        ("status", "body", "expected"),
        [
            (200, refused(49999), InvalidRequest),
            (200, refused(1), Unavailable),
            (400, refused(40105), TokenRejected),
            (403, {"message": "Forbidden"}, InvalidReply),
            (404, ok({}), InvalidReply),
            (200, {"code": "0", "data": {}}, InvalidReply),
            (200, {"code": True, "data": {}}, InvalidReply),
            (200, [], InvalidReply),
            (504, {}, Unavailable),
        ],
    )
    def test_other_bodies(self, canned: Canned, live: TikTokAds, status: int, body: object, expected: type) -> None:
        canned.answer(body, status=status)
        with pytest.raises(PlatformError) as caught:
            live.list_campaigns(SOME_TOKEN, ACCOUNT)
        assert type(caught.value) is expected


class TestSecrets:
    @pytest.mark.parametrize("code", [40001, 40002, 40100, 40105, 40113, 50000])
    def test_no_error_tells_a_token_a_secret_or_a_url(self, canned: Canned, live: TikTokAds, code: int) -> None:
        echo = f"bad token {TOKEN} or secret={SECRET}, see {canned.url}/open_api/v1.3/oauth2/?secret={SECRET}"
        canned.answer(refused(code, echo))
        held = GrantTokens(access_token=SecretStr(TOKEN), refresh_token=SecretStr("rft." + SECRET))
        calls: tuple[Callable[[], object], ...] = (
            lambda: live.list_accounts(SOME_TOKEN),
            lambda: live.renew(held),
            lambda: live.renew(GrantTokens(access_token=SecretStr(TOKEN))),
        )
        for call in calls:
            with pytest.raises(PlatformError) as caught:
                call()
            assert_silent(caught.value)

    def test_nor_does_a_lost_connection(self, canned: Canned, live: TikTokAds) -> None:
        canned.server.server_close()
        with pytest.raises(Unavailable) as caught:
            live.list_accounts(SOME_TOKEN)
        assert_silent(caught.value)

    def test_tiktoks_own_words_are_told_and_short(self, canned: Canned, live: TikTokAds) -> None:
        message = "metrics: total_complete_payment_rate is not supported for advertiser 7100000000000000000. " * 9
        canned.answer(refused(40002, message))
        with pytest.raises(InvalidRequest) as caught:
            live.read_metrics(SOME_TOKEN, ACCOUNT, WINDOW)
        assert "total_complete_payment_rate is not supported for advertiser 7100000000000000000." in str(caught.value)
        assert len(str(caught.value)) < 200


def assert_silent(error: PlatformError) -> None:
    """Check all that a log would show of an error; the source lines in its traceback are ours, and indented."""
    told = [line for line in "".join(traceback.format_exception(error)).splitlines() if not line.startswith("    ")]
    for secret in (TOKEN, SECRET, "http://", "127.0.0.1"):
        assert secret not in "\n".join([*told, repr(error)])
