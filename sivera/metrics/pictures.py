"""The charts of collect-metrics: the age of the data, when grants end, and how long runs took."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import altair as alt

from sivera.metrics.definitions import EXPIRY_BUCKETS, GRANTS_BY_EXPIRY, RUN_DURATION, SYNC_AGE, Collection, Sample
from sivera.pages import PLATFORM_COLOURS, WIDTH

HEIGHT = 200
PLATFORMS = {name.value: colour for name, colour in PLATFORM_COLOURS.items()}

Series = Sequence[tuple[datetime, Sample]]


def draw(collection: Collection, series: Mapping[str, Series]) -> Iterator[tuple[str, alt.Chart]]:
    """Yield charts, each with its title.

    Args:
        collection: The current figures.
        series: The samples of `SYNC_AGE` and `RUN_DURATION` to show, by the metric's name.
    """
    yield "Age of the data that nine of ten accounts stay below, in minutes", _sync_age(series[SYNC_AGE.name])
    yield "Working grants by when the access token ends", _grants(collection)
    yield "How long runs took, in seconds", _durations(series[RUN_DURATION.name])


def _sync_age(series: Series) -> alt.Chart:
    rows = [
        {"at": at.isoformat(), "platform": sample.labels["platform"], "minutes": sample.value / 60}
        for at, sample in series
        if sample.labels["quantile"] == "0.9"
    ]
    chart: alt.Chart = _chart(rows).mark_line(point=True).encode(x=_time(), y=_amount("minutes"), color=_platform())
    return chart


def _grants(collection: Collection) -> alt.Chart:
    rows = [
        {"platform": platform, "ends within": bucket, "grants": value}
        for (platform, _, bucket), value in collection.values(GRANTS_BY_EXPIRY).items()
    ]
    chart: alt.Chart = (
        _chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("ends within:N", sort=list(EXPIRY_BUCKETS), axis=alt.Axis(labelAngle=0)),
            y=alt.Y("sum(grants):Q", title="grants"),
            color=_platform(),
        )
    )
    return chart


def _durations(series: Series) -> alt.Chart:
    rows = [{"at": at.isoformat(), **sample.labels, "seconds": sample.value} for at, sample in series]
    chart: alt.Chart = (
        _chart(rows)
        .mark_point(filled=True)
        .encode(
            x=_time(),
            y=_amount("seconds"),
            color=alt.Color("job:N", title=None, legend=_legend()),
            shape=alt.Shape("outcome:N", title=None, legend=alt.Legend(orient="bottom")),
        )
    )
    return chart


def _chart(rows: list[dict[str, object]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=rows), width=WIDTH, height=HEIGHT)


def _time() -> alt.X:
    axis = alt.Axis(format="%a %H:%M", tickCount=8, labelOverlap="greedy")
    return alt.X("at:T", title="UTC", scale=alt.Scale(type="utc"), axis=axis)


def _platform() -> alt.Color:
    scale = alt.Scale(domain=list(PLATFORMS), range=list(PLATFORMS.values()))
    return alt.Color("platform:N", title=None, legend=_legend(), scale=scale)


def _legend() -> alt.Legend:
    # Beside the chart, it would be wider than the UI's column.
    return alt.Legend(orient="top", columns=3)


def _amount(field: str) -> alt.Y:
    return alt.Y(f"{field}:Q", title=field, scale=alt.Scale(zero=True))
