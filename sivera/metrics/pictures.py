"""The charts of collect-metrics over time: the age of the data, and how long runs took."""

from collections.abc import Sequence
from datetime import datetime

import altair as alt

from sivera.metrics.definitions import Sample
from sivera.pages import PLATFORM_COLOURS, WIDTH

Series = Sequence[tuple[datetime, Sample]]


def ages(series: Series) -> alt.Chart:
    """Draw the age that nine of ten accounts of each platform stay below."""
    rows = [
        {"at": at.isoformat(), "platform": sample.labels["platform"], "minutes": sample.value / 60}
        for at, sample in series
        if sample.labels["quantile"] == "0.9"
    ]
    scale = alt.Scale(domain=list(PLATFORM_COLOURS), range=list(PLATFORM_COLOURS.values()))
    return _over_time(_chart(rows).mark_line(point=True), "minutes", "platform", scale)


def durations(series: Series) -> alt.Chart:
    """Draw a point for each run of each job; its shape is the outcome."""
    rows = [{"at": at.isoformat(), **sample.labels, "seconds": sample.value} for at, sample in series]
    chart: alt.Chart = _over_time(_chart(rows).mark_point(filled=True), "seconds", "job", alt.Scale())
    return chart.encode(shape=alt.Shape("outcome:N", title=None, legend=alt.Legend(orient="bottom")))


def _chart(rows: list[dict[str, object]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=rows), width=WIDTH, height=200)


def _over_time(chart: alt.Chart, amount: str, part: str, colours: alt.Scale) -> alt.Chart:
    axis = alt.Axis(format="%a %H:%M", tickCount=8, labelOverlap="greedy")
    encoded: alt.Chart = chart.encode(
        x=alt.X("at:T", title="UTC", scale=alt.Scale(type="utc"), axis=axis),
        y=alt.Y(f"{amount}:Q", title=amount, scale=alt.Scale(zero=True)),
        # Beside the chart, the legend would be wider than the UI's column.
        color=alt.Color(f"{part}:N", title=None, legend=alt.Legend(orient="top", columns=3), scale=colours),
    )
    return encoded
