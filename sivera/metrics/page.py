"""The page of a collect-metrics run: the figures that `sivera status` prints, and charts of how they changed."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from sivera import pages
from sivera.metrics.collecting import CollectionSummary
from sivera.metrics.definitions import EXPIRY_BUCKETS, GRANTS_BY_EXPIRY, RUN_DURATION, SYNC_AGE, Collection, Sample
from sivera.metrics.queries import read_series
from sivera.metrics.tables import tables

Series = Sequence[tuple[datetime, Sample]]


def metrics_page(job: str, summary: CollectionSummary, charts: list[str]) -> str:
    """Return the page as Markdown."""
    shown = [
        f"### {table.title}\n\n{pages.table(table.columns, table.rows)}"
        for table in tables(summary.collection)
        if table.rows
    ]
    return pages.page(job, summary.sentence, *shown, *charts)


def metrics_charts(collection: Collection, back: timedelta, session: Session) -> list[str]:
    """Draw the age of the data, when grants end, and how long runs took."""
    since = collection.at - back
    charts = {
        "Age of the data of nine out of ten accounts, at most, in minutes": ages(read_series(session, SYNC_AGE, since)),
        "How long runs took, in seconds": durations(read_series(session, RUN_DURATION, since)),
    }
    grants: Counter[tuple[str, str]] = Counter()
    for (platform, _, bucket), count in collection.values(GRANTS_BY_EXPIRY).items():
        grants[bucket, platform] += round(count)
    title = "Active grants by when the access token expires"
    return [
        *(pages.picture(title, chart) for title, chart in charts.items()),
        pages.bars(title, grants, bar=EXPIRY_BUCKETS, part=pages.PLATFORM_COLOURS, count="grants"),
    ]


def ages(series: Series) -> dict[str, Any]:
    """Return a chart of each platform's 90th percentile of the data's age."""
    rows = [
        {"at": at.isoformat(), "platform": sample.labels["platform"], "minutes": sample.value / 60}
        for at, sample in series
        if sample.labels["quantile"] == "0.9"
    ]
    chart = _over_time(rows, {"type": "line", "point": True}, "minutes", "platform")
    chart["encoding"]["color"]["scale"] = {
        "domain": list(pages.PLATFORM_COLOURS),
        "range": list(pages.PLATFORM_COLOURS.values()),
    }
    return chart


def durations(series: Series) -> dict[str, Any]:
    """Return a chart with a point for each run; the colour is the job and the shape the outcome."""
    rows = [{"at": at.isoformat(), **sample.labels, "seconds": sample.value} for at, sample in series]
    chart = _over_time(rows, {"type": "point", "filled": True}, "seconds", "job")
    legend = {"orient": "bottom"}
    chart["encoding"]["shape"] = {"field": "outcome", "type": "nominal", "title": None, "legend": legend}
    return chart


def _over_time(rows: list[dict[str, object]], mark: dict[str, object], amount: str, part: str) -> dict[str, Any]:
    axis = {"format": "%a %H:%M", "tickCount": 8, "labelOverlap": "greedy"}
    # A legend beside the chart would not fit the UI's column.
    legend = {"orient": "top", "columns": 3}
    return {
        "data": {"values": rows},
        "mark": mark,
        "encoding": {
            "x": {"field": "at", "type": "temporal", "title": "UTC", "scale": {"type": "utc"}, "axis": axis},
            "y": {"field": amount, "type": "quantitative", "title": amount, "scale": {"zero": True}},
            "color": {"field": part, "type": "nominal", "title": None, "legend": legend},
        },
        "width": pages.WIDTH,
        "height": 200,
    }
