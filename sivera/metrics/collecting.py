"""The steps of collect-metrics: measure, store the samples, and delete old ones."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.clock import read_clock
from sivera.metrics import definitions as of
from sivera.metrics import queries
from sivera.metrics.definitions import Collection
from sivera.metrics.rules import JobRuns, Window, run_samples, samples_of, window
from sivera.units import counted
from sivera.values import PlatformName, Value


class Turn(Value):
    """The time of a collection by the database's clock, and the window of runs that it counts."""

    at: datetime
    window: Window


class CollectionSummary(Value):
    """The result of a run. `runs` counts the job runs in it, `deleted` the old samples that were removed."""

    collection: Collection
    runs: int
    deleted: int

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        deleted = f", {counted(self.deleted, 'old sample')} deleted" if self.deleted else ""
        return f"{counted(len(self.collection.samples), 'sample')}, {counted(self.runs, 'run')} counted{deleted}"

    def rows(self) -> list[dict[str, object]]:
        """Return the samples as rows of a table."""
        return [
            {
                "metric": sample.name,
                "labels": ", ".join(f"{label}={value}" for label, value in sample.labels.items()),
                "value": round(sample.value, 3),
            }
            for sample in self.collection.samples
        ]


def begin(engine: Engine, settle: timedelta) -> Turn:
    """Read the time, and how far the last collection counted."""
    with Session(engine) as session:
        at = read_clock(session)
        return Turn(at=at, window=window(queries.read_latest(session, before=at), at, settle))


def collect(
    engine: Engine,
    turn: Turn,
    found: JobRuns,
    daily_calls: Mapping[PlatformName, int],
    backup_at: datetime | None = None,
) -> Collection:
    """Measure, and store the samples. A repeated turn replaces its own samples."""
    with Session(engine) as session, session.begin():
        samples = [
            of.COLLECTED_AT.sample(turn.at.timestamp()),
            of.RUNS_UNTIL.sample(turn.window.until.timestamp()),
            *run_samples(queries.read_latest(session, before=turn.at), found),
            *queries.measure(session, daily_calls),
            *([of.BACKUP_AGE.sample((turn.at - backup_at).total_seconds())] if backup_at else []),
        ]
        queries.write(session, turn.at, samples)
        for run in found.runs:
            queries.write(session, run.ended_at, samples_of(run))
    return Collection(at=turn.at, samples=tuple(samples))


def forget(engine: Engine, before: datetime) -> int:
    """Delete the samples before a time; return how many."""
    with Session(engine) as session, session.begin():
        return queries.delete_old(session, before)
