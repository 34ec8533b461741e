"""The charts of collect-metrics over time, in Vega-Lite: the age of the data, and how long runs took."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sivera.metrics.definitions import Sample
from sivera.pages import PLATFORM_COLOURS, WIDTH

Series = Sequence[tuple[datetime, Sample]]


def ages(series: Series) -> dict[str, Any]:
    """Return a chart of the age that nine of ten accounts of each platform stay below."""
    rows = [
        {"at": at.isoformat(), "platform": sample.labels["platform"], "minutes": sample.value / 60}
        for at, sample in series
        if sample.labels["quantile"] == "0.9"
    ]
    chart = _over_time(rows, {"type": "line", "point": True}, "minutes", "platform")
    chart["encoding"]["color"]["scale"] = {"domain": list(PLATFORM_COLOURS), "range": list(PLATFORM_COLOURS.values())}
    return chart


def durations(series: Series) -> dict[str, Any]:
    """Return a chart with a point for each run of each job; its shape is the outcome."""
    rows = [{"at": at.isoformat(), **sample.labels, "seconds": sample.value} for at, sample in series]
    chart = _over_time(rows, {"type": "point", "filled": True}, "seconds", "job")
    legend = {"orient": "bottom"}
    chart["encoding"]["shape"] = {"field": "outcome", "type": "nominal", "title": None, "legend": legend}
    return chart


def _over_time(rows: list[dict[str, object]], mark: dict[str, object], amount: str, part: str) -> dict[str, Any]:
    axis = {"format": "%a %H:%M", "tickCount": 8, "labelOverlap": "greedy"}
    # Beside the chart, the legend would be wider than the UI's column.
    legend = {"orient": "top", "columns": 3}
    return {
        "data": {"values": rows},
        "mark": mark,
        "encoding": {
            "x": {"field": "at", "type": "temporal", "title": "UTC", "scale": {"type": "utc"}, "axis": axis},
            "y": {"field": amount, "type": "quantitative", "title": amount, "scale": {"zero": True}},
            "color": {"field": part, "type": "nominal", "title": None, "legend": legend},
        },
        "width": WIDTH,
        "height": 200,
    }
