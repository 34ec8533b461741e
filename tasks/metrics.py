"""The steps of collect-metrics."""

import os
from datetime import timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed

from blocks.names import METRICS_JOB
from blocks.server import connect
from sivera.errors import ConfigurationError
from sivera.metrics import collecting
from sivera.metrics.collecting import Turn
from sivera.metrics.definitions import Collection
from sivera.metrics.options import CollectOptions
from sivera.metrics.runs import JobRuns
from sivera.metrics.summary import CollectionSummary
from sivera.settings import read_daily_calls
from tasks import resources
from tasks.announcing import announce
from tasks.job_runs import ended_runs
from tasks.pages import show_table

OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@task(name="begin", task_run_name="begin", cache_policy=NO_CACHE)
def begin(options: CollectOptions) -> Turn:
    """Read the time, and where the last collection ended."""
    return collecting.begin(resources.engine(), timedelta(seconds=options.settle_seconds))


@task(name="read-runs", task_run_name="read-runs", cache_policy=NO_CACHE)
def read_runs(turn: Turn) -> JobRuns:
    """Ask the Prefect server for our jobs, and for their runs that have ended since the last collection."""
    with connect() as client:
        return ended_runs(client, turn.window)


@task(name="collect", task_run_name="collect", cache_policy=NO_CACHE)
def collect(turn: Turn, found: JobRuns) -> Collection:
    """Measure how things stand, and store the samples."""
    return collecting.collect(resources.engine(), turn, found, read_daily_calls(), resources.last_backup())


@task(name="push", task_run_name="push", cache_policy=NO_CACHE, persist_result=False)
def push(collection: Collection) -> bool | State | None:
    """Push the samples by OTLP where an endpoint is configured; else do nothing, and return None."""
    if not any(os.environ.get(name) for name in OTLP_ENDPOINTS):
        return None
    from sivera.metrics import otlp  # noqa: PLC0415 - loaded only by those who use it

    if otlp.push(collection):
        return True
    reason = f"the endpoint of {' or '.join(OTLP_ENDPOINTS)} did not take them: see the log of this run"
    return Failed(message=reason, data=ConfigurationError(reason))


@task(name="forget", task_run_name="forget", cache_policy=NO_CACHE)
def forget(turn: Turn, options: CollectOptions) -> int:
    """Delete the samples that are too old."""
    return collecting.forget(resources.engine(), turn.at, timedelta(days=options.keep_days))


@task(name="publish-summary", task_run_name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: CollectionSummary) -> None:
    """Show the figures as a table, and tell the world by an event."""
    show_table("collect-metrics-figures", f"{summary.sentence}.", list(summary.rows()))
    announce(
        METRICS_JOB,
        success=summary.failure is None,
        processed=len(summary.collection.samples),
        failed=int(summary.failure is not None),
        runs=summary.runs,
        deleted=summary.deleted,
    )
