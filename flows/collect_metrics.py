"""collect-metrics: measure the jobs, grants, accounts, quotas and tables, and keep the figures as a time series.

Runs every half hour. What to do when it is red: docs/operations.md.
"""

from datetime import timedelta
from functools import partial

from prefect.client.schemas.objects import State
from prefect.states import Completed

from blocks.names import METRICS_JOB
from sivera.metrics.collecting import CollectionSummary
from sivera.metrics.options import CollectOptions
from sivera.metrics.page import metrics_charts, metrics_page
from tasks.job import job
from tasks.metrics import begin, collect, forget, publish_summary, read_runs
from tasks.pages import show_summary
from tasks.staleness import long_past

STALE_AFTER = timedelta(minutes=20)
"""A run that is later than this, as after a downtime, is skipped: it cannot measure the past."""


@job(METRICS_JOB, timeout_seconds=120, skip=partial(long_past, STALE_AFTER))
def collect_metrics(options: CollectOptions = CollectOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Measure the current state, store the samples, and show them."""
    turn = begin(options)
    found = read_runs(turn)
    collection = collect(turn, found)
    summary = CollectionSummary(collection=collection, runs=len(found.runs), deleted=forget(turn, options))
    publish_summary(summary)
    charts = partial(metrics_charts, collection, timedelta(hours=options.chart_hours))
    show_summary(METRICS_JOB, summary, metrics_page, charts, return_state=True)
    return Completed(message=summary.sentence)
