"""When the jobs will run, by Prefect's own reckoning: what changing clocks do to them, and which runs collide."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from prefect.flows import Flow
from prefect.server.schemas.schedules import CronSchedule

from ops.timetable import Deployment, Schedule, Timetable, locks_of
from sivera.values import Value
from tasks.times import NEAR, times_between

STEP = timedelta(minutes=15)
"""Clocks have never been changed at another minute than a quarter's."""


class Effect(StrEnum):
    """What becomes of a wall time when the clocks are changed."""

    MOVED = "moved"
    SKIPPED = "skipped"
    DOUBLED = "doubled"
    ONCE = "runs once"


class ClockEffect(Value):
    """What changing clocks do to a schedule; `wall` is the time that its cron names, `runs` when it really runs."""

    schedule: str
    timezone: str
    wall: datetime
    effect: Effect
    runs: tuple[datetime, ...]


class ClockChange(Value):
    """A change of the clocks of a zone: the wall times before and after."""

    at: datetime
    timezone: str
    before: datetime
    after: datetime


class Collision(Value):
    """A run of `second` begins while one of `first` may be under way: how often, and when for the first time."""

    first: str
    second: str
    times: int
    first_began_at: datetime
    second_begins_at: datetime


class PlannedSchedule(Value):
    """A schedule that is on, with its runs. `time_limit_seconds` is its flow's."""

    name: str
    flow: str
    deployment: str
    cron: str
    timezone: str
    time_limit_seconds: float | None
    locks: tuple[str, ...]
    runs: tuple[datetime, ...]


class Plan(Value):
    """What will run from a time until (excluded) another."""

    since: datetime
    until: datetime
    schedules: tuple[PlannedSchedule, ...]
    switched_off: tuple[str, ...]
    clock_changes: tuple[ClockChange, ...]
    clock_effects: tuple[ClockEffect, ...]
    collisions: tuple[Collision, ...]


def plan(timetable: Timetable, flows: Mapping[str, Flow[..., Any]], since: datetime, until: datetime) -> Plan:
    """Reckon what the schedules that the file has on will do."""
    planned, off = [], []
    for deployment in timetable.deployments:
        flow = flows[deployment.entrypoint]
        for schedule in deployment.schedules:
            if schedule.active and not deployment.paused:
                planned.append(_planned(flow, deployment, schedule, since, until))
            else:
                off.append(f"{flow.name}/{deployment.name}/{schedule.slug}")
    changes = [each for name in sorted({one.timezone for one in planned}) for each in clock_changes(name, since, until)]
    return Plan(
        since=since,
        until=until,
        schedules=tuple(planned),
        switched_off=tuple(off),
        clock_changes=tuple(changes),
        clock_effects=tuple(effect for change in changes for one in planned for effect in clock_effects(one, change)),
        collisions=tuple(collisions(planned)),
    )


def _planned(
    flow: Flow[..., Any], deployment: Deployment, schedule: Schedule, since: datetime, until: datetime
) -> PlannedSchedule:
    return PlannedSchedule(
        name=f"{flow.name}/{deployment.name}/{schedule.slug}",
        flow=flow.name,
        deployment=deployment.name,
        cron=schedule.cron,
        timezone=schedule.timezone,
        time_limit_seconds=flow.timeout_seconds,
        locks=tuple(sorted(locks_of(flow.name, {**deployment.parameters, **schedule.parameters}))),
        runs=tuple(run_times(schedule.cron, schedule.timezone, since, until)),
    )


def run_times(cron: str, timezone: str, since: datetime, until: datetime) -> list[datetime]:
    """Return when a schedule runs, in UTC, from a time until (excluded) another, as Prefect's scheduler reckons it."""
    return times_between(CronSchedule(cron=cron, timezone=timezone), since, until)


def clock_changes(timezone: str, since: datetime, until: datetime) -> Iterator[ClockChange]:
    """Yield the changes of a zone's clocks within a time."""
    zone, at = ZoneInfo(timezone), since.astimezone(UTC).replace(minute=0) + STEP
    while at < until:
        before, after = wall_time(at - STEP, zone) + STEP, wall_time(at, zone)
        if before != after:
            yield ClockChange(at=at, timezone=timezone, before=before, after=after)
        at += STEP


def clock_effects(planned: PlannedSchedule, change: ClockChange) -> Iterator[ClockEffect]:
    """Yield what a change of its zone's clocks does to the times that a schedule's cron names."""
    if planned.timezone != change.timezone:
        return
    zone = ZoneInfo(change.timezone)
    first, last = sorted((change.before, change.after))
    # What cron names is reckoned in UTC, where every wall time comes once.
    named = [when.replace(tzinfo=None) for when in _named(planned.cron, first - 2 * NEAR, last + 2 * NEAR)]
    runs = [when for when in planned.runs if abs(when - change.at) <= NEAR]
    moved = [when for when in runs if wall_time(when, zone) not in named]
    for wall in named:
        if not first <= wall < last:
            continue
        at_wall = [when for when in runs if wall_time(when, zone) == wall]
        if change.after > change.before:
            at_wall, effect = moved[:1], Effect.MOVED if moved else Effect.SKIPPED
            moved = moved[1:]
        else:
            effect = (Effect.SKIPPED, Effect.ONCE, Effect.DOUBLED)[len(at_wall)]
        yield ClockEffect(
            schedule=planned.name, timezone=change.timezone, wall=wall, effect=effect, runs=tuple(at_wall)
        )


def _named(cron: str, first: datetime, last: datetime) -> list[datetime]:
    return run_times(cron, "UTC", first.replace(tzinfo=UTC), last.replace(tzinfo=UTC))


def wall_time(when: datetime, zone: tzinfo) -> datetime:
    """Return what a clock in the zone shows, without its zone."""
    return when.astimezone(zone).replace(tzinfo=None)


def collisions(planned: Sequence[PlannedSchedule]) -> Iterator[Collision]:
    """Yield which schedules get into each other's way, each pair once."""
    for first in planned:
        for second in planned:
            if not _exclude(first, second):
                continue
            met = list(_meetings(first, second))
            if met:
                began, begins = met[0]
                yield Collision(
                    first=first.name,
                    second=second.name,
                    times=len(met),
                    first_began_at=began,
                    second_begins_at=begins,
                )


def _exclude(one: PlannedSchedule, other: PlannedSchedule) -> bool:
    """Say whether runs of the two cannot be under way together: one deployment, one lock, or one job without locks."""
    if one.flow == other.flow and one.deployment == other.deployment:
        return True
    return bool(set(one.locks) & set(other.locks)) or (one.flow == other.flow and not (one.locks and other.locks))


def _meetings(first: PlannedSchedule, second: PlannedSchedule) -> Iterator[tuple[datetime, datetime]]:
    limit = timedelta(seconds=first.time_limit_seconds or 0)
    for began in first.runs:
        for begins in second.runs[bisect_left(second.runs, began) :]:
            if begins >= began + limit and begins != began:
                break
            # Two that begin together are one meeting, told of the first in the alphabet; a run does not meet itself.
            if begins > began or first.name < second.name:
                yield began, begins
