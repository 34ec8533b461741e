"""The steps of collect-metrics."""

import os
from datetime import timedelta

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed
from sqlalchemy.orm import Session

from blocks.names import METRICS_JOB
from blocks.server import connect
from sivera.errors import ConfigurationError
from sivera.metrics import collecting
from sivera.metrics.collecting import Turn
from sivera.metrics.definitions import RUN_DURATION, SYNC_AGE, Collection
from sivera.metrics.options import CollectOptions
from sivera.metrics.runs import JobRuns
from sivera.metrics.summary import CollectionSummary
from sivera.queries.samples import read_series
from sivera.settings import read_daily_calls
from tasks import resources
from tasks.announcing import announce
from tasks.job_runs import ended_runs

OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@task(name="begin", cache_policy=NO_CACHE)
def begin(options: CollectOptions) -> Turn:
    """Read the time, and where the last collection ended."""
    return collecting.begin(resources.engine(), timedelta(seconds=options.settle_seconds))


@task(name="read-runs", cache_policy=NO_CACHE)
def read_runs(turn: Turn) -> JobRuns:
    """Ask the Prefect server for our jobs, and for their runs that have ended since the last collection."""
    with connect() as client:
        return ended_runs(client, turn.window)


@task(name="collect", cache_policy=NO_CACHE)
def collect(turn: Turn, found: JobRuns) -> Collection:
    """Measure how things stand, and store the samples."""
    return collecting.collect(resources.engine(), turn, found, read_daily_calls())


@task(name="push", cache_policy=NO_CACHE, persist_result=False)
def push(collection: Collection) -> bool | State | None:
    """Push the samples by OTLP where an endpoint is configured; else do nothing, and return None."""
    if not any(os.environ.get(name) for name in OTLP_ENDPOINTS):
        return None
    from sivera.metrics import otlp  # noqa: PLC0415 - loaded only by those who use it

    if otlp.push(collection):
        return True
    reason = f"the endpoint of {' or '.join(OTLP_ENDPOINTS)} did not take them: see the log of this run"
    return Failed(message=reason, data=ConfigurationError(reason))


@task(name="forget", cache_policy=NO_CACHE)
def forget(turn: Turn, options: CollectOptions) -> int:
    """Delete the samples that are too old."""
    return collecting.forget(resources.engine(), turn.at, timedelta(days=options.keep_days))


@task(name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: CollectionSummary, options: CollectOptions) -> None:
    """Show the figures as a table and as charts, and tell the world by an event."""
    create_table_artifact(
        key="collect-metrics-figures", description=summary.sentence, table=[dict(row) for row in summary.rows()]
    )
    create_markdown_artifact(
        key="collect-metrics-charts", description=summary.sentence, markdown=_charts(summary, options)
    )
    announce(
        METRICS_JOB,
        success=summary.failure is None,
        processed=len(summary.collection.samples),
        failed=int(summary.failure is not None),
        runs=summary.runs,
        deleted=summary.deleted,
    )


def _charts(summary: CollectionSummary, options: CollectOptions) -> str:
    # A second to load, which a flow that is only imported need not wait for.
    from sivera.charts import to_markdown_image, to_svg  # noqa: PLC0415
    from sivera.metrics.pictures import draw  # noqa: PLC0415

    since = summary.collection.at - timedelta(hours=options.chart_hours)
    with Session(resources.engine()) as session:
        series = {metric.name: read_series(session, metric, since) for metric in (SYNC_AGE, RUN_DURATION)}
    charts = draw(summary.collection, series)
    return "\n\n".join(f"## {title}\n\n{to_markdown_image(to_svg(chart), title)}" for title, chart in charts)
