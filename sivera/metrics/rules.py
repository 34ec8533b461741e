"""The rules of counting runs, as pure functions, and the quotas of platforms that are known."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sivera.metrics import definitions as of
from sivera.metrics.definitions import Collection, Metric, Sample
from sivera.values import PlatformName, Value

FIRST_LOOK = timedelta(days=1)
"""How far back the first collection looks."""

COMPLETED, CANCELLED = "completed", "cancelled"
COUNTERS = (of.JOB_RUNS, of.JOB_RUN_SECONDS, of.JOB_QUEUE_SECONDS)
LAST_RUN = (of.LAST_RUN_TIMESTAMP, of.LAST_RUN_DURATION, of.LAST_RUN_QUEUE_DELAY, of.LAST_RUN_SUCCESS)

DAILY_CALLS: dict[PlatformName, int] = {
    # Operations a day of a Cloud project with Basic access; Explorer access has 2,880, Standard has more.
    PlatformName.GOOGLE: 15_000,
    # Meta's answers say how much is used. Amazon publishes no number. TikTok limits calls a second.
}


class JobRun(Value):
    """A run of a job that has ended. If it never began, its duration and its queue delay are 0."""

    job: str
    outcome: str
    ended_at: datetime
    duration_seconds: float = 0.0
    queue_delay_seconds: float = 0.0


class JobStatus(Value):
    """A job: its last run that was not cancelled, and when the next one is due."""

    name: str
    last: JobRun | None
    next_at: datetime | None


class JobRuns(Value):
    """The jobs that are deployed, and their runs that ended within a window."""

    jobs: tuple[str, ...]
    runs: tuple[JobRun, ...]


class Window(Value):
    """From `since` until (excluded) `until`."""

    since: datetime
    until: datetime

    def has(self, when: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.since <= when < self.until


def window(previous: Collection | None, at: datetime, settle: timedelta) -> Window:
    """Return the window of runs that a collection counts: it begins where the previous one ended.

    It ends `settle` before the collection, because a worker reports a run's end a moment after it.
    """
    until = at - settle
    counted = previous.values(of.RUNS_UNTIL).get(()) if previous else None
    since = until - FIRST_LOOK if counted is None else datetime.fromtimestamp(counted, UTC)
    return Window(since=min(since, until), until=until)


def run_samples(previous: Collection | None, found: JobRuns) -> Iterator[Sample]:
    """Yield counters that go on from the previous collection, and how the last run of each job went.

    A job that is no longer deployed keeps its counters and loses its last run, so that its age alarms nobody.
    """
    values: dict[tuple[Metric, tuple[str, ...]], float] = defaultdict(float)
    for metric in (*COUNTERS, *LAST_RUN):
        for labels, value in previous.values(metric).items() if previous else ():
            values[metric, labels] = value
    for run in sorted(found.runs, key=lambda each: each.ended_at):
        job = (run.job,)
        values[of.JOB_RUNS, (run.job, run.outcome)] += 1
        if run.outcome == CANCELLED:
            continue
        values[of.JOB_RUN_SECONDS, job] += run.duration_seconds
        values[of.JOB_QUEUE_SECONDS, job] += run.queue_delay_seconds
        values[of.LAST_RUN_TIMESTAMP, job] = run.ended_at.timestamp()
        values[of.LAST_RUN_DURATION, job] = run.duration_seconds
        values[of.LAST_RUN_QUEUE_DELAY, job] = run.queue_delay_seconds
        values[of.LAST_RUN_SUCCESS, job] = run.outcome == COMPLETED
    known = {*found.jobs, *(run.job for run in found.runs)}
    for (metric, labels), value in values.items():
        if metric in COUNTERS or labels[0] in known:
            yield metric.sample(value, *labels)


def samples_of(run: JobRun) -> list[Sample]:
    """Return the samples of a single run; they are stored with the time at which it ended."""
    labels = (run.job, run.outcome)
    return [
        of.RUN_DURATION.sample(run.duration_seconds, *labels),
        of.RUN_QUEUE_DELAY.sample(run.queue_delay_seconds, *labels),
    ]
