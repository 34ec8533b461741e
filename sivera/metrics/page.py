"""The page of a run of collect-metrics: the figures that `sivera status` prints, and charts of how they changed."""

from datetime import timedelta

from sqlalchemy.orm import Session

from sivera import pages
from sivera.charts import to_markdown_image, to_svg
from sivera.metrics.collecting import CollectionSummary
from sivera.metrics.definitions import RUN_DURATION, SYNC_AGE, Collection
from sivera.metrics.queries import read_series
from sivera.metrics.tables import last_runs, tables


def metrics_page(job: str, summary: CollectionSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    figures = summary.collection
    shown = [
        f"### {table.title}\n\n{pages.table(table.columns, table.rows)}"
        for table in (last_runs(figures), *tables(figures))
        if table.rows
    ]
    return pages.page(job, summary.sentence, *shown, *charts)


def metrics_charts(collection: Collection, back: timedelta, session: Session) -> list[str]:
    """Draw the age of the data, when grants end, and how long runs took."""
    from sivera.metrics.pictures import draw  # noqa: PLC0415 - altair takes a second to load

    series = {metric.name: read_series(session, metric, collection.at - back) for metric in (SYNC_AGE, RUN_DURATION)}
    return [f"### {title}\n\n{to_markdown_image(to_svg(chart), title)}" for title, chart in draw(collection, series)]
