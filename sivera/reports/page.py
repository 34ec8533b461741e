"""The page of a report: one HTML file that needs nothing else, neither network nor script."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import cache, partial
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sivera.charts import to_svg
from sivera.reports.figures import Figures, Point, Report, Section, change
from sivera.reports.rules import CHART_DAYS, days_between
from sivera.reports.texts import PLATFORM_NAMES, UNDEFINED, Language, Writer
from sivera.values import PlatformName

MOST_LINES = 50
"""Accounts and campaigns of a currency: a page of thousands of rows does not open on a phone. The CSV file has all."""

MOST_MISSING = 10
"""Accounts with incomplete figures: they stand above all figures."""

MEASURES = ("spend", "impressions", "clicks", "ctr", "cpc", "conversions", "cpa", "roas")
MONEY = ("spend", "cpc", "cpa")
PATTERNS = {"ctr": "#,##0.00%", "roas": "#,##0%"}
MORE_IS_BAD = ("cpc", "cpa")

CHART_WIDTH, CHART_HEIGHT = 330, 150
"""In pixels: the texts are readable at the width of a phone."""

COLORS = dict(zip(PlatformName, ("#3b6fb6", "#e08a3c", "#4f9d69", "#8a63b8"), strict=True))
"""Colors that most people with a color vision deficiency can tell apart."""


class Delta(NamedTuple):
    """A change as it is written, and whether it is `good`, `bad` or neither (an empty text)."""

    text: str
    mood: str


def render(report: Report, at: datetime, language: Language) -> str:
    """Write a report as HTML.

    Args:
        report: What it says.
        at: When it is written, in the team's time zone.
        language: The team's language.
    """
    writer = Writer(language)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            at=at,
            t=writer.text,
            writer=writer,
            measures=MEASURES,
            value=partial(_value, writer),
            change=partial(_change, writer),
            charts=partial(_charts, report, writer),
            platform=PLATFORM_NAMES.__getitem__,
            provisional=report.provisional(at.date()),
            most_lines=MOST_LINES,
            most_missing=MOST_MISSING,
            undefined=UNDEFINED,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("sivera.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _value(writer: Writer, figures: Figures, measure: str, currency: str) -> str:
    value = getattr(figures, measure)
    if measure in MONEY:
        return writer.money(value, currency)
    return writer.number(value, PATTERNS[measure]) if measure in PATTERNS else writer.number(value)


def _change(writer: Writer, now: Figures, before: Figures, measure: str) -> Delta:
    share = change(getattr(now, measure), getattr(before, measure))
    text = writer.number(share, "+#,##0.0%;-#,##0.0%")
    if not share or measure == "spend":
        return Delta(text, "")
    return Delta(text, "bad" if (share > 0) == (measure in MORE_IS_BAD) else "good")


def _charts(report: Report, writer: Writer, section: Section) -> Iterator[tuple[str, Markup]]:
    points = [point for point in report.points if point.currency == section.currency]
    for measure in ("spend", "conversions"):
        if any(getattr(point, measure) for point in points):
            svg = _draw(points, measure, report.day, writer)
            # It holds numbers, days and platforms, and no name that a person chose.
            yield writer.text(f"chart_{measure}", days=CHART_DAYS), Markup(svg)  # noqa: S704


def _draw(points: Sequence[Point], measure: str, day: date, writer: Writer) -> str:
    """Draw a bar for each of the last days until `day`, stacked by platform."""
    import altair as alt  # noqa: PLC0415 - takes half a second, which a flow should not wait for at its start

    rows = [
        {"day": writer.short_day(one.day), "platform": PLATFORM_NAMES[one.platform], measure: getattr(one, measure)}
        for one in points
    ]
    days = [writer.short_day(one) for one in days_between(day - timedelta(days=CHART_DAYS - 1), day)]
    colors = {PLATFORM_NAMES[name]: COLORS[name] for name in sorted({point.platform for point in points})}
    chart = (
        alt.Chart(alt.InlineData([row | {measure: float(row[measure])} for row in rows]))
        .mark_bar()
        .encode(
            x=alt.X(
                "day:N",
                title=None,
                scale=alt.Scale(domain=days),
                axis=alt.Axis(values=days[::-7], labelAngle=0, labelOverlap=False, ticks=False),
            ),
            # SI prefixes, as in 1.2M: the axis is as wide for yen as for dollars.
            y=alt.Y(f"{measure}:Q", title=None, axis=alt.Axis(format="~s", tickCount=4, domain=False)),
            color=alt.Color(
                "platform:N",
                title=None,
                scale=alt.Scale(domain=list(colors), range=list(colors.values())),
                legend=alt.Legend(orient="top") if len(colors) > 1 else None,
            ),
        )
        .properties(
            width=CHART_WIDTH,
            height=CHART_HEIGHT,
            background="transparent",
            padding={"left": 8, "right": 24, "top": 5, "bottom": 5},
        )
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=11, gridColor="#e4e7eb", labelColor="#52606d")
        .configure_legend(labelFontSize=11, labelColor="#52606d")
    )
    return to_svg(chart)
