"""The page of a report: one HTML file that needs neither network nor script."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache, partial
from math import floor, log10
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from sivera.pages import PLATFORM_COLOURS
from sivera.reports.coverage import Known
from sivera.reports.figures import OF_ONE_PLATFORM, Figures, Report, Section, change, comparable
from sivera.reports.rules import CHART_DAYS, chart_since
from sivera.reports.texts import PLATFORM_NAMES, UNDEFINED, Language, Writer
from sivera.values import one_line

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_LINES = 50
"""Accounts or campaigns in a table: a phone cannot open a page of thousands of rows. The CSV file has all of them."""

MOST_MISSING = 10
"""Entries in each list above the figures."""

MEASURES = ("spend", "impressions", "clicks", "ctr", "cpc", "conversions", "cpa", "roas")
MONEY = ("spend", "cpc", "cpa")
PATTERNS = {"ctr": "#,##0.00%", "roas": "#,##0%"}
MORE_IS_BAD = ("cpc", "cpa")


class Delta(NamedTuple):
    """The text of a change, and whether it is "good", "bad" or neither ("")."""

    text: str
    mood: str


class Chart(NamedTuple):
    """Stacked bars. Days are counted from 0, and heights are shares of the highest tick.

    `bars` hold day, bottom, height and colour; `ticks` height and label; `days` day and label. `gaps` are the days with
    incomplete figures.
    """

    title: str
    bars: list[tuple[int, float, float, str]]
    ticks: list[tuple[float, str]]
    days: list[tuple[int, str]]
    colours: dict[str, str]
    gaps: list[int]


def render(report: Report, at: datetime, language: Language) -> str:
    """Write a report as HTML. `at` is the time of writing, in the team's time zone."""
    writer = Writer(language)
    template = _environment().get_template("page.html.j2")
    return template.render(
        report=report,
        at=at,
        t=writer.text,
        writer=writer,
        measures=MEASURES,
        measures_of=_measures_of,
        value=partial(_value, writer),
        note=partial(_note, writer),
        change=partial(_change, writer),
        charts=partial(_charts, report, writer),
        platform=PLATFORM_NAMES.__getitem__,
        conversion=partial(writer.conversion, report.meta_conversion),
        provisional=report.provisional(at.date()),
        most_lines=MOST_LINES,
        most_missing=MOST_MISSING,
        undefined=UNDEFINED,
    )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - most runs write no report

    environment = Environment(
        loader=PackageLoader("sivera.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["name"] = _name
    return environment


def _name(text: str) -> Markup:
    """Return a name as text that is not markup and does not change the direction of the text around it."""
    return Markup("<bdi>{}</bdi>").format(one_line(text))


def _measures_of(section: Section) -> tuple[str, ...]:
    return tuple(name for name in MEASURES if section.is_of_one_platform or name not in OF_ONE_PLATFORM)


def _note(writer: Writer, figures: Figures) -> str:
    """Say which part of a period is known, if not all of it is."""
    if figures.known is not Known.PART:
        return ""
    return writer.text("since", day=writer.short_day(figures.since)) if figures.since else writer.text("part")


def _value(writer: Writer, figures: Figures, measure: str, currency: str, *, only_spend: bool = False) -> str:
    if not figures.is_shown:
        return writer.text(figures.known.value)
    if only_spend and measure != "spend":
        return writer.text("not_reported")
    value = getattr(figures, measure)
    if measure in MONEY:
        return writer.money(value, currency)
    return writer.number(value, PATTERNS[measure]) if measure in PATTERNS else writer.number(value)


def _change(writer: Writer, now: Figures, before: Figures, measure: str) -> Delta:
    if not comparable(now, before):
        return Delta(writer.text("not_comparable"), "")
    share = change(getattr(now, measure), getattr(before, measure))
    text = writer.number(share, "+#,##0.0%;-#,##0.0%")
    if not share or measure == "spend":
        return Delta(text, "")
    return Delta(text, "bad" if (share > 0) == (measure in MORE_IS_BAD) else "good")


def _charts(report: Report, writer: Writer, section: Section) -> Iterator[Chart]:
    """Yield a chart for each measure with figures: one bar per day, stacked by platform."""
    points = [point for point in report.points if point.currency == section.currency]
    first = chart_since(report.day)
    gaps = [(day - first).days for day in section.gaps]
    days = [(n, writer.short_day(first + timedelta(days=n))) for n in range(CHART_DAYS - 1, -1, -7)]
    colours = {PLATFORM_NAMES[name]: PLATFORM_COLOURS[name] for name in sorted({point.platform for point in points})}
    for measure in ("spend", "conversions"):
        found = [((one.day - first).days, one.platform, float(getattr(one, measure))) for one in points]
        heights: dict[int, float] = defaultdict(float)
        bars = []
        for at, platform, value in found:
            bars.append((at, heights[at], value, PLATFORM_COLOURS[platform]))
            heights[at] += value
        if (highest := max(heights.values(), default=0)) > 0:
            step = 10 ** floor(log10(highest))
            top = next(step * n for n in (1, 2, 4, 10) if step * n >= highest)
            ticks = [(share, writer.compact(top * share)) for share in (0, 0.5, 1)]
            bars = [(at, below / top, value / top, colour) for at, below, value, colour in bars]
            yield Chart(writer.text(f"chart_{measure}", days=CHART_DAYS), bars, ticks, days, colours, gaps)
