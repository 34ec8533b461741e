"""The steps of collect-metrics."""

from datetime import timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.names import METRICS_JOB
from blocks.server import connect
from sivera.metrics import collecting
from sivera.metrics.collecting import CollectionSummary, Turn
from sivera.metrics.definitions import Collection
from sivera.metrics.options import CollectOptions
from sivera.metrics.rules import JobRuns
from sivera.settings import read_daily_calls
from tasks import resources
from tasks.announcing import announce
from tasks.catalog import last_backup
from tasks.job_runs import ended_runs
from tasks.pages import show_table


@task(name="begin", task_run_name="begin", cache_policy=NO_CACHE)
def begin(options: CollectOptions) -> Turn:
    """Read the time, and where the last collection ended."""
    return collecting.begin(resources.engine(), timedelta(seconds=options.settle_seconds))


@task(name="read-runs", task_run_name="read-runs", cache_policy=NO_CACHE)
def read_runs(turn: Turn) -> JobRuns:
    """Read our jobs, and their runs that ended since the last collection, from the Prefect server."""
    with connect() as client:
        return ended_runs(client, turn.window)


@task(name="collect", task_run_name="collect", cache_policy=NO_CACHE)
def collect(turn: Turn, found: JobRuns) -> Collection:
    """Measure the current state, and store the samples."""
    return collecting.collect(resources.engine(), turn, found, read_daily_calls(), last_backup())


@task(name="forget", task_run_name="forget", cache_policy=NO_CACHE)
def forget(turn: Turn, options: CollectOptions) -> int:
    """Delete the samples that are too old."""
    return collecting.forget(resources.engine(), turn.at - timedelta(days=options.keep_days))


@task(name="publish-summary", task_run_name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: CollectionSummary) -> None:
    """Show the samples as a table, and announce the result."""
    show_table("collect-metrics-figures", f"{summary.sentence}.", summary.rows())
    announce(
        METRICS_JOB,
        success=True,
        processed=len(summary.collection.samples),
        failed=0,
        runs=summary.runs,
        deleted=summary.deleted,
    )
