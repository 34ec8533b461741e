"""collect-metrics: measure the jobs, grants, accounts, quotas and tables, and keep the figures as a time series.

Runs every half hour. What to do when it is red: docs/operations.md.
"""

from datetime import timedelta
from functools import partial

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import METRICS_JOB
from sivera.metrics.options import CollectOptions
from sivera.metrics.page import metrics_charts, metrics_page
from sivera.metrics.summary import CollectionSummary
from tasks.job import job
from tasks.metrics import begin, collect, forget, publish_summary, push, read_runs
from tasks.pages import show_summary
from tasks.staleness import long_past

STALE_AFTER = timedelta(minutes=20)
"""A run whose time is longer past, as after a downtime, would measure nothing of then."""


@job(METRICS_JOB, timeout_seconds=120, skip=partial(long_past, STALE_AFTER))
def collect_metrics(options: CollectOptions = CollectOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Measure how things stand now, store the samples, and show and export them.

    The samples are stored before they go anywhere: an endpoint that does not take them leaves the run red, and nothing
    lost.
    """
    turn = begin(options)
    found = read_runs(turn)
    collection = collect(turn, found)
    pushed = push(collection, return_state=True)
    summary = CollectionSummary.of(
        collection, len(found.runs), forget(turn, options), pushed.result(raise_on_failure=False)
    )
    publish_summary(summary)
    charts = partial(metrics_charts, collection, timedelta(hours=options.chart_hours))
    show_summary(METRICS_JOB, summary, metrics_page, charts, return_state=True)
    return (Failed if summary.failure else Completed)(message=summary.sentence)
