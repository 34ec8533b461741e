"""The charts of a report's page: what was spent and what came of it in the last weeks, by platform.

Nothing that people named stands in them: no account, no campaign.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Literal

from sivera.charts import compile_chart, fill_in
from sivera.reports.report import Point
from sivera.reports.rules import CHART_DAYS, DAY, days_between
from sivera.reports.texts import PLATFORM_NAMES, Language, Writer
from sivera.values import PlatformName

WIDTH, HEIGHT = 330, 150
"""Pixels, so that its texts can be read at the width of a phone."""

COLORS = ("#3b6fb6", "#e08a3c", "#4f9d69", "#8a63b8")
"""Told apart by most people who see colours differently; a platform has the same one in each report."""

POINTS = "points"

FONT = "system-ui, sans-serif"


Measure = Literal["spend", "conversions"]


def draw(points: Sequence[Point], what: Measure, day: date, writer: Writer) -> str:
    """Draw bars, a day each, as SVG.

    Args:
        points: Those of one currency.
        what: What their height is.
        day: The last day.
        writer: Writes the days.
    """
    values = [
        {"day": point.day.isoformat(), "platform": PLATFORM_NAMES[point.platform], what: float(getattr(point, what))}
        for point in points
    ]
    platforms = tuple(name for name in PlatformName if any(point.platform is name for point in points))
    return fill_in(_compiled(what, day, platforms, writer.language), {POINTS: values})


@lru_cache(maxsize=256)
def _compiled(what: Measure, day: date, platforms: tuple[PlatformName, ...], language: Language) -> dict[str, Any]:
    """The chart without its points: the teams of a night share a few of them."""
    import altair as alt  # noqa: PLC0415 - half a second, which no flow should take to start

    days = list(days_between(day - timedelta(days=CHART_DAYS - 1), day))
    # A day in the form of ISO 8601 keeps the order; the axis shows what `labels` makes of every seventh.
    ticks = [one.isoformat() for one in days if (day - one) % (7 * DAY) == timedelta()]
    writer = Writer(language)
    labels = " : ".join(f"datum.value == '{one}' ? '{writer.short_day(date.fromisoformat(one))}'" for one in ticks)
    # Numbers with an SI prefix: 1.2M. So the axis is as wide for yen as for dollars.
    chart = (
        alt.Chart(alt.NamedData(name=POINTS))
        .mark_bar()
        .encode(
            x=alt.X(
                "day:N",
                title=None,
                scale=alt.Scale(domain=[one.isoformat() for one in days]),
                axis=alt.Axis(values=ticks, labelExpr=f"{labels} : ''", labelAngle=0, labelOverlap=False, ticks=False),
            ),
            y=alt.Y(f"{what}:Q", title=None, axis=alt.Axis(format="~s", tickCount=4, domain=False)),
            color=alt.Color(
                "platform:N",
                title=None,
                scale=alt.Scale(
                    domain=[PLATFORM_NAMES[name] for name in platforms], range=[_color(name) for name in platforms]
                ),
                legend=alt.Legend(orient="top") if len(platforms) > 1 else None,
            ),
        )
        .properties(
            width=WIDTH,
            height=HEIGHT,
            background="transparent",
            padding={"left": 8, "right": 24, "top": 5, "bottom": 5},
        )
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=11, gridColor="#e4e7eb", labelColor="#52606d")
        .configure_legend(labelFontSize=11, labelColor="#52606d")
    )
    return compile_chart(chart)


def _color(platform: PlatformName) -> str:
    return COLORS[list(PlatformName).index(platform) % len(COLORS)]
