"""How much of a daily budget each platform may spend, as data, and over which period.

On all four platforms a daily budget is an average: a single day may exceed it, but its period may not. So a daily
budget is judged on that period, and a single day only by the platform's limit for a day.
"""

from calendar import monthrange
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from sivera.values import PlatformName, Value


class Span(StrEnum):
    """How long a budget is valid, in days of the account's time zone."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    LIFETIME = "lifetime"


class Period(NamedTuple):
    """The days from `since` to `until`, both included; None if the start or end of a lifetime is unknown."""

    span: Span
    since: date | None
    until: date | None

    @property
    def key(self) -> str:
        """What sets it apart from other periods of the same budget."""
        return self.span.value if self.span is Span.LIFETIME else f"{self.span.value}.{self.since}"


class Pacing(Value):
    """How a platform spends a daily budget.

    It spends at most `days` times the amount over a whole `span` (None: as many times as it has days), and at most
    `day_factor` times the amount on one day (None: the platform states no number).
    """

    span: Span
    days: Decimal | None
    day_factor: Decimal | None


PACING: dict[PlatformName, Pacing] = {
    # "On any single day, you can spend up to 2 times your daily budget", and in a month no more than "roughly 30.4"
    # times (Google Ads Help, answers 6312 and 1704443).
    PlatformName.GOOGLE: Pacing(span=Span.MONTH, days=Decimal("30.4"), day_factor=Decimal(2)),
    # Up to 75 % over on a day; "for every week ending on Saturday at midnight, you won't spend more than seven times
    # your daily budget" (Meta Business Help Centre, About daily budgets; it was 25 % until 2024).
    PlatformName.META: Pacing(span=Span.WEEK, days=Decimal(7), day_factor=Decimal("1.75")),
    # "Averaged over the course of a month": 3,100 of a budget of 100 in a month of 31 days (Seller Central, Budgets).
    # The excess on a single day has changed several times, and differs by ad product.
    PlatformName.AMAZON: Pacing(span=Span.MONTH, days=None, day_factor=None),
    # 25 % over on a day, 7 times in a week from Sunday to Saturday (TikTok, About Dynamic Daily Budget). The plain
    # daily budget stays within both.
    PlatformName.TIKTOK: Pacing(span=Span.WEEK, days=Decimal(7), day_factor=Decimal("1.25")),
}


def days_of(span: Span, day: date) -> tuple[date, date]:
    """Return the first and last day of the day, week (Sunday to Saturday) or month that contains a day."""
    if span is Span.WEEK:
        since = day - timedelta(days=day.isoweekday() % 7)
        return since, since + timedelta(days=6)
    if span is Span.MONTH:
        return day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1])
    return day, day


def running_days(since: date, until: date, first: date | None, last: date | None) -> int:
    """Count the days from `since` to `until` that lie between a first and a last day; None means no such limit."""
    return max(0, (min(until, last or until) - max(since, first or since)).days + 1)


def period_limit(pacing: Pacing, amount: Decimal, day: date, first: date | None, last: date | None) -> Decimal:
    """Return how much of a daily amount a platform may spend in the period that contains a day.

    `first` and `last` are the first and last day of the campaigns that use the budget, if known.
    """
    since, until = days_of(pacing.span, day)
    length, running = (until - since).days + 1, running_days(since, until, first, last)
    whole = pacing.days or Decimal(length)
    return amount * (whole if running == length else min(whole, Decimal(running)))
