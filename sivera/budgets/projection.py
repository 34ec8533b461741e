"""A projection of spending to the end of a period, from the last days, with an interval from their spread.

A coming day is expected to spend the average of the last seven days, times the factor of its weekday if four whole
weeks are known. If days vary independently, the interval holds four of five outcomes: its half width is
z * s * sqrt(h + H**2 / 7), with s the spread of the days around their weekday's mean, h the number of coming days, and
H the sum of their factors, which scales an error in the average. Projections stay within what the platform keeps to.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

from sivera.values import Value, days_between

HISTORY_DAYS = 28
"""Four of each weekday."""

LEVEL_DAYS = 7
"""Each weekday once, so that none pulls the average. With fewer days there is no projection."""

Z = Decimal("1.2816")
"""Four fifths of a normal distribution lie within this many standard deviations of its mean."""

ONE, ZERO = Decimal(1), Decimal(0)


class Projection(Value):
    """What is expected to be spent by the end of a period, and the bounds of four of five cases."""

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
    """Project what is spent by the end of a period; None if it has no end, or fewer than seven days are known.

    `days` has what was spent on each of the last 28 days and since; a missing day is zero. `partial` is the first day
    with incomplete figures, `known_from` the first of which all figures were read. `most_a_day` and `most` are what the
    platform spends at most on a day and in the period.
    """
    known = _complete(days, partial, known_from)
    if until is None or len(known) < LEVEL_DAYS:
        return None
    begins = max(partial, since or partial)
    coming = _by_weekday(begins, until)
    whole, begun = coming.copy(), list[Decimal]()
    if begins == partial <= until:  # what the partial day has spent already is part of `spent`
        whole[partial.weekday()] -= 1
        begun = [days.get(partial, ZERO)]

    def to_come(amounts: list[Decimal]) -> Decimal:
        """Add up what is still spent if each weekday has these amounts."""
        rest = (max(ZERO, amounts[partial.weekday()] - so_far) for so_far in begun)
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
    """Return how often each weekday comes from `first` to `last`, Monday first. A campaign may end in the year 9999."""
    weeks, rest = divmod(max(0, (last - first).days + 1), 7)
    return [weeks + ((weekday - first.weekday()) % 7 < rest) for weekday in range(7)]


def _complete(days: Mapping[date, Decimal], partial: date, known_from: date) -> dict[date, Decimal]:
    """Return the complete days in order, from the first of the last 28 with any spending."""
    oldest = max(partial - timedelta(days=HISTORY_DAYS), known_from)
    first = min((day for day, amount in days.items() if oldest <= day < partial and amount), default=partial)
    return {day: days.get(day, ZERO) for day in days_between(first, partial - timedelta(days=1))}


def _weekday_factors(known: Mapping[date, Decimal]) -> list[Decimal]:
    """Return each weekday's share of the average, Monday first; ones if too few days are known."""
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
