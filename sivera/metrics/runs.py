"""The runs of jobs in figures: each is counted once, in the collection after its end."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from sivera.metrics.definitions import (
    JOB_QUEUE_SECONDS,
    JOB_RUN_SECONDS,
    JOB_RUNS,
    LAST_RUN_DURATION,
    LAST_RUN_QUEUE_DELAY,
    LAST_RUN_SUCCESS,
    LAST_RUN_TIMESTAMP,
    RUN_DURATION,
    RUN_QUEUE_DELAY,
    RUNS_UNTIL,
    Collection,
    Metric,
    Sample,
)
from sivera.values import Value

FIRST_LOOK = timedelta(days=1)
"""How far back the first collection looks."""

COMPLETED, CANCELLED = "completed", "cancelled"
LAST_RUN = (LAST_RUN_TIMESTAMP, LAST_RUN_DURATION, LAST_RUN_QUEUE_DELAY, LAST_RUN_SUCCESS)
COUNTERS = (JOB_RUNS, JOB_RUN_SECONDS, JOB_QUEUE_SECONDS)


class JobRun(Value):
    """A run of a job that has ended; a run that never began has no duration, and no queue delay."""

    job: str
    outcome: str
    ended_at: datetime
    duration_seconds: float = 0.0
    queue_delay_seconds: float = 0.0


class JobRuns(Value):
    """The jobs that are deployed, and their runs that ended within a time."""

    jobs: tuple[str, ...]
    runs: tuple[JobRun, ...]


class Window(Value):
    """A time from `since` until (excluded) `until`."""

    since: datetime
    until: datetime

    def has(self, when: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.since <= when < self.until


def window(previous: Collection | None, at: datetime, settle: timedelta) -> Window:
    """Return the time whose runs a collection counts: from where the previous one ended.

    Args:
        previous: The last collection.
        at: When this one is.
        settle: What is left out at its end. A run's end is stamped by its worker and told to the server a moment later.
    """
    until = at - settle
    counted = previous.values(RUNS_UNTIL).get(()) if previous else None
    since = until - FIRST_LOOK if counted is None else datetime.fromtimestamp(counted, UTC)
    return Window(since=min(since, until), until=until)


def run_samples(previous: Collection | None, found: JobRuns) -> Iterator[Sample]:
    """Yield counters that go on from the previous collection, and how the last run of each job went.

    Of a job that is no longer deployed the counters stay, and the last run goes: nobody is to be alarmed by its age.
    """
    totals = {metric.name: defaultdict(float, previous.values(metric) if previous else {}) for metric in COUNTERS}
    last = {metric.name: dict(previous.values(metric) if previous else {}) for metric in LAST_RUN}
    for run in sorted(found.runs, key=lambda each: each.ended_at):
        totals[JOB_RUNS.name][run.job, run.outcome] += 1
        if run.outcome == CANCELLED:
            continue
        totals[JOB_RUN_SECONDS.name][run.job,] += run.duration_seconds
        totals[JOB_QUEUE_SECONDS.name][run.job,] += run.queue_delay_seconds
        last[LAST_RUN_TIMESTAMP.name][run.job,] = run.ended_at.timestamp()
        last[LAST_RUN_DURATION.name][run.job,] = run.duration_seconds
        last[LAST_RUN_QUEUE_DELAY.name][run.job,] = run.queue_delay_seconds
        last[LAST_RUN_SUCCESS.name][run.job,] = run.outcome == COMPLETED
    for metric in COUNTERS:
        yield from _samples(metric, totals[metric.name])
    known = {*found.jobs, *(run.job for run in found.runs)}
    for metric in LAST_RUN:
        yield from _samples(
            metric, {labels: value for labels, value in last[metric.name].items() if labels[0] in known}
        )


def samples_of(run: JobRun) -> Iterator[Sample]:
    """Yield the samples of a single run, which belong to the time at which it ended."""
    labels = {"job": run.job, "outcome": run.outcome}
    yield Sample(name=RUN_DURATION.name, labels=labels, value=run.duration_seconds)
    yield Sample(name=RUN_QUEUE_DELAY.name, labels=labels, value=run.queue_delay_seconds)


def _samples(metric: Metric, values: Mapping[tuple[str, ...], float]) -> Iterator[Sample]:
    for labels, value in values.items():
        yield Sample(name=metric.name, labels=dict(zip(metric.labels, labels, strict=True)), value=value)
