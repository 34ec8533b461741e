"""The pure rules of check-budgets: periods, limits, thresholds, projections and amounts."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

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
NOVEMBER = Period(Span.MONTH, date(2026, 11, 1), date(2026, 11, 30))
THRESHOLDS = (50, 80, 100, 110)
TODAY, END = date(2026, 11, 20), date(2026, 11, 30)
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
def test_a_period_is_the_one_that_the_day_lies_in(span: Span, day: date, since: date, until: date) -> None:
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
def test_what_a_platform_may_spend_of_a_daily_budget(
    platform: PlatformName, first: date | None, last: date | None, days: str
) -> None:
    pacing = PACING[platform]
    assert period_limit(pacing, Decimal(10), date(2026, 11, 20), first, last) == 10 * Decimal(days)


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        (499, []),
        (500, [50]),
        (Decimal("799.999999"), [50]),
        (9000, [50, 80, 100, 110]),
    ],
)
def test_a_threshold_is_reached_exactly_at_its_share(spent: int | Decimal, expected: list[int]) -> None:
    assert reached(reading(spent), THRESHOLDS) == expected
    assert reading(spent).percent >= max(expected, default=0)
    assert not any(reading(spent).percent >= percent for percent in set(THRESHOLDS) - set(expected))


@pytest.mark.parametrize(
    ("spent", "pace", "expected"),
    [(600, 650, []), (600, 600, []), (601, 600, [50]), (1000, 1000, [100]), (1000, 999, [50, 80, 100])],
)
def test_half_of_a_daily_budget_s_month_is_news_only_ahead_of_the_pace(
    spent: int, pace: int, expected: list[int]
) -> None:
    assert reached(reading(spent, pace=pace), THRESHOLDS) == expected
    of_a_day = reading(spent, pace=pace, period=Period(Span.DAY, TODAY, TODAY))
    assert reached(of_a_day, THRESHOLDS) == [percent for percent in THRESHOLDS if 100 <= percent <= spent // 10]


@pytest.mark.parametrize(
    ("spent", "before", "level"),
    [
        (499, None, None),
        (850, None, 80),
        (850, 80, 80),
        (1000, 80, 100),
        # It falls once spending is five points below.
        (950, 100, 100),
        (949, 100, 80),
        (750, 80, 80),
        (749, 80, 50),
        (449, 50, None),
        # A threshold that is no longer an option is kept as long.
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


def history(spends: list[Decimal], partial: date) -> dict[date, Decimal]:
    """The days before `partial`, the newest last."""
    return {partial - (len(spends) - n) * DAY: spend for n, spend in enumerate(spends)}


def test_an_even_spending_goes_on_without_doubt() -> None:
    found = project(Decimal(1930), history([Decimal(100)] * 28, TODAY) | {TODAY: Decimal(30)}, TODAY, END)
    assert found
    assert {found.expected, found.low, found.high} == {Decimal(3000)}


def test_a_period_may_end_in_thousands_of_years() -> None:
    found = project(Decimal(0), history([Decimal(100)] * 28, TODAY), TODAY, date.max)
    assert found
    assert found.expected == 100 * len(days_between(TODAY, date.max))


def test_each_weekday_is_expected_as_it_was() -> None:
    # Twice as much on Saturdays and Sundays.
    known = {TODAY - n * DAY: Decimal(200 if (TODAY - n * DAY).weekday() >= 5 else 100) for n in range(1, 29)}
    found = project(Decimal(0), known, TODAY, END)
    assert found
    # Friday 20 to Monday 30: seven working days and two weekends.
    assert round(found.expected, 6) == 7 * 100 + 4 * 200
    assert round(found.high - found.low, 6) == 0


def test_less_than_a_week_is_too_little_to_project_from_and_a_budget_without_end_has_none() -> None:
    known = history([Decimal(100)] * 6, TODAY)
    assert project(Decimal(600), known, TODAY, END) is None
    known = history([Decimal(100)] * 7, TODAY)
    assert project(Decimal(700), known, TODAY, END) is not None
    assert project(Decimal(700), known, TODAY, None) is None


def test_what_the_platform_never_does_is_cut_off() -> None:
    known = history([Decimal(n % 2 * 300) for n in range(28)], TODAY)
    free = project(Decimal(2000), known, TODAY, END)
    bound = project(Decimal(2000), known, TODAY, END, most_a_day=Decimal(100), most=Decimal(3040))
    assert free
    assert bound
    assert free.expected > 3500
    assert bound.expected == bound.high == 3040
    stopped = project(Decimal(2000), known, TODAY, END, most_a_day=Decimal(0))
    assert stopped
    assert stopped.expected == stopped.low == stopped.high == 2000


def test_an_old_partial_day_leaves_the_whole_new_period_to_come() -> None:
    found = project(
        Decimal(0), history([Decimal(10)] * 28, date(2026, 10, 31)), date(2026, 10, 31), END, since=date(2026, 11, 1)
    )
    assert found
    assert found.expected == 300


@given(
    spends=st.lists(amounts, min_size=0, max_size=40),
    today=amounts,
    spent=amounts,
    day=st.none() | amounts,
    most=st.none() | amounts,
)
def test_the_expected_amount_lies_in_its_interval_and_nothing_is_unspent(
    spends: list[Decimal], today: Decimal, spent: Decimal, day: Decimal | None, most: Decimal | None
) -> None:
    found = project(spent, history(spends, TODAY) | {TODAY: today}, TODAY, END, most_a_day=day, most=most)
    if found:
        assert spent <= found.low <= found.expected <= found.high
        assert most is None or found.high <= max(spent, most)


def test_four_of_five_outcomes_lie_in_the_interval() -> None:
    dice, inside = random.Random(3), 0
    for _ in range(600):
        month = [Decimal(str(round(max(0.0, dice.gauss(100, 20)), 2))) for _ in range(28 + 11)]
        found = project(Decimal(0), history(month[:28], TODAY), TODAY, END)
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
def test_money_has_the_decimals_of_its_currency_as_in_a_report(amount: str, currency: str, text: str) -> None:
    assert format_money(Decimal(amount), currency) == text
    digits = Writer(Language.EN).money(Decimal("1234.56789"), currency).partition(".")[2]
    assert decimals_of(currency) == len(digits)


def test_thresholds_are_sorted_and_an_option_that_does_not_fit_is_refused() -> None:
    assert BudgetOptions(thresholds=(110, 50, 110)).thresholds == (50, 110)
    wrong = {"thresholds": [0], "deadline_seconds": 300, "platforms": ["bing"], "unknown": 1}
    with pytest.raises(ValidationError) as refused:
        BudgetOptions.model_validate(wrong)
    assert {error["loc"][0] for error in refused.value.errors()} == wrong.keys()
