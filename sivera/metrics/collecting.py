"""The work of collect-metrics: measure, store, and let go of what is old."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.clock import read_clock
from sivera.metrics import queries, quotas
from sivera.metrics.definitions import BACKUP_AGE, COLLECTED_AT, RUNS_UNTIL, Collection, Sample
from sivera.metrics.runs import JobRuns, Window, run_samples, samples_of, window
from sivera.values import PlatformName, Value

BATCH = 5_000
"""Samples that are deleted at once: some hundredths of a second."""


class Turn(Value):
    """A collection that begins: its time, by the database's clock, and the time whose runs it counts."""

    at: datetime
    window: Window


def begin(engine: Engine, settle: timedelta) -> Turn:
    """Read the time, and where the last collection ended."""
    with Session(engine) as session:
        at = read_clock(session)
        previous = queries.read_latest(session, before=at)
    return Turn(at=at, window=window(previous, at, settle))


def collect(
    engine: Engine,
    turn: Turn,
    found: JobRuns,
    daily_calls: Mapping[PlatformName, int],
    backup_at: datetime | None = None,
) -> Collection:
    """Measure, and store the samples; a second time of the same turn replaces the first."""
    with Session(engine) as session, session.begin():
        samples = [
            Sample(name=COLLECTED_AT.name, value=turn.at.timestamp()),
            Sample(name=RUNS_UNTIL.name, value=turn.window.until.timestamp()),
            *run_samples(queries.read_latest(session, before=turn.at), found),
            *measure(session, daily_calls),
            *([Sample(name=BACKUP_AGE.name, value=(turn.at - backup_at).total_seconds())] if backup_at else []),
        ]
        collection = Collection(at=turn.at, samples=tuple(samples))
        queries.write(session, turn.at, collection.samples)
        for run in found.runs:
            queries.write(session, run.ended_at, tuple(samples_of(run)))
    return collection


def measure(session: Session, daily_calls: Mapping[PlatformName, int]) -> Iterator[Sample]:
    """Yield how things stand now."""
    yield from queries.measure(session)
    used = {
        PlatformName(row.platform): quotas.Used(
            platform=PlatformName(row.platform), calls_of_day=row.calls, used_percent=row.used_percent
        )
        for row in queries.read_usage(session)
    }
    yield from quotas.left(used, daily_calls)


def forget(engine: Engine, before: datetime, keep: timedelta) -> int:
    """Delete the samples that are older, in small batches; return how many."""
    deleted, batch = 0, BATCH
    while batch == BATCH:
        with Session(engine) as session, session.begin():
            batch = queries.delete_old(session, before - keep, BATCH)
        deleted += batch
    return deleted
