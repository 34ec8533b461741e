"""A projection of spending to the end of a period, with an interval from the spread of past days.

A coming day is expected to spend the average of the last seven days, times the factor of its weekday if four whole
weeks are known. If days vary independently, the interval contains four of five outcomes. Its half width is
z * s * sqrt(h + H**2 / 7), where s is the spread of the days around their weekday's mean, h the number of coming days,
and H the sum of their factors, which scales an error in the average. The platform's own limits cap a projection.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

from sivera.values import Value, days_between

HISTORY_DAYS = 28
"""Four of each weekday."""

LEVEL_DAYS = 7
"""Each weekday once, so none distorts the average. With fewer days there is no projection."""

Z = Decimal("1.2816")
"""Four fifths of a normal distribution lie within this many standard deviations of the mean."""

ONE, ZERO = Decimal(1), Decimal(0)


class Projection(Value):
    """The spending expected by the end of a period, with bounds that contain four of five outcomes."""

    expected: Decimal
    low: Decimal
    high: Decimal


def project(
    spent: Decimal,
    days: Mapping[date, Decimal],
    partial: date,
    until: date | None,
    *,
    since: date | None = None,
    known_from: date = date.min,
    most_a_day: Decimal | None = None,
    most: Decimal | None = None,
) -> Projection | None:
    """Project the spending by the end of a period; None if it has no end, or fewer than seven days are known.

    `days` has the spending of the 28 days before `partial` and of the days since; a missing day is zero. `partial` is
    the first day with incomplete figures, and `known_from` the first day with all figures read. The platform spends
    `most_a_day` at most on a day and `most` in the period.
    """
    known = _complete(days, partial, known_from)
    if until is None or len(known) < LEVEL_DAYS:
        return None
    start = max(partial, since or partial)
    coming = _by_weekday(start, until)
    whole, started = coming.copy(), list[Decimal]()
    if start == partial <= until:  # `spent` includes what the partial day has spent already
        whole[partial.weekday()] -= 1
        started = [days.get(partial, ZERO)]

    def to_come(amounts: list[Decimal]) -> Decimal:
        """Add up the spending still to come, given an amount for each weekday."""
        rest = (max(ZERO, amounts[partial.weekday()] - so_far) for so_far in started)
        return sum((n * max(ZERO, amount) for n, amount in zip(whole, amounts, strict=True)), sum(rest, ZERO))

    factors = _weekday_factors(known)
    level = sum(list(known.values())[-LEVEL_DAYS:], ZERO) / LEVEL_DAYS
    usual = [level * factor for factor in factors]
    expected = spent + to_come(usual if most_a_day is None else [min(amount, most_a_day) for amount in usual])
    weight = sum((n * factor for n, factor in zip(coming, factors, strict=True)), ZERO)
    half = Z * (_variance(known, factors) * (sum(coming) + weight**2 / LEVEL_DAYS)).sqrt()
    low, high = max(spent, expected - half), expected + half
    if most_a_day is not None:
        high = min(high, spent + to_come([most_a_day] * 7))
    if most is not None:
        expected, low, high = (min(amount, max(spent, most)) for amount in (expected, low, high))
    return Projection(expected=expected, low=low, high=max(expected, high))


def _by_weekday(first: date, last: date) -> list[int]:
    """Count each weekday from `first` to `last`, Monday first, without a loop: a campaign may end in the year 9999."""
    weeks, rest = divmod(max(0, (last - first).days + 1), 7)
    return [weeks + ((weekday - first.weekday()) % 7 < rest) for weekday in range(7)]


def _complete(days: Mapping[date, Decimal], partial: date, known_from: date) -> dict[date, Decimal]:
    """Return the complete days in order, starting with the first of the last 28 that has any spending."""
    oldest = max(partial - timedelta(days=HISTORY_DAYS), known_from)
    first = min((day for day, amount in days.items() if oldest <= day < partial and amount), default=partial)
    return {day: days.get(day, ZERO) for day in days_between(first, partial - timedelta(days=1))}


def _weekday_factors(known: Mapping[date, Decimal]) -> list[Decimal]:
    """Return each weekday's ratio to the average, Monday first; all ones if too few days are known."""
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
    return sum(((spend - mean * factors[day.weekday()]) ** 2 for day, spend in known.items()), ZERO) / freedom
