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

    `subject` names budget and period in alerts, `name` the budget for a person, `budget` its kind. `limit` and `spent`
    are in major units of `currency`. `pace` is what an even pace would have spent of a daily budget by the end of
    today; None if it need not be spent evenly. `is_complete` says that the figures of all its accounts are fresh,
    `at_least` that more may have been spent than is known, and `note` what else there is to know. `as_of` is when the
    oldest of the fresh figures were read.
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
        """How much of the limit is spent; rounded down, so that it never shows a threshold before it is reached."""
        return int(self.spent * 100 / self.limit)


def is_stale(synced_as_of: datetime, reports_as_of: datetime | None, now: datetime, stale_hours: int) -> bool:
    """Say whether an account's figures are too old to judge by.

    Figures from reports may be older by as long as a report may take: otherwise slow reports would be a warning each
    day. If no reports come at all, syncs say nothing about what was spent.
    """
    oldest = now - timedelta(hours=stale_hours)
    return synced_as_of < oldest or (reports_as_of is not None and reports_as_of + REPORTS_LAG < oldest)


def reached(reading: Reading, thresholds: Iterable[int]) -> list[int]:
    """Return the thresholds, in percent, that spending has reached and that are worth an alert.

    Of a daily budget, a threshold below 100 counts only if spending is ahead of an even pace: to spend half of a
    month's budget by the middle of the month is what the budget is for. Of a single day only 100 and more counts.
    """
    early = reading.pace is None or (reading.period.span is not Span.DAY and reading.spent > reading.pace)
    return [percent for percent in thresholds if _has_reached(reading, percent) and (percent >= 100 or early)]


def alert_level(reading: Reading, before: int | None, thresholds: Sequence[int], hysteresis: int) -> int | None:
    """Return the threshold at which the alert of a budget and period stands; None if there is to be no alert.

    From the level `before`, it falls only once spending is `hysteresis` points below a threshold, and never by figures
    that are incomplete.
    """
    kept = [percent for percent in (*thresholds, before) if before and percent and percent <= before]
    if reading.is_complete:
        kept = [percent for percent in kept if _has_reached(reading, percent - hysteresis)]
    return max((*kept, *reached(reading, thresholds)), default=None)


def _has_reached(reading: Reading, percent: int) -> bool:
    return reading.spent * 100 >= reading.limit * percent
