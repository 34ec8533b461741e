"""The decisions of check-budgets, as pure functions: facts in, decision out."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from zoneinfo import ZoneInfo

from sivera.budgets.pacing import Period, Span
from sivera.budgets.projection import Projection
from sivera.platforms.base import REPORTS_LAG
from sivera.values import PlatformName, Value


class AlertKind(StrEnum):
    """What an alert tells of."""

    BUDGET = "budget"
    STALE = "budget-data-stale"


class Reading(Value):
    """How far a budget is spent.

    `subject` names it in alerts, `name` for a person, `budget` is the kind of budget. `limit` and `spent` are in major
    units of `currency`, for the period. `pace` is what an even pace would have spent of a daily budget by the end of
    today, None where nothing says that it is to be spent evenly. `is_complete` says that the figures of all its
    accounts are fresh, `at_least` that more may have been spent than is known, `note` what else there is to know.
    `as_of` is when the oldest of the fresh figures were read.
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
        """How much of the limit is spent, rounded down, so that a threshold is never shown before it is reached."""
        return int(self.spent * 100 / self.limit)


class OpenAlert(Value):
    """An alert that is open. `until` is the last day of its period, None where that has no end."""

    id: int
    kind: AlertKind
    subject: str
    title: str
    threshold: int
    since: date | None
    until: date | None
    opened_at: datetime

    @property
    def key(self) -> tuple[str, str]:
        """What it is about."""
        return self.kind.value, self.subject


class Closing(Value):
    """An alert to close, and why."""

    alert: OpenAlert
    why: str


def today_in(timezone: str, now: datetime) -> date:
    """Return the day that it is in a time zone.

    Raises:
        ZoneInfoNotFoundError, ValueError: Nobody knows the time zone.
    """
    return now.astimezone(ZoneInfo(timezone)).date()


def is_stale(
    synced_as_of: datetime | None,
    reports_as_of: datetime | None,
    created_at: datetime,
    now: datetime,
    stale_hours: int,
) -> bool:
    """Whether an account's figures are too old to judge by: it was last synced, or connected, so long ago.

    Figures that come as reports may be older by as long as reports may take: else slow ones would be a warning each
    day. Where they do not come at all, the account's syncs say nothing of what was spent.
    """
    most = timedelta(hours=stale_hours)
    return now - (synced_as_of or created_at) > most or (
        reports_as_of is not None and now - reports_as_of > most + REPORTS_LAG
    )


def reached(reading: Reading, thresholds: Iterable[int]) -> list[int]:
    """Return the thresholds, in percent, that spending has reached and that are worth to be told.

    Of a daily budget, a threshold below 100 counts only where spending is ahead of an even pace: half of a month's
    by the middle of the month is what the budget is for. Of a single day only what is over counts.
    """
    early = reading.pace is None or (reading.period.span is not Span.DAY and reading.spent > reading.pace)
    return [percent for percent in thresholds if _has_reached(reading, percent) and (percent >= 100 or early)]


def _has_reached(reading: Reading, percent: int) -> bool:
    return reading.spent * 100 >= reading.limit * percent


def openings(reading: Reading, alerts: Iterable[OpenAlert], thresholds: Iterable[int]) -> list[int]:
    """Return the thresholds of which alerts are to open, besides those of the reading's period that are open."""
    known = {alert.threshold for alert in alerts if alert.since == reading.period.since}
    return [percent for percent in reached(reading, thresholds) if percent not in known]


def closings(reading: Reading | None, alerts: Iterable[OpenAlert], hysteresis: int) -> list[Closing]:
    """Return the alerts of a budget that are over.

    Without a reading nothing is spent, or there is no such budget. One that is not complete ends no alert of its
    period.
    """
    reasons = ((alert, _why_over(reading, alert, hysteresis)) for alert in alerts)
    return [Closing(alert=alert, why=why) for alert, why in reasons if why]


def _why_over(reading: Reading | None, alert: OpenAlert, hysteresis: int) -> str | None:
    if reading is None:
        return "the period is over, the budget is gone, or nothing is spent of it any more"
    if alert.since != reading.period.since:
        return "the period is over"
    if reading.is_complete and not _has_reached(reading, alert.threshold - hysteresis):
        return f"{reading.percent} % of the budget are spent, {hysteresis} points or more below {alert.threshold} %"
    return None


def by_subject(alerts: Sequence[OpenAlert]) -> dict[str, list[OpenAlert]]:
    """Return alerts by their subject."""
    subject = attrgetter("subject")
    return {name: list(found) for name, found in groupby(sorted(alerts, key=subject), subject)}
