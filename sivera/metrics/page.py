"""The page of a run of collect-metrics: the figures that `sivera status` prints, and charts of how they changed."""

from collections import Counter
from datetime import timedelta

from sqlalchemy.orm import Session

from sivera import pages
from sivera.charts import to_markdown_image, to_svg
from sivera.metrics import pictures
from sivera.metrics.collecting import CollectionSummary
from sivera.metrics.definitions import EXPIRY_BUCKETS, GRANTS_BY_EXPIRY, RUN_DURATION, SYNC_AGE, Collection
from sivera.metrics.queries import read_series
from sivera.metrics.tables import tables


def metrics_page(job: str, summary: CollectionSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
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
        "Age of the data that nine of ten accounts stay below, in minutes": pictures.ages(
            read_series(session, SYNC_AGE, since)
        ),
        "How long runs took, in seconds": pictures.durations(read_series(session, RUN_DURATION, since)),
    }
    grants: Counter[tuple[str, str]] = Counter()
    for (platform, _, bucket), count in collection.values(GRANTS_BY_EXPIRY).items():
        grants[bucket, platform] += round(count)
    title = "Working grants by when the access token ends"
    return [
        *(f"### {title}\n\n{to_markdown_image(to_svg(chart), title)}" for title, chart in charts.items()),
        pages.bars(title, grants, bar=EXPIRY_BUCKETS, part=pages.PLATFORM_COLOURS, count="grants"),
    ]
