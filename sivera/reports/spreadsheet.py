"""The table of a report: a CSV file that Excel and LibreOffice open as it is meant."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal

from sivera.reports.figures import Line, Section
from sivera.reports.report import Report

COLUMNS = (
    "day",
    "period",
    "currency",
    "level",
    "platform",
    "account_id",
    "account",
    "campaign_id",
    "campaign",
    "spend",
    "impressions",
    "clicks",
    "ctr",
    "cpc",
    "conversions",
    "conversion_value",
    "cpa",
    "roas",
    "why",
)
MEASURES = COLUMNS[9:-1]

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, full-width signs too (OWASP, "CSV Injection")."""

DECIMALS = Decimal("0.000001")


def to_csv(report: Report) -> bytes:
    """Write a report as CSV: a row for each line and period, and one of the level `missing` for each missing account.

    It is in UTF-8 with a byte order mark, by which Excel knows it. Numbers are plain, with a point and no separators;
    what is undefined is empty.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for section in report.sections:
        for level, line in _lines(section):
            for period, figures in line.periods.items():
                writer.writerow(
                    [
                        report.day,
                        period.value,
                        harmless(section.currency),
                        level,
                        line.platform or "",
                        line.account_id or "",
                        harmless(line.account),
                        # With the platform before it, Excel does not round a long number.
                        f"{line.platform}:{line.campaign_id}" if line.campaign_id else "",
                        harmless(line.campaign),
                        *(_number(getattr(figures, name)) for name in MEASURES),
                        "",
                    ]
                )
    for account in report.missing:
        named = [report.day, "", "", "missing", account.platform, account.id, harmless(account.name)]
        writer.writerow([*named, "", "", *("" for _ in MEASURES), account.why.value])
    return text.getvalue().encode("utf-8-sig")


def _lines(section: Section) -> Iterator[tuple[str, Line]]:
    yield "total", section.total
    for level, lines in (
        ("platform", section.platforms),
        ("account", section.accounts),
        ("campaign", section.campaigns),
    ):
        for line in lines:
            yield level, line


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) or text.startswith(FORMULA_STARTS) else text


def _number(number: Decimal | int | None) -> str:
    if number is None:
        return ""
    return f"{Decimal(number).quantize(DECIMALS).normalize():f}"
