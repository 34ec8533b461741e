"""The work of collect-metrics: measure, store the samples, and delete old ones."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.clock import read_clock
from sivera.metrics import queries
from sivera.metrics.definitions import BACKUP_AGE, COLLECTED_AT, RUNS_UNTIL, Collection, Sample
from sivera.metrics.rules import JobRuns, Used, Window, quotas_left, run_samples, samples_of, window
from sivera.values import PlatformName, Value

BATCH = 5_000
"""Samples deleted in one transaction; it takes some hundredths of a second."""


class Turn(Value):
    """One collection: its time by the database's clock, and the window of runs that it counts."""

    at: datetime
    window: Window


class CollectionSummary(Value):
    """What a run did. `runs` is how many runs of jobs it counted, `deleted` how many old samples it deleted."""

    collection: Collection
    runs: int
    deleted: int

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        deleted = f", {self.deleted} old samples deleted" if self.deleted else ""
        return f"{len(self.collection.samples)} samples, {self.runs} runs counted{deleted}"

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield the samples as rows of a table."""
        for sample in self.collection.samples:
            labels = ", ".join(f"{label}={value}" for label, value in sample.labels.items())
            yield {"metric": sample.name, "labels": labels, "value": round(sample.value, 3)}


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
    """Measure, and store the samples. The same turn a second time replaces the first."""
    with Session(engine) as session, session.begin():
        samples = [
            Sample(name=COLLECTED_AT.name, value=turn.at.timestamp()),
            Sample(name=RUNS_UNTIL.name, value=turn.window.until.timestamp()),
            *run_samples(queries.read_latest(session, before=turn.at), found),
            *measure(session, daily_calls),
            *([Sample(name=BACKUP_AGE.name, value=(turn.at - backup_at).total_seconds())] if backup_at else []),
        ]
        queries.write(session, turn.at, samples)
        for run in found.runs:
            queries.write(session, run.ended_at, tuple(samples_of(run)))
    return Collection(at=turn.at, samples=tuple(samples))


def measure(session: Session, daily_calls: Mapping[PlatformName, int]) -> Iterator[Sample]:
    """Yield the current state."""
    yield from queries.measure(session)
    used = {
        PlatformName(row.platform): Used(
            platform=PlatformName(row.platform), calls_of_day=row.calls, used_percent=row.used_percent
        )
        for row in queries.read_usage(session)
    }
    yield from quotas_left(used, daily_calls)


def forget(engine: Engine, before: datetime) -> int:
    """Delete the samples before a time, in batches; return how many."""
    deleted, batch = 0, BATCH
    while batch == BATCH:
        with Session(engine) as session, session.begin():
            batch = queries.delete_old(session, before, BATCH)
        deleted += batch
    return deleted
