"""The rules of measuring, as pure functions: counting runs, and what is left of the platforms' quotas."""

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
    QUOTA_LEFT,
    RUN_DURATION,
    RUN_QUEUE_DELAY,
    RUNS_UNTIL,
    Collection,
    Metric,
    Sample,
)
from sivera.values import PlatformName, Value

FIRST_LOOK = timedelta(days=1)
"""How far back the first collection looks."""

COMPLETED, CANCELLED = "completed", "cancelled"
LAST_RUN = (LAST_RUN_TIMESTAMP, LAST_RUN_DURATION, LAST_RUN_QUEUE_DELAY, LAST_RUN_SUCCESS)
COUNTERS = (JOB_RUNS, JOB_RUN_SECONDS, JOB_QUEUE_SECONDS)


class JobRun(Value):
    """A run of a job that has ended. If it never began, its duration and its queue delay are 0."""

    job: str
    outcome: str
    ended_at: datetime
    duration_seconds: float = 0.0
    queue_delay_seconds: float = 0.0


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

    Args:
        previous: The last collection.
        at: When this one is.
        settle: What is left out at the window's end, because a worker reports a run's end a moment after it.
    """
    until = at - settle
    counted = previous.values(RUNS_UNTIL).get(()) if previous else None
    since = until - FIRST_LOOK if counted is None else datetime.fromtimestamp(counted, UTC)
    return Window(since=min(since, until), until=until)


def run_samples(previous: Collection | None, found: JobRuns) -> Iterator[Sample]:
    """Yield counters that go on from the previous collection, and how the last run of each job went.

    A job that is no longer deployed keeps its counters and loses its last run, so that its age alarms nobody.
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
    """Yield the samples of a single run; they are stored with the time at which it ended."""
    labels = {"job": run.job, "outcome": run.outcome}
    yield Sample(name=RUN_DURATION.name, labels=labels, value=run.duration_seconds)
    yield Sample(name=RUN_QUEUE_DELAY.name, labels=labels, value=run.queue_delay_seconds)


def _samples(metric: Metric, values: Mapping[tuple[str, ...], float]) -> Iterator[Sample]:
    for labels, value in values.items():
        yield Sample(name=metric.name, labels=dict(zip(metric.labels, labels, strict=True)), value=value)


DAILY_CALLS: dict[PlatformName, int] = {
    # Operations a day of a Cloud project with Basic access; Explorer access has 2,880, Standard has more.
    PlatformName.GOOGLE: 15_000,
    # Meta's answers say how much is used. Amazon publishes no number. TikTok limits calls a second.
}


class Used(Value):
    """The use of a platform's quotas: calls in the last 24 hours, and what the platform last reported."""

    platform: PlatformName
    calls_of_day: int
    used_percent: float | None


def quotas_left(used: Mapping[PlatformName, Used], daily_calls: Mapping[PlatformName, int]) -> Iterator[Sample]:
    """Yield what is left of each known quota, as a ratio from 0 to 1."""
    for platform, limit in daily_calls.items():
        calls = used[platform].calls_of_day if platform in used else 0
        yield _quota_left(platform, "calls_a_day", 1 - calls / limit)
    for platform, each in used.items():
        if each.used_percent is not None:
            yield _quota_left(platform, "said_by_platform", 1 - each.used_percent / 100)


def _quota_left(platform: PlatformName, quota: str, ratio: float) -> Sample:
    labels = {"platform": platform.value, "quota": quota}
    return Sample(name=QUOTA_LEFT.name, labels=labels, value=min(1.0, max(0.0, ratio)))
