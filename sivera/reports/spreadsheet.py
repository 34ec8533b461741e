"""The table of a report: a CSV file for Excel and LibreOffice."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any

from sivera.reports.figures import OF_ONE_PLATFORM, Figures, Line, Report, Section
from sivera.reports.rules import Period
from sivera.values import one_line

MEASURES = ("spend", "impressions", "clicks", "ctr", "cpc", "conversions", "conversion_value", "cpa", "roas")
NAMES = ("platform", "account_id", "account", "campaign_id", "campaign")
COLUMNS = ("day", "period", "currency", "level", *NAMES, *MEASURES, "known", "since", "why")

FORMULA_STARTS = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, full-width signs too (OWASP, "CSV Injection")."""

DECIMALS = Decimal("0.000001")


def to_csv(report: Report) -> bytes:
    """Write a report as CSV: a row for each line and period, and one for each account that is missing or begins late.

    `known` says how much of a period was read; `since` from which day on all of it was.

    It is UTF-8 with a byte order mark, which Excel needs. Numbers are plain, with a point and no separators;
    what is undefined or unknown is empty.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in _rows(report):
        writer.writerow({"day": report.day, **row})
    return text.getvalue().encode("utf-8-sig")


def _rows(report: Report) -> Iterator[dict[str, Any]]:
    for section in report.sections:
        levels = ("total", (section.total,)), ("platform", section.platforms)
        for level, lines in (*levels, ("account", section.accounts), ("campaign", section.campaigns)):
            for line, period in product(lines, Period):
                figures = line.figures[period]
                yield {
                    "period": period,
                    "currency": harmless(section.currency),
                    "level": "unattributed" if line.is_unattributed else level,
                    "platform": line.platform,
                    "account_id": line.account_id,
                    "account": harmless(line.account),
                    # Excel would round a long number; with the platform before it, it is a text.
                    "campaign_id": f"{line.platform}:{line.campaign_id}" if line.campaign_id else "",
                    "campaign": harmless(line.campaign),
                    **_measures(section, line, figures),
                }
    for one in report.missing:
        named = {"platform": one.platform, "account_id": one.id, "account": harmless(one.name)}
        yield {"level": "missing", **named, "why": one.why}
    for late in report.late:
        named = {"platform": late.platform, "account_id": late.id, "account": harmless(late.name)}
        yield {"level": "late", **named, "since": late.covered_since}


def _measures(section: Section, line: Line, figures: Figures) -> dict[str, object]:
    """Return the cells of a line; those of what nobody knows stay empty."""
    shown: tuple[str, ...] = MEASURES if figures.is_shown else ()
    if line.is_unattributed:
        shown = shown[:1]
    if line is section.total and not section.is_of_one_platform:
        shown = tuple(name for name in shown if name not in OF_ONE_PLATFORM)
    return {name: _number(getattr(figures, name)) for name in shown} | {
        "known": figures.known,
        "since": figures.since or "",
    }


def harmless(text: str) -> str:
    """Return a text on one line that no spreadsheet takes for a formula."""
    text = one_line(text)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


def _number(number: Decimal | int | None) -> str:
    return "" if number is None else f"{Decimal(number).quantize(DECIMALS).normalize():f}"
