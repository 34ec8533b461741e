"""The decisions of generate-reports, as pure functions: facts in, decision out."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sivera.errors import ConfigurationError
from sivera.sync.rules import RESTATEMENT_DAYS
from sivera.values import PlatformName, Value

DUE = time(1)
"""The local time after a day's end at which its report is due: by then a sync has seen all of the day."""

DAY, WEEK = timedelta(days=1), timedelta(days=7)

LONGEST_UNCOMPARED = timedelta(days=92)
"""For how long days that no run compared are kept for the next one: as far back as missing reports can be made up."""

CHART_DAYS = 28


class Period(StrEnum):
    """What a report compares: its day, the day before, the same weekday a week before, the month until its day."""

    DAY = "day"
    DAY_BEFORE = "day_before"
    WEEK_BEFORE = "week_before"
    MONTH_TO_DATE = "month_to_date"


class Why(StrEnum):
    """Why the figures of an account's day are not complete."""

    NEVER_SYNCED = "never_synced"
    RECONNECT = "reconnect"
    DAY_NOT_OVER = "day_not_over"
    NOT_SYNCED = "not_synced"
    PREPARING = "preparing"


class AccountFacts(Value):
    """What is known of an active account of a team.

    `synced_as_of` is when the fetch began whose result is stored; `reports_as_of` is as of when its oldest figures are
    that come as reports, which arrive later than a sync, and None where a platform answers at once.
    """

    id: int
    platform: PlatformName
    name: str
    timezone: str
    is_connected: bool
    synced_as_of: datetime | None
    reports_as_of: datetime | None
    connected_at: datetime


class Outstanding(NamedTuple):
    """The days of a report that a platform still prepares for an account."""

    account_id: int
    since: date
    until: date


class MissingAccount(Value):
    """An account whose figures of a day are not complete, and why."""

    id: int
    platform: PlatformName
    name: str
    why: Why


Digests = Mapping[tuple[int, date], str]
"""A digest of all rows of an account's day, by both; a day without a row has none."""


def find_zone(name: str) -> ZoneInfo | None:
    """Return a time zone, or None where nobody knows it."""
    try:
        return ZoneInfo(name)
    # An empty name, a folder of the database, a name with a NUL, and more.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_of_team(name: str, team: str) -> ZoneInfo:
    """Return a team's time zone.

    Raises:
        ConfigurationError: Nobody knows it.
    """
    if zone := find_zone(name):
        return zone
    raise ConfigurationError(
        f"the team '{team}' has the time zone '{name}', which nobody knows: sivera teams set NAME --timezone ZONE"
    )


def day_end(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) at which a day of a time zone is over."""
    return datetime.combine(day + DAY, time(0), zone).astimezone(UTC)


def due_at(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) from which a day's report is due; where clocks skip 01:00, when they have."""
    return datetime.combine(day + DAY, DUE, zone).astimezone(UTC)


def has_day(zone: ZoneInfo, day: date) -> bool:
    """Say whether a time zone has a day; one that crosses the date line to the west leaves one out."""
    return day_end(day - DAY, zone) < day_end(day, zone)


def latest_due_day(now: datetime, zone: ZoneInfo) -> date:
    """Return the last day whose report is due."""
    day = now.astimezone(zone).date() - DAY
    while due_at(day, zone) > now or not has_day(zone, day):
        day -= DAY
    return day


def days_to_write(
    latest: date, zone: ZoneInfo, first: date | None, reported: Collection[date], make_up_days: int
) -> tuple[date, ...]:
    """Return the days that lack their report, the oldest first.

    Args:
        latest: The last day whose report is due.
        zone: The team's time zone.
        first: The first day of which the team has figures; None where it has none, and so no report.
        reported: The days that have a report.
        make_up_days: So many days before `latest` are made up.
    """
    if first is None:
        return ()
    wanted = days_between(max(first, latest - make_up_days * DAY), latest)
    return tuple(day for day in wanted if day not in reported and has_day(zone, day))


def days_between(since: date, until: date) -> Iterator[date]:
    """Yield the days from `since` to `until`, both included."""
    return (since + n * DAY for n in range((until - since).days + 1))


def covers(period: Period, day: date) -> tuple[date, date]:
    """Return the first and the last day that a period of a day's report covers."""
    match period:
        case Period.DAY_BEFORE:
            return day - DAY, day - DAY
        case Period.WEEK_BEFORE:
            return day - WEEK, day - WEEK
        case Period.MONTH_TO_DATE:
            return day.replace(day=1), day
        case Period.DAY:
            return day, day


def final_on(day: date, platform: PlatformName) -> date:
    """Return the day from which the platform no longer restates the figures of a day."""
    return day + timedelta(days=RESTATEMENT_DAYS[platform])


def restated_since(latest: date, platforms: Iterable[PlatformName], compared: date | None) -> date:
    """Return the first day whose figures any of the platforms could restate since they were compared.

    That is the first one that a full sync on the day after `compared` reads again, or on `latest` where that is
    earlier: what the last of them restates must be reported too.

    Args:
        latest: The last day whose report is due.
        platforms: Those of the team's accounts.
        compared: What `latest` was when the reports were last compared with the figures; None where they never were.
    """
    longest = max((RESTATEMENT_DAYS[platform] for platform in platforms), default=1)
    first = max(min(latest, (compared or latest) + DAY), latest - LONGEST_UNCOMPARED)
    return first - timedelta(days=longest - 1)


def missing_accounts(
    accounts: Iterable[AccountFacts],
    outstanding: Collection[Outstanding],
    digests: Digests,
    day: date,
    now: datetime,
) -> tuple[MissingAccount, ...]:
    """Return the accounts whose figures of a day are not complete, by id.

    An account that was connected after the day is not expected to have figures of it.
    """
    found = ((account, _why(account, outstanding, digests, day, now)) for account in accounts)
    return tuple(
        MissingAccount(id=account.id, platform=account.platform, name=account.name, why=why)
        for account, why in sorted(found, key=lambda pair: pair[0].id)
        if why
    )


def _why(
    account: AccountFacts, outstanding: Collection[Outstanding], digests: Digests, day: date, now: datetime
) -> Why | None:
    # Its sync fails where the zone is unknown; what it copied before is judged as if it were in UTC.
    end = day_end(day, find_zone(account.timezone) or ZoneInfo("UTC"))
    is_synced = account.synced_as_of is not None and account.synced_as_of >= end
    if is_synced and not _is_awaited(account, outstanding, digests, day, end):
        return None
    if account.synced_as_of is None and account.connected_at >= end:
        return None
    if not account.is_connected:
        return Why.RECONNECT
    if account.synced_as_of is None:
        return Why.NEVER_SYNCED
    if is_synced:
        return Why.PREPARING
    return Why.DAY_NOT_OVER if now < end else Why.NOT_SYNCED


def _is_awaited(
    account: AccountFacts, outstanding: Collection[Outstanding], digests: Digests, day: date, end: datetime
) -> bool:
    """Say whether figures of a day that ended are still to come, though the account synced since."""
    if account.reports_as_of is not None:
        # A report that was asked for at noon leaves half a day's figures, which look like all of them.
        return account.reports_as_of < end
    waits = any(one.account_id == account.id and one.since <= day <= one.until for one in outstanding)
    ran_lately = any((account.id, day - n * DAY) in digests for n in range(1, WEEK.days + 1))
    return waits and ran_lately and (account.id, day) not in digests


def checksum(day: date, digests: Digests, missing: Sequence[MissingAccount]) -> str:
    """Return the checksum of what a day's report says: of its figures and of what is missing.

    The names of accounts and campaigns do not count: a new name alone makes no new version.
    """
    spans = [covers(period, day) for period in Period]
    lines = sorted(
        f"{at} {account} {digest}"
        for (account, at), digest in digests.items()
        if any(since <= at <= until for since, until in spans)
    )
    lines += [f"missing {account.id} {account.why.value}" for account in missing]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def paths(team_id: int, day: date, version: int) -> tuple[str, str]:
    """Return where the page and the table of a report are kept."""
    stem = f"team-{team_id}/{day:%Y/%m}/{day}.v{version}"
    return f"{stem}.html", f"{stem}.csv"
