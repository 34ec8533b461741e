"""The steps of collect-metrics."""

from datetime import timedelta

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
from tasks.naming import step
from tasks.pages import show_table


@step("begin")
def begin(options: CollectOptions) -> Turn:
    """Read the time, and when the last collection ended."""
    return collecting.begin(resources.engine(), timedelta(seconds=options.settle_seconds))


@step("read-runs")
def read_runs(turn: Turn) -> JobRuns:
    """Read our jobs, and their runs that ended since the last collection, from the Prefect server."""
    with connect() as client:
        return ended_runs(client, turn.window)


@step("collect")
def collect(turn: Turn, found: JobRuns) -> Collection:
    """Measure the current state, and store the samples."""
    return collecting.collect(resources.engine(), turn, found, read_daily_calls(), last_backup(turn.at))


@step("forget")
def forget(turn: Turn, options: CollectOptions) -> int:
    """Delete old samples."""
    return collecting.forget(resources.engine(), turn.at - timedelta(days=options.keep_days))


@step("publish-summary")
def publish_summary(summary: CollectionSummary) -> None:
    """Show the samples as a table, and announce the result."""
    show_table("collect-metrics-figures", f"{summary.sentence}.", summary.rows())
    count = len(summary.collection.samples)
    announce(success=True, processed=count, failed=0, runs=summary.runs, deleted=summary.deleted)
