"""The decisions of check-budgets, as pure functions."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sivera.budgets.pacing import Period, Span
from sivera.budgets.projection import Projection
from sivera.platforms.base import REPORTS_LAG
from sivera.values import PlatformName, Value


class Reading(Value):
    """How much of a budget is spent in a period.

    `subject` identifies budget and period in alerts. `name` is the budget's name for people, and `budget` its kind.
    `limit` and `spent` are in major units of `currency`. `pace` is what even spending of a daily budget would reach by
    the end of today; None if spending need not be even. `is_complete` means that the figures of all accounts are fresh,
    and `at_least` that more may have been spent than is known. `note` has further remarks. `as_of` is when the
    oldest fresh figures were read.
    """

    subject: str
    team_id: int
    account_id: int | None = None
    platform: PlatformName | None = None
    team: str
    account: str
    name: str
    budget: str
    period: Period
    currency: str
    limit: Decimal
    spent: Decimal
    pace: Decimal | None = None
    is_complete: bool = True
    at_least: bool = False
    note: str = ""
    as_of: datetime | None = None
    projection: Projection | None = None

    @property
    def percent(self) -> int:
        """The spent share of the limit, rounded down so that it never shows a threshold too early."""
        return int(self.spent * 100 / self.limit)


def is_stale(synced_as_of: datetime, reports_as_of: datetime | None, now: datetime, stale_hours: int) -> bool:
    """Say whether an account's figures are too old to judge by.

    Figures from reports may be older by the time that a report may take, otherwise slow reports would warn every day.
    An account whose reports do not arrive is stale even if it is synced.
    """
    oldest = now - timedelta(hours=stale_hours)
    return synced_as_of < oldest or (reports_as_of is not None and reports_as_of + REPORTS_LAG < oldest)


def reached(reading: Reading, thresholds: Iterable[int]) -> list[int]:
    """Return the thresholds, in percent, that spending has reached and that need an alert.

    For a daily budget, thresholds below 100 count only if spending is ahead of an even pace, because half of a month's
    budget should be spent by the middle of the month. For a single day, only 100 and above count.
    """
    early = reading.pace is None or (reading.period.span is not Span.DAY and reading.spent > reading.pace)
    return [percent for percent in thresholds if _has_reached(reading, percent) and (percent >= 100 or early)]


def alert_level(reading: Reading, before: int | None, thresholds: Sequence[int], hysteresis: int) -> int | None:
    """Return the level of the alert on a budget and period, which is a threshold; None means no alert.

    The level falls from `before` only when spending is `hysteresis` points below a threshold, and never because of
    incomplete figures.
    """
    kept = [percent for percent in (*thresholds, before) if before and percent and percent <= before]
    if reading.is_complete:
        kept = [percent for percent in kept if _has_reached(reading, percent - hysteresis)]
    return max((*kept, *reached(reading, thresholds)), default=None)


def _has_reached(reading: Reading, percent: int) -> bool:
    return reading.spent * 100 >= reading.limit * percent
