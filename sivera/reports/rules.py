"""The rules of generate-reports, as pure functions."""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sivera.clock import find_zone
from sivera.sync.rules import RESTATEMENT_DAYS
from sivera.values import PlatformName, days_between

DUE = time(1)
"""The local time at which the previous day's report is due. By then a sync has read the whole day."""

DAY, WEEK = timedelta(days=1), timedelta(days=7)

CHART_DAYS = 28

COMPARED = timedelta(days=max(RESTATEMENT_DAYS.values()) + 14)
"""How far back reports are compared with the figures: as far as a platform restates them, plus a pause of two weeks."""


class Period(StrEnum):
    """The periods that a report compares. `MONTH_TO_DATE` ends with the report's day."""

    DAY = "day"
    DAY_BEFORE = "day_before"
    WEEK_BEFORE = "week_before"
    MONTH_TO_DATE = "month_to_date"


class Why(StrEnum):
    """Why the figures of an account's day are incomplete."""

    NEVER_SYNCED = "never_synced"
    RECONNECT = "reconnect"
    DAY_NOT_OVER = "day_not_over"
    NOT_SYNCED = "not_synced"
    PREPARING = "preparing"


class AccountFacts(NamedTuple):
    """An account of a team.

    `synced_as_of` is when the fetch of the stored figures started. `reports_as_of` is the age of the oldest figures if
    the platform prepares reports. `covered_since` and `covered_until` are the first and last day that was read, and
    `lacks_product` means that nothing was read of one of its ad products.
    """

    id: int
    platform: PlatformName
    name: str
    timezone: str
    is_connected: bool
    synced_as_of: datetime | None
    reports_as_of: datetime | None
    connected_at: datetime
    is_active: bool
    currency: str
    covered_since: date | None
    covered_until: date | None
    lacks_product: bool


class Unreported(NamedTuple):
    """A campaign that its platform does not report on, and the days on which it may run."""

    platform: PlatformName
    account_id: int
    account: str
    campaign_id: str
    campaign: str
    currency: str
    since: date
    until: date | None


class MissingAccount(NamedTuple):
    """An account with incomplete figures for a day."""

    id: int
    platform: PlatformName
    name: str
    timezone: str
    why: Why


def day_end(day: date, zone: ZoneInfo, after: time = time(0)) -> datetime:
    """Return the end of a day in a time zone, or the local time `after` it, in UTC."""
    return datetime.combine(day + DAY, after, zone).astimezone(UTC)


def latest_due_day(now: datetime, zone: ZoneInfo) -> date:
    """Return the latest day whose report is due."""
    yesterday = now.astimezone(zone).date() - DAY
    # If the clocks skip 01:00, the report is due when they change.
    return yesterday if day_end(yesterday, zone, DUE) <= now else yesterday - DAY


def days_to_write(latest: date, first: date, reported: Collection[date], make_up_days: int) -> tuple[date, ...]:
    """Return the days without a report, from the `first` with figures to the `latest` due, the oldest first."""
    wanted = days_between(max(first, latest - make_up_days * DAY), latest)
    return tuple(day for day in wanted if day not in reported)


def covers(period: Period, day: date) -> tuple[date, date]:
    """Return the first and the last day of a period of a day's report."""
    return {
        Period.DAY: (day, day),
        Period.DAY_BEFORE: (day - DAY, day - DAY),
        Period.WEEK_BEFORE: (day - WEEK, day - WEEK),
        Period.MONTH_TO_DATE: (day.replace(day=1), day),
    }[period]


def final_on(day: date, platform: PlatformName) -> date:
    """Return the day from which a platform no longer restates a day's figures."""
    return day + timedelta(days=RESTATEMENT_DAYS[platform])


def missing_accounts(accounts: Iterable[AccountFacts], day: date, now: datetime) -> tuple[MissingAccount, ...]:
    """Return the accounts with incomplete figures for a day, by id."""
    active = sorted((account for account in accounts if account.is_active), key=lambda account: account.id)
    found = ((account, _why(account, day, now)) for account in active)
    return tuple(MissingAccount(*account[:4], why) for account, why in found if why)


def _why(account: AccountFacts, day: date, now: datetime) -> Why | None:
    # The sync of an account with an unknown zone fails. Its older figures are judged as if it were in UTC.
    end = day_end(day, find_zone(account.timezone) or ZoneInfo("UTC"))
    if account.synced_as_of is None and account.connected_at >= end:
        return None  # no figures are expected for days before the account was connected
    is_synced = account.synced_as_of is not None and account.synced_as_of >= end
    # A report requested at noon holds half a day's figures but looks complete.
    has_reports = account.reports_as_of is None or account.reports_as_of >= end
    if is_synced and has_reports:
        return None
    if not account.is_connected:
        return Why.RECONNECT
    if account.synced_as_of is None:
        return Why.NEVER_SYNCED
    if is_synced:
        return Why.PREPARING
    return Why.DAY_NOT_OVER if now < end else Why.NOT_SYNCED


def chart_since(day: date) -> date:
    """Return the first day of a report's charts."""
    return day - timedelta(days=CHART_DAYS - 1)


def running(campaigns: Iterable[Unreported], day: date) -> Iterator[Unreported]:
    """Yield the campaigns that may have run in the periods of a day's report."""
    first = compared_since(day)
    return (one for one in campaigns if one.since <= day and (one.until is None or one.until >= first))


def compared_since(day: date) -> date:
    """Return the first day of all periods of a day's report."""
    return min(covers(period, day)[0] for period in Period)


def folder(team_id: int) -> str:
    """Return the folder of a team's reports in the storage for reports."""
    return f"team-{team_id}"


def paths(team_id: int, day: date) -> tuple[str, str]:
    """Return the paths of a report's page and table in the storage for reports."""
    stem = f"{folder(team_id)}/{day:%Y/%m}/{day}"
    return f"{stem}.html", f"{stem}.csv"
