"""The page of a report: one HTML file that needs nothing else, neither network nor script."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sivera.reports.drawing import draw
from sivera.reports.figures import Figures, Section, change
from sivera.reports.report import Made, Report
from sivera.reports.rules import CHART_DAYS
from sivera.reports.texts import PLATFORM_NAMES, UNDEFINED, Language, Writer

MOST_LINES = 50
"""Accounts and campaigns of a currency: a page of thousands of rows does not open on a phone. The CSV file has all."""

MOST_MISSING = 10
"""Of the accounts whose figures are not complete: they stand above all figures."""

MEASURES = ("spend", "impressions", "clicks", "ctr", "cpc", "conversions", "cpa", "roas")
MORE_IS_BAD = frozenset({"cpc", "cpa"})
MORE_IS_NEITHER = frozenset({"spend"})


class Delta(NamedTuple):
    """A change as it is written, and whether it is `good`, `bad` or neither (an empty text)."""

    text: str
    mood: str


def render(report: Report, made: Made, language: Language) -> str:
    """Write a report as HTML."""
    writer = Writer(language)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            made=made,
            t=writer.text,
            writer=writer,
            measures=MEASURES,
            value=partial(_value, writer),
            change=partial(_change, writer),
            charts=partial(_charts, report, writer),
            platform=PLATFORM_NAMES.__getitem__,
            provisional=report.provisional(made.at.date()),
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


def _charts(report: Report, writer: Writer, section: Section) -> Iterator[tuple[str, Markup]]:
    points = [point for point in report.points if point.currency == section.currency]
    if points:
        yield writer.text("chart_spend", days=CHART_DAYS), Markup(draw(points, "spend", report.day, writer))  # noqa: S704 - of numbers, days and platforms
    if any(point.conversions for point in points):
        yield writer.text("chart_conversions", days=CHART_DAYS), Markup(draw(points, "conversions", report.day, writer))  # noqa: S704 - as above


def _value(writer: Writer, figures: Figures, measure: str, currency: str) -> str:
    money = partial(writer.money, currency=currency)
    forms: dict[str, Callable[..., str]] = {
        "spend": money,
        "cpc": money,
        "cpa": money,
        "ctr": writer.percent,
        "roas": writer.multiple,
    }
    return forms.get(measure, writer.count)(getattr(figures, measure))


def _change(writer: Writer, now: Figures, before: Figures, measure: str) -> Delta:
    share = change(getattr(now, measure), getattr(before, measure))
    if not share or measure in MORE_IS_NEITHER:
        return Delta(writer.change(share), "")
    return Delta(writer.change(share), "bad" if (share > 0) == (measure in MORE_IS_BAD) else "good")
