"""How job runs are counted, as pure functions, and the known quotas of platforms."""

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
    # Operations a day with Basic access. Explorer access has 2,880, Standard access more.
    PlatformName.GOOGLE: 15_000,
    # Meta's replies say how much is used. Amazon publishes no number. TikTok limits calls per second.
}


class JobRun(Value):
    """A finished run of a job. If it never started, its duration and its queue delay are 0."""

    job: str
    outcome: str
    ended_at: datetime
    duration_seconds: float = 0.0
    queue_delay_seconds: float = 0.0


class JobStatus(Value):
    """A job, its last run that was not cancelled, and when the next one is due."""

    name: str
    last: JobRun | None
    next_at: datetime | None


class JobRuns(Value):
    """The deployed jobs, and the runs that ended within a window."""

    jobs: tuple[str, ...]
    runs: tuple[JobRun, ...]


class Window(Value):
    """A time span that includes `since` and excludes `until`."""

    since: datetime
    until: datetime

    def has(self, when: datetime) -> bool:
        """Whether it includes a time."""
        return self.since <= when < self.until


def window(previous: Collection | None, at: datetime, settle: timedelta) -> Window:
    """Return the window of runs that a collection counts, which starts where the previous one ended.

    It ends `settle` before the collection, because workers report the end of a run with a delay.
    """
    until = at - settle
    counted = previous.values(of.RUNS_UNTIL).get(()) if previous else None
    since = until - FIRST_LOOK if counted is None else datetime.fromtimestamp(counted, UTC)
    return Window(since=min(since, until), until=until)


def run_samples(previous: Collection | None, found: JobRuns) -> Iterator[Sample]:
    """Yield the counters, which continue from the previous collection, and the result of each job's last run.

    A job that is no longer deployed keeps its counters. Its last run is dropped, because the age of that would alarm.
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
    """Return the samples of a single run."""
    labels = (run.job, run.outcome)
    return [
        of.RUN_DURATION.sample(run.duration_seconds, *labels),
        of.RUN_QUEUE_DELAY.sample(run.queue_delay_seconds, *labels),
    ]
