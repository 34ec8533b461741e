"""The pure rules of check-budgets: periods, limits, thresholds, projections and amounts."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import PACING, Period, Span, days_of, period_limit
from sivera.budgets.projection import project
from sivera.budgets.rules import Reading, alert_level, is_stale, reached
from sivera.budgets.wording import decimals_of, format_money
from sivera.reports.texts import Language, Writer
from sivera.values import PlatformName, days_between

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST, TODAY, END = date(2026, 11, 1), date(2026, 11, 20), date(2026, 11, 30)
NOVEMBER = Period(Span.MONTH, FIRST, END)
THRESHOLDS = (50, 80, 100, 110)
amounts = st.decimals(min_value=0, max_value=10**6, places=2, allow_nan=False)


def reading(spent: int | Decimal, limit: int = 1000, *, pace: int | None = None, period: Period = NOVEMBER) -> Reading:
    return Reading(
        subject="account-1.campaign-2.month",
        team_id=1,
        account_id=1,
        platform=PlatformName.GOOGLE,
        team="Hanok",
        account="Seoul",
        name="Brand",
        budget="daily",
        period=period,
        currency="USD",
        limit=Decimal(limit),
        spent=Decimal(spent),
        pace=None if pace is None else Decimal(pace),
    )


@pytest.mark.parametrize(
    ("span", "day", "since", "until"),
    [
        (Span.DAY, date(2026, 11, 20), date(2026, 11, 20), date(2026, 11, 20)),
        (Span.WEEK, date(2026, 11, 21), date(2026, 11, 15), date(2026, 11, 21)),
        (Span.WEEK, date(2026, 11, 22), date(2026, 11, 22), date(2026, 11, 28)),
        (Span.MONTH, date(2028, 2, 29), date(2028, 2, 1), date(2028, 2, 29)),
        (Span.MONTH, date(2026, 12, 31), date(2026, 12, 1), date(2026, 12, 31)),
    ],
)
def test_the_period_that_contains_a_day(span: Span, day: date, since: date, until: date) -> None:
    assert days_of(span, day) == (since, until)


@pytest.mark.parametrize(
    ("platform", "first", "last", "days"),
    [
        (PlatformName.GOOGLE, None, None, "30.4"),
        (PlatformName.GOOGLE, date(2026, 1, 1), date(2027, 1, 1), "30.4"),
        (PlatformName.GOOGLE, date(2026, 11, 21), None, "10"),
        (PlatformName.GOOGLE, None, date(2026, 11, 29), "29"),
        (PlatformName.GOOGLE, date(2026, 12, 1), None, "0"),
        (PlatformName.AMAZON, None, None, "30"),
        (PlatformName.META, None, None, "7"),
        (PlatformName.META, date(2026, 11, 20), None, "2"),
        (PlatformName.TIKTOK, None, date(2026, 11, 16), "2"),
    ],
)
def test_how_much_of_a_daily_budget_a_platform_may_spend(
    platform: PlatformName, first: date | None, last: date | None, days: str
) -> None:
    pacing = PACING[platform]
    assert period_limit(pacing, Decimal(10), date(2026, 11, 20), first, last) == 10 * Decimal(days)


@pytest.mark.parametrize(
    ("spent", "pace", "percent", "expected"),
    [
        (499, None, 49, []),
        (500, None, 50, [50]),
        (Decimal("799.999999"), None, 79, [50]),
        (9000, None, 900, [50, 80, 100, 110]),
        # Half of a month's budget is news only ahead of an even pace.
        (600, 650, 60, []),
        (600, 600, 60, []),
        (601, 600, 60, [50]),
        (1000, 1000, 100, [100]),
        (1000, 999, 100, [50, 80, 100]),
    ],
)
def test_a_threshold_is_reached_exactly_at_its_share(
    spent: int | Decimal, pace: int | None, percent: int, expected: list[int]
) -> None:
    one = reading(spent, pace=pace)
    assert (one.percent, reached(one, THRESHOLDS)) == (percent, expected)
    of_a_day = reading(spent, pace=pace or 0, period=Period(Span.DAY, TODAY, TODAY))
    assert reached(of_a_day, THRESHOLDS) == [each for each in THRESHOLDS if 100 <= each <= percent]


@pytest.mark.parametrize(
    ("spent", "before", "level"),
    [
        (499, None, None),
        (850, None, 80),
        (850, 80, 80),
        (1000, 80, 100),
        # It falls only when spending is five points below.
        (950, 100, 100),
        (949, 100, 80),
        (750, 80, 80),
        (749, 80, 50),
        (449, 50, None),
        # The same holds for a threshold that is no longer an option.
        (860, 90, 90),
        (840, 90, 80),
    ],
)
def test_an_alert_rises_at_a_threshold_and_falls_below_it_less_the_hysteresis(
    spent: int, before: int | None, level: int | None
) -> None:
    assert alert_level(reading(spent), before, THRESHOLDS, 5) == level
    incomplete = reading(spent).model_copy(update={"is_complete": False})
    kept = max(level or 0, before or 0) or None
    assert alert_level(incomplete, before, THRESHOLDS, 5) == kept, "incomplete figures never lower it"


@pytest.mark.parametrize(
    ("synced", "reports", "expected"),
    [
        (NOW - timedelta(hours=6), None, False),
        (NOW - timedelta(hours=6, seconds=1), None, True),
        (NOW, NOW - timedelta(hours=24), False),
        (NOW, NOW - timedelta(hours=24, seconds=1), True),
        (NOW - timedelta(hours=7), NOW, True),
    ],
)
def test_figures_are_stale_after_the_limit(synced: datetime, reports: datetime | None, expected: bool) -> None:
    assert is_stale(synced, reports, NOW, 6) is expected


def history(spends: Sequence[int | Decimal], partial: date = TODAY, so_far: int | Decimal = 0) -> dict[date, Decimal]:
    """Spending on the days before `partial`, newest last, and on that day itself."""
    days = {partial - (len(spends) - n) * DAY: Decimal(spend) for n, spend in enumerate(spends)}
    return days | {partial: Decimal(so_far)}


EVEN = history([100] * 28)
WEEKENDS_DOUBLED = history([100, 200, 200, 100, 100, 100, 100] * 4)
OCTOBER = date(2026, 10, 31)


@pytest.mark.parametrize(
    ("days", "spent", "partial", "until", "more", "expected"),
    [
        (history([100] * 28, so_far=30), 1930, TODAY, END, {}, 3000),
        (EVEN, 0, TODAY, date.max, {}, 100 * len(days_between(TODAY, date.max))),
        # Friday 20 to Monday 30: seven working days and two weekends.
        (WEEKENDS_DOUBLED, 0, TODAY, END, {}, 7 * 100 + 4 * 200),
        # The whole new period is still to come after an old partial day.
        (history([10] * 28, OCTOBER), 0, OCTOBER, END, {"since": FIRST}, 300),
        # The platform's limits for a day and for the period hold, but cannot undo what is spent.
        (history([100] * 28, so_far=90), 90, TODAY, END, {"most_a_day": Decimal(60)}, 90 + 10 * 60),
        (EVEN, 0, TODAY, END, {"most": Decimal(500)}, 500),
        (EVEN, 600, TODAY, END, {"most": Decimal(500)}, 600),
        # Nothing more is spent.
        (history([0, 300] * 14), 2000, TODAY, END, {"most_a_day": Decimal(0)}, 2000),
        # Days that were not read are not zero.
        (history([70] + [0] * 11 + [70] * 8), 560, TODAY, END, {"known_from": TODAY - 8 * DAY}, 560 + 11 * 70),
        # Fewer than seven days are known, or the budget has no end.
        (history([100] * 6), 600, TODAY, END, {}, None),
        (history([100] * 7), 600, TODAY, END, {}, 1700),
        (EVEN, 700, TODAY, None, {}, None),
    ],
)
def test_spending_goes_on_as_before(
    days: dict[date, Decimal],
    spent: int,
    partial: date,
    until: date | None,
    more: dict[str, Any],
    expected: int | None,
) -> None:
    found = project(Decimal(spent), days, partial, until, **more)
    amounts = [found.low, found.expected, found.high] if found else [None]
    assert {amount and round(amount, 6) for amount in amounts} == {expected}


@given(
    spends=st.lists(amounts, min_size=0, max_size=40),
    today=amounts,
    spent=amounts,
    day=st.none() | amounts,
    most=st.none() | amounts,
)
def test_the_projection_lies_in_its_interval_and_never_below_what_is_spent(
    spends: list[Decimal], today: Decimal, spent: Decimal, day: Decimal | None, most: Decimal | None
) -> None:
    found = project(spent, history(spends, so_far=today), TODAY, END, most_a_day=day, most=most)
    if found:
        assert spent <= found.low <= found.expected <= found.high
        assert most is None or found.high <= max(spent, most)


def test_the_interval_contains_four_of_five_outcomes() -> None:
    dice, inside = random.Random(3), 0
    for _ in range(600):
        month = [Decimal(str(round(max(0.0, dice.gauss(100, 20)), 2))) for _ in range(28 + 11)]
        found = project(Decimal(0), history(month[:28]), TODAY, END)
        assert found
        inside += found.low <= sum(month[28:]) <= found.high
    assert 0.75 <= inside / 600 <= 0.88


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1234567.5", "USD", "1,234,567.50 USD"),
        ("1234567", "KRW", "1,234,567 KRW"),
        ("12.3456", "BHD", "12.346 BHD"),
    ],
)
def test_money_has_the_same_decimals_as_in_a_report(amount: str, currency: str, text: str) -> None:
    assert format_money(Decimal(amount), currency) == text
    digits = Writer(Language.EN).money(Decimal("1234.56789"), currency).partition(".")[2]
    assert decimals_of(currency) == len(digits)


def test_thresholds_are_sorted_and_invalid_options_are_refused() -> None:
    assert BudgetOptions(thresholds=(110, 50, 110)).thresholds == (50, 110)
    wrong = {"thresholds": [0], "deadline_seconds": 300, "platforms": ["bing"], "unknown": 1}
    with pytest.raises(ValidationError) as refused:
        BudgetOptions.model_validate(wrong)
    assert {error["loc"][0] for error in refused.value.errors()} == wrong.keys()
