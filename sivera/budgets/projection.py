"""Where spending leads by the end of a period: from the last days, with the interval that their spread gives.

A coming day is expected to spend what the last seven days did on average, times the factor of its weekday where four
whole weeks are known. The interval holds four of five outcomes, if days differ independently of each other: its half
width is z * s * sqrt(h + H**2 / 7), with s the spread of the days around their weekday's mean, h the days to come, and
H the sum of their factors, by which an error in the average counts. What the platform never does is cut off.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

from sivera.budgets.pacing import Period
from sivera.values import Value

HISTORY_DAYS = 28
"""Four of each weekday."""

LEVEL_DAYS = 7
"""Each weekday once, so that no weekday pulls the average. With fewer days nothing is projected."""

Z = Decimal("1.2816")
"""Four fifths of a normal distribution lie so many standard deviations around its middle."""

ONE, ZERO = Decimal(1), Decimal(0)


class Projection(Value):
    """What will be spent by the end of a period: the expected amount, and between which two in four of five cases."""

    expected: Decimal
    low: Decimal
    high: Decimal


class Bounds(Value):
    """What a platform keeps to: at most so much on a day, and over the period. None: it does not."""

    day: Decimal | None = None
    period: Decimal | None = None


def project(
    spent: Decimal, days: Mapping[date, Decimal], partial: date, period: Period, bounds: Bounds
) -> Projection | None:
    """Project what is spent by the end of a period; None where it has no end, or fewer than seven days are known.

    Args:
        spent: What was spent in the period so far.
        days: What was spent on each of the last 28 days and since; a day that is not there is zero.
        partial: The day that is not over in the figures; those before it are complete.
        period: Its end, and where `partial` lies before it, its beginning.
        bounds: What the platform keeps to.
    """
    known = _complete(days, partial)
    if period.until is None or len(known) < LEVEL_DAYS:
        return None
    factors = _weekday_factors(known)
    variance = _variance(known, factors)
    level = sum(list(known.values())[-LEVEL_DAYS:], ZERO) / LEVEL_DAYS
    coming = _days(max(partial, period.since or partial), period.until)
    expected = widest = spent
    for day in coming:
        begun = days.get(day, ZERO) if day == partial else ZERO
        usual = level * factors[day.weekday()]
        expected += max(ZERO, (usual if bounds.day is None else min(usual, bounds.day)) - begun)
        widest += ZERO if bounds.day is None else max(ZERO, bounds.day - begun)
    weight = sum((factors[day.weekday()] for day in coming), ZERO)
    half = Z * (variance * (len(coming) + weight**2 / LEVEL_DAYS)).sqrt()
    high = expected + half if bounds.day is None else min(expected + half, widest)
    most = None if bounds.period is None else max(spent, bounds.period)
    expected, low, high = (
        amount if most is None else min(amount, most) for amount in (expected, max(spent, expected - half), high)
    )
    return Projection(expected=expected, low=low, high=max(expected, high))


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _complete(days: Mapping[date, Decimal], partial: date) -> dict[date, Decimal]:
    """Return the complete days, in order, from the first of the last 28 on which something was spent."""
    oldest = partial - timedelta(days=HISTORY_DAYS)
    first = min((day for day, amount in days.items() if oldest <= day < partial and amount), default=partial)
    return {day: days.get(day, ZERO) for day in _days(first, partial - timedelta(days=1))}


def _weekday_factors(known: Mapping[date, Decimal]) -> list[Decimal]:
    """Return for each weekday by how much it differs from all, Monday first; ones where too few days are known."""
    total = sum(known.values(), ZERO)
    if len(known) < HISTORY_DAYS or total <= 0:
        return [ONE] * 7
    of_weekday = [ZERO] * 7
    for day, spend in known.items():
        of_weekday[day.weekday()] += spend
    return [7 * spend / total for spend in of_weekday]


def _variance(known: Mapping[date, Decimal], factors: list[Decimal]) -> Decimal:
    mean = sum(known.values(), ZERO) / len(known)
    freedom = len(known) - (7 if len(known) >= HISTORY_DAYS else 1)
    usual = [mean * factor for factor in factors]
    return sum(((spend - usual[day.weekday()]) ** 2 for day, spend in known.items()), ZERO) / freedom
