"""What only the Amazon client does: three regions, three products, and reports that are collected later."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.world import Figures
from sivera.errors import InvalidReply, PlatformError, Throttled, ThrottleScope, TokenRejected, Unavailable
from sivera.platforms.amazon_json import PRODUCTS, ProductNotEnabled
from sivera.values import DateWindow, ReportRequest
from tests.conftest import NOW
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import AMAZON, WINDOW, Desk, refused, static

SP, SB, SD = PRODUCTS
DAY = date(2026, 11, 18)


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    """A grant with one account of twelve campaigns, four for each product."""
    return new_desk(AMAZON)


def fault(desk: Desk, kind: FaultKind, operation: str, **options: Any) -> None:
    desk.world.faults.add(Fault(kind, AMAZON, operation, **options))


def requests(desk: Desk, window: DateWindow = WINDOW) -> tuple[ReportRequest, ...]:
    return desk.read(window=window).outstanding


# -- regions and products ---------------------------------------------------------------------------------------------


@pytest.fixture
def spread(new_desk: NewDesk) -> Desk:
    """A grant with accounts in all three regions."""
    desk = new_desk(AMAZON, accounts=20, campaigns=0)
    assert {account.region for account in desk.world.accounts_of(desk.grant)} == {"na", "eu", "fe"}
    return desk


@pytest.mark.parametrize("status", [401, 403])
def test_a_region_that_refuses_the_grant_is_left_out(spread: Desk, status: int) -> None:
    fault(spread, FaultKind.STATUS, "accounts", match="/eu/", status=status)
    assert {account.region for account in spread.client.list_accounts(spread.tokens)} == {"na", "fe"}


def test_a_region_that_is_down_fails_the_listing(spread: Desk) -> None:
    fault(spread, FaultKind.STATUS, "accounts", match="/eu/", status=503)
    with refused(Unavailable):
        spread.client.list_accounts(spread.tokens)


def test_a_token_that_no_region_accepts_is_rejected(spread: Desk) -> None:
    with refused(TokenRejected):
        spread.client.list_accounts(static(AMAZON, "Atza|pasted"))


def test_products_that_are_not_enabled_are_left_out(desk: Desk) -> None:
    desk.site.products = (SP.name,)
    listing = desk.client.list_campaigns(desk.tokens, desk.account)
    assert {c.ad_product for c in listing.campaigns} == {SP.name}
    assert not listing.complete  # the other two may have been enabled yesterday
    reading = desk.read()
    assert [request.ad_product for request in reading.outstanding] == [SP.name]
    desk.site.products = ()
    with refused(ProductNotEnabled):
        desk.client.list_campaigns(desk.tokens, desk.account)
    with refused(ProductNotEnabled):
        desk.read()
    assert [batch.ad_product for batch in desk.read(reading.outstanding).batches] == [SP.name]


# -- reports ----------------------------------------------------------------------------------------------------------


def test_reports_are_requested_and_collected_later(desk: Desk) -> None:
    desk.world.report_seconds = 600
    first = desk.read()
    assert first.batches == ()
    assert [(r.ad_product, r.window, r.requested_at) for r in first.outstanding] == [
        (product.name, WINDOW, NOW) for product in PRODUCTS
    ]
    assert desk.read(first.outstanding) == first  # still being prepared, and not requested twice
    desk.world.clock.advance(timedelta(seconds=600))
    done = desk.read(first.outstanding)
    assert [(b.ad_product, b.window) for b in done.batches] == [(product.name, WINDOW) for product in PRODUCTS]
    assert done.outstanding == ()
    assert desk.calls("report-create") == 3


def test_a_restated_day_comes_with_the_next_report(desk: Desk) -> None:
    first = next(iter(desk.site.campaigns))
    desk.rows()
    restated = Figures(5, 1, Decimal("2.5"), Decimal(1), Decimal(40))
    desk.world.restate(first, DAY, restated)
    assert desk.rows()[first, DAY].spend == restated.spend


def test_a_collected_report_that_lacks_a_day_is_followed_by_another(desk: Desk) -> None:
    yesterday = DateWindow(since=date(2026, 10, 31), until=date(2026, 11, 19))
    reading = desk.read(requests(desk, yesterday))
    assert [b.window for b in reading.batches] == [yesterday] * 3
    assert [r.window for r in reading.outstanding] == [WINDOW] * 3


def test_a_wider_report_is_requested_beside_one_under_way(desk: Desk) -> None:
    desk.world.report_seconds = 600
    narrow = requests(desk, DateWindow(since=DAY, until=WINDOW.until))
    both = desk.read(narrow)
    assert [r.window for r in both.outstanding if r not in narrow] == [WINDOW] * 3
    desk.world.clock.advance(timedelta(seconds=600))
    polls = desk.calls("report-status")
    # Both are ready now. The newer one has the days of the older one, which is no longer needed.
    newer = tuple(r.model_copy(update={"requested_at": NOW + timedelta(1)}) for r in both.outstanding[3:])
    reading = desk.read((*narrow, *newer))
    assert [b.window for b in reading.batches] == [WINDOW] * 3
    assert (reading.outstanding, desk.calls("report-status") - polls) == ((), 3)


def test_older_figures_come_before_newer_ones(desk: Desk) -> None:
    older = requests(desk, DateWindow(since=date(2026, 10, 31), until=date(2026, 11, 19)))
    newer = [r.model_copy(update={"requested_at": NOW + timedelta(hours=1)}) for r in requests(desk)]
    batches = [b for b in desk.read([*newer, *older]).batches if b.ad_product == SP.name]
    assert [b.window.until.day for b in batches] == [19, 20]


def test_a_request_whose_id_was_lost_is_found_again(desk: Desk) -> None:
    desk.world.report_seconds = 600
    lost = desk.read()
    assert desk.read() == lost
    assert desk.calls("report-create") == 6


def test_a_report_that_failed_is_requested_again(desk: Desk) -> None:
    before = requests(desk)
    next(iter(desk.world.reports.values()))["failure"] = "Internal error"
    reading = desk.read(before)
    assert [b.ad_product for b in reading.batches] == [SB.name, SD.name]
    [again] = reading.outstanding
    assert (again.ad_product, again.window, again.report_id != before[0].report_id) == (SP.name, WINDOW, True)


@pytest.mark.parametrize(("report_id", "product"), [("gone?", SB.name), ("1", "SPONSORED_TELEVISION")])
def test_an_unknown_report_is_forgotten(desk: Desk, report_id: str, product: str) -> None:
    gone = ReportRequest(report_id=report_id, ad_product=product, window=WINDOW, requested_at=NOW)
    assert gone not in desk.read([gone]).outstanding
    assert desk.calls("report-create") == 3


def test_a_report_is_given_up_after_four_hours(desk: Desk) -> None:
    desk.world.report_seconds = timedelta(hours=9).total_seconds()
    before = requests(desk)
    desk.world.clock.advance(timedelta(hours=4))
    assert desk.read(before).outstanding == before
    desk.world.clock.advance(timedelta(seconds=1))
    assert {r.requested_at for r in desk.read(before).outstanding} == {NOW + timedelta(hours=4, seconds=1)}


def test_a_report_that_is_done_is_collected_however_late(desk: Desk) -> None:
    before = requests(desk)
    desk.world.clock.advance(timedelta(days=3))
    desk.tokens.renewed(desk.tokens.current())
    assert len(desk.read(before).batches) == 3


def test_long_windows_are_cut_to_what_a_report_holds_and_amazon_keeps(desk: Desk) -> None:
    today = date(2026, 11, 20)
    asked = requests(desk, DateWindow(since=today - timedelta(days=120), until=today))
    for product in PRODUCTS:
        windows = [r.window for r in asked if r.ad_product == product.name]
        assert all((w.until - w.since).days < 31 for w in windows)
        assert windows[0].since == today - timedelta(days=product.days_kept - 1)
        assert all(later.since - earlier.until == timedelta(days=1) for earlier, later in pairwise(windows))
        assert windows[-1].until == today
    batches = desk.read(asked, DateWindow(since=today, until=today)).batches
    assert len(batches) == len(asked) == 9


# -- what goes wrong on the way ---------------------------------------------------------------------------------------


def test_a_throttle_keeps_what_was_read_before(desk: Desk) -> None:
    fault(desk, FaultKind.THROTTLE, "report-create", match=SB.report_type, seconds=300)
    assert [r.ad_product for r in desk.read().outstanding] == [SP.name]
    assert desk.breaker.seconds_left(AMAZON) == 300
    assert desk.calls("report-create") == 2


def test_a_throttle_before_anything_was_read_is_raised(desk: Desk) -> None:
    before = requests(desk)
    fault(desk, FaultKind.THROTTLE, "report-status", seconds=300)
    with refused(Throttled) as caught:
        desk.read(before)
    assert (caught.value.retry_after, caught.value.scope) == (300, ThrottleScope.PLATFORM)


def test_a_401_while_polling_is_repeated_once(desk: Desk) -> None:
    before = requests(desk)
    fault(desk, FaultKind.STATUS, "report-status", times=1, status=401)
    assert len(desk.read(before).batches) == 3
    assert desk.tokens.renewals == 1


@pytest.mark.parametrize("operation", ["report-status", "report-download"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.STATUS, Unavailable),
        (FaultKind.HTML, Unavailable),
        (FaultKind.TRUNCATED, InvalidReply),
        (FaultKind.MALFORMED, InvalidReply),
        (FaultKind.DISCONNECT, Unavailable),
    ],
)
def test_a_report_that_cannot_be_collected_now_is_collected_later(
    desk: Desk, kind: FaultKind, error: type[PlatformError], operation: str
) -> None:
    before = requests(desk)
    fault(desk, kind, operation)
    with refused(error):
        desk.read(before)
    desk.world.faults.clear()
    assert len(desk.read(before).batches) == 3
