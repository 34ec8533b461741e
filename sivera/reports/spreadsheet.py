"""The table of a report: a CSV file for Excel and LibreOffice."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from itertools import product

from sivera.reports.figures import OF_ONE_PLATFORM, Figures, Line, Report, Section
from sivera.reports.rules import Period
from sivera.values import PlatformName, one_line

MEASURES = ("spend", "impressions", "clicks", "ctr", "cpc", "conversions", "conversion_value", "cpa", "roas")
NAMES = ("platform", "account_id", "account", "campaign_id", "campaign")
COLUMNS = ("day", "period", "currency", "level", *NAMES, *MEASURES, "known", "since", "why")

FORMULA_STARTS = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Characters with which a formula can start in a spreadsheet, including full-width ones (OWASP, "CSV Injection")."""

DECIMALS = Decimal("0.000001")


def to_csv(report: Report) -> bytes:
    """Write a report as CSV: a row for each line and period, and for each account that is missing or starts late.

    It is UTF-8 with a byte order mark, which Excel needs. Numbers have a decimal point and no separators. Cells of
    undefined or unknown figures are empty.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in _rows(report):
        writer.writerow({"day": report.day, **row})
    return text.getvalue().encode("utf-8-sig")


def _rows(report: Report) -> Iterator[dict[str, object]]:
    for section in report.sections:
        levels = ("total", (section.total,)), ("platform", section.platforms)
        for level, lines in (*levels, ("account", section.accounts), ("campaign", section.campaigns)):
            for line, period in product(lines, Period):
                yield {
                    "period": period,
                    "currency": _harmless(section.currency),
                    "level": "unattributed" if line.is_unattributed else level,
                    **_account(line.platform, line.account_id, line.account),
                    # Excel would round a long number. With the platform in front it is text.
                    "campaign_id": f"{line.platform}:{line.campaign_id}" if line.campaign_id else "",
                    "campaign": _harmless(line.campaign),
                    **_measures(section, line, line.figures[period]),
                }
    for one in report.missing:
        yield {"level": "missing", **_account(one.platform, one.id, one.name), "why": one.why}
    for late in report.late:
        yield {"level": "late", **_account(late.platform, late.id, late.name), "since": late.covered_since}


def _account(platform: PlatformName | None, account_id: int | None, name: str) -> dict[str, object]:
    return {"platform": platform, "account_id": account_id, "account": _harmless(name)}


def _measures(section: Section, line: Line, figures: Figures) -> dict[str, object]:
    """Return the cells of a line, without those of unknown figures."""
    shown: tuple[str, ...] = MEASURES if figures.is_shown else ()
    if line.is_unattributed:
        shown = shown[:1]
    if line is section.total and not section.is_of_one_platform:
        shown = tuple(name for name in shown if name not in OF_ONE_PLATFORM)
    cells = {name: _number(getattr(figures, name)) for name in shown}
    return {**cells, "known": figures.known, "since": figures.since}


def _harmless(text: str) -> str:
    """Return a text on one line that no spreadsheet takes for a formula."""
    text = one_line(text)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


def _number(number: Decimal | int | None) -> str:
    return "" if number is None else f"{Decimal(number).quantize(DECIMALS).normalize():f}"
