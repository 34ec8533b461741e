"""What only the Meta client does: exchange of tokens, proofs, large replies and usage headers."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import pytest

from sandbox.faults import Fault, FaultKind, Quota
from sandbox.world import CLIENT_SECRET, Grant, World
from sivera.errors import InvalidRequest, Misconfigured, ReconnectRequired, Throttled, ThrottleScope
from sivera.platforms.meta_errors import TooMuchData
from sivera.values import Budget, BudgetKind, CampaignStatus, DateWindow
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import META, Desk, held, ours, refused


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    return new_desk(META, accounts=2, campaigns=24)


@dataclass
class ElsewhereRenewed:
    """The tokens of a grant that another process renews."""

    world: World
    grant: Grant
    held: str = ""
    renewals: int = 0

    def current(self) -> str:
        self.held = self.held or self.world.issue_access(self.grant)[0]
        return self.held

    def renewed(self, rejected: str) -> str:
        assert rejected == self.held
        self.held, self.renewals = "", self.renewals + 1
        return self.current()


def test_a_token_is_in_the_header_with_a_proof_and_never_in_the_url(desk: Desk) -> None:
    desk.client.list_accounts(desk.tokens)
    desk.listed()
    desk.rows()
    token = desk.tokens.current()
    proof = hmac.new(CLIENT_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
    urls = [text for _, _, text in desk.world.faults.log]
    assert len(urls) >= 3
    assert all(f"appsecret_proof={proof}" in url and token not in url for url in urls)


def test_a_proof_of_another_app_is_our_mistake(desk: Desk) -> None:
    client = desk.new_client(secret="wrong-secret")
    with refused(Misconfigured, "appsecret_proof"):
        client.list_campaigns(desk.tokens, desk.account)
    client.close()


def test_a_token_that_another_process_renewed_is_used(desk: Desk) -> None:
    tokens = ElsewhereRenewed(desk.world, desk.grant)
    tokens.current()
    desk.world.expire_access(desk.grant.id)
    assert desk.client.list_campaigns(tokens, desk.account).complete
    assert tokens.renewals == 1


@pytest.mark.parametrize("token", ["expired", "nonsense"])
def test_a_dead_token_cannot_be_exchanged(desk: Desk, token: str) -> None:
    tokens = held("nonsense") if token == "nonsense" else desk.tokens.tokens
    desk.world.expire_access(desk.grant.id)
    with refused(ReconnectRequired):
        desk.client.renew(tokens)


def test_a_token_without_an_end_is_exchanged_for_another(desk: Desk) -> None:
    desk.grant.expires = False
    assert desk.client.renew(desk.new_tokens()).expires_in is None


def test_a_campaign_with_issues_is_what_its_owner_set(desk: Desk) -> None:
    made = desk.world.add_campaign(META, desk.site.id, state=CampaignStatus.OTHER)
    campaign = desk.listed()[made.id]
    assert (campaign.status, campaign.native_status) == (CampaignStatus.ACTIVE, "WITH_ISSUES")


@pytest.mark.parametrize("currency", ["USD", "KRW", "JPY", "TWD", "HUF"])
def test_lifetime_budgets_are_in_major_units_too(desk: Desk, currency: str) -> None:
    desk.site.currency = currency
    first = next(iter(desk.site.campaigns))
    desk.change(first, budget_kind=BudgetKind.LIFETIME, budget=Decimal(4500))
    assert desk.listed()[first].budget == Budget(kind=BudgetKind.LIFETIME, amount=Decimal(4500), currency=currency)


def test_changes_since_a_cursor_reach_back_ten_minutes(desk: Desk) -> None:
    first, second, third, *_ = desk.site.campaigns
    desk.change(first, name="before the overlap")
    desk.world.clock.advance(timedelta(minutes=11))
    desk.change(second, state=CampaignStatus.REMOVED)
    desk.world.clock.advance(timedelta(minutes=9))
    cursor = desk.world.clock.now()
    desk.change(third, name="at the cursor")
    listing = desk.client.list_campaigns(desk.tokens, desk.account, cursor)
    assert {c.external_id for c in listing.campaigns} == {second, third}


def test_too_much_data_is_asked_for_in_smaller_pages(desk: Desk) -> None:
    window = DateWindow(since=date(2026, 9, 22), until=date(2026, 11, 20))  # 60 days: the sandbox allows 250 rows
    rows = desk.rows(window)
    assert len(rows) > 500
    assert desk.calls("metrics") == 1 + -(-len(rows) // 250)


def test_too_much_data_in_the_smallest_page_is_an_error(desk: Desk) -> None:
    with refused(TooMuchData, "so much data"):
        desk.rows(DateWindow(since=date(2024, 1, 1), until=date(2026, 11, 20)))
    assert desk.calls("metrics") == 6  # 500, 250, 125, 62, 31, 25


def test_insights_older_than_meta_keeps_are_an_invalid_request(desk: Desk) -> None:
    with refused(InvalidRequest, "37 months"):
        desk.rows(DateWindow(since=date(2020, 1, 1), until=date(2020, 1, 2)))


def test_a_throttled_account_stops_no_other(desk: Desk) -> None:
    desk.world.faults.add(Fault(FaultKind.THROTTLE, META, match=desk.site.id, seconds=90))
    with refused(Throttled) as caught:
        desk.listed()
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ACCOUNT, 120)
    assert desk.breaker.seconds_left(META) == 0
    other = ours(desk.world.accounts_of(desk.grant)[1])
    assert desk.client.list_campaigns(desk.tokens, other).complete


@pytest.mark.parametrize(("calls", "pause"), [(2, 600), (7, 120), (20, 0)])
def test_a_busy_app_pauses_once_the_account_is_read(desk: Desk, calls: int, pause: int) -> None:
    desk.world.faults.quotas[META] = Quota(calls, 60)
    for _ in range(min(calls - 1, 5)):
        assert desk.listed()
        assert desk.breaker.seconds_left(META) == 0
    assert desk.rows()
    assert desk.breaker.seconds_left(META) == pause
