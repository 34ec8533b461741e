"""When a schedule runs, as Prefect's own scheduler reckons it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

ServerSchedule: TypeAlias = CronSchedule | IntervalSchedule | RRuleSchedule

CHUNK = timedelta(hours=12)
"""Prefect reckons at most 1,000 runs at once, and cron has at most one a minute."""

NEAR = timedelta(hours=3)
"""No clock is moved by more than two hours."""


def times_between(schedule: ServerSchedule, since: datetime, until: datetime) -> list[datetime]:
    """Return when a schedule runs, in UTC, from a time until (excluded) another."""
    times: set[datetime] = set()
    begin = since
    while begin < until:
        end = min(begin + CHUNK, until)
        # From some hours before: where a chunk begins at the moment that clocks go back, Prefect leaves a run out.
        found = asyncio.run(schedule.get_dates(start=begin - NEAR, end=end))
        times |= {datetime.fromtimestamp(when.timestamp(), UTC) for when in found}
        begin = end
    return sorted(when for when in times if since <= when < until)


def next_time(schedule: ServerSchedule, now: datetime) -> datetime | None:
    """Return when a schedule runs next after now, in UTC; None if never."""
    found = asyncio.run(schedule.get_dates(n=2, start=now))
    return min((at for when in found if (at := datetime.fromtimestamp(when.timestamp(), UTC)) > now), default=None)
