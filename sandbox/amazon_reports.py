"""The reports of Amazon's sandbox: which there are, what each holds, and how it is described."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox.amazon_json import SB, SD, SP, iso, member, number, state
from sandbox.figures import ZERO, Figures
from sandbox.world import Account, World
from sivera.values import PlatformName

DIMENSIONS = ("campaignId", "campaignName", "campaignStatus", "impressions", "clicks", "cost")
DAYS = {"DAILY": ("date",), "SUMMARY": ("startDate", "endDate")}
"""The columns that name the days of a row, by time unit."""


@dataclass(frozen=True)
class ReportType:
    """One product's campaign report: its columns, and the number of days that it reaches back."""

    id: str
    columns: tuple[str, ...]
    days_kept: int


ALL_DAYS = (*DAYS["DAILY"], *DAYS["SUMMARY"])
SP_COLUMNS = (*ALL_DAYS, *DIMENSIONS, "purchases7d", "purchases14d", "sales7d", "sales14d")
COLUMNS = (*ALL_DAYS, *DIMENSIONS, "purchasesClicks", "purchases", "salesClicks", "sales")
REPORT_TYPES = {
    SP: ReportType("spCampaigns", SP_COLUMNS, 95),
    SB: ReportType("sbCampaigns", COLUMNS, 60),
    SD: ReportType("sdCampaigns", COLUMNS, 65),
}
REPORT_CODES = {"SP": SP, "SB": SB, "SD": SD}
MAX_REPORT_DAYS = 31
REPORT_FIXED = {"groupBy": ["campaign"], "format": "GZIP_JSON"}
"""Required in a request: the sandbox prepares no other reports."""
REPORT_KEYS = frozenset({"name", "startDate", "endDate", "configuration"})
CONFIGURATION_KEYS = frozenset({"adProduct", "reportTypeId", "columns", "timeUnit", *REPORT_FIXED})
UNITS = {"D": "DAILY", "S": "SUMMARY"}


@dataclass(frozen=True)
class Report:
    """A requested report. Its text contains all of it, so that a restarted sandbox still knows it.

    `code` is SP, SB or SD; `unit` is D or S; `columns` has a bit for each requested column; `requested` is in unix
    seconds; `number` counts the reports of the same request.
    """

    code: str
    profile_id: str
    since: date
    until: date
    unit: str
    columns: int
    requested: int
    number: int = 0

    @property
    def request(self) -> str:
        """What Amazon takes for the same request, whatever its time unit and columns."""
        return f"{self.code}-{self.profile_id}-{self.since:%Y%m%d}-{self.until:%Y%m%d}"

    @property
    def text(self) -> str:
        """The report as text, part of its id."""
        return f"{self.request}-{self.unit}-{self.columns:x}-{self.requested}-{self.number}"

    @classmethod
    def of(cls, text: str) -> "Report":
        """Read a report back from its text."""
        code, profile_id, since, until, unit, columns, requested, number = text.split("-")
        days = date.fromisoformat(since), date.fromisoformat(until)
        return cls(code, profile_id, *days, unit, int(columns, 16), int(requested), int(number))

    @property
    def product(self) -> str:
        """The ad product."""
        return REPORT_CODES[self.code]

    @property
    def column_names(self) -> list[str]:
        """The requested columns, in the order of the report type."""
        names = REPORT_TYPES[self.product].columns
        return [name for index, name in enumerate(names) if self.columns >> index & 1]


def read_report_request(body: object, account: Account, now: datetime) -> Report:
    """Return the requested report; ValueError says in Amazon's words what is wrong with the request."""
    wanted = member(body, "configuration")
    if unknown := {*(body if isinstance(body, dict) else ())} - REPORT_KEYS | wanted.keys() - CONFIGURATION_KEYS:
        raise ValueError(f"the request includes unknown fields: ({', '.join(sorted(unknown))})")
    kind, unit = REPORT_TYPES.get(str(wanted.get("adProduct"))), str(wanted.get("timeUnit"))
    if kind is None or wanted.get("reportTypeId") != kind.id:
        raise ValueError("configuration reportTypeId is unknown or invalid")
    if unit not in DAYS:
        raise ValueError(f"configuration timeUnit must be one of: {', '.join(DAYS)}")
    for name, value in REPORT_FIXED.items():
        if wanted.get(name) != value:
            raise ValueError(f"configuration {name} must be {value}")
    columns = wanted.get("columns")
    columns = columns if isinstance(columns, list) and columns else [""]
    allowed = (*DAYS[unit], *kind.columns[len(ALL_DAYS) :])
    if odd := [str(name) for name in columns if name not in allowed]:
        raise ValueError(f"configuration columns includes invalid values: ({', '.join(odd)})")
    mask = sum(1 << kind.columns.index(name) for name in set(columns))
    since, until = _day(body, "startDate"), _day(body, "endDate")
    today = account.today(now)
    first = today - timedelta(days=kind.days_kept)
    if since < first:
        raise ValueError(
            f"startDate ({since}) must be equal to or after report type data retention start date ({first})."
        )
    if not since <= until <= today or (until - since).days >= MAX_REPORT_DAYS:
        raise ValueError(f"startDate to endDate must be 1 to {MAX_REPORT_DAYS} days up to today")
    return Report(kind.id[:2].upper(), account.id, since, until, unit[0], mask, int(now.timestamp()))


def _day(body: object, name: str) -> date:
    text = body.get(name) if isinstance(body, dict) else None
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"{name} must be a day")
    return date.fromisoformat(text)


def report_rows(world: World, report: Report) -> Iterable[dict[str, Any]]:
    """Yield a report's rows: one for each campaign, and in a daily report for each of its days, with figures."""
    account = world.account(PlatformName.AMAZON, report.profile_id)
    names, wanted = REPORT_TYPES[report.product].columns, report.column_names
    days = [report.since + timedelta(days=n) for n in range((report.until - report.since).days + 1)]
    spans = [[day] for day in days] if report.unit == "D" else [days]
    for campaign in account.campaigns.values():
        if campaign.product != report.product or campaign.single_ad_group:
            continue
        for span in spans:
            figures = _total([world.figures(account, campaign, day) for day in span])
            if figures == ZERO:
                continue
            conversions, value = number(figures.conversions), number(figures.conversion_value)
            values = (
                *(span[0].isoformat(), report.since.isoformat(), report.until.isoformat()),
                *(int(campaign.id), campaign.name, state(campaign)),
                *(figures.impressions, figures.clicks, number(figures.spend)),
                # The narrower attribution is lower, which exposes a client that reads the wrong column.
                *(conversions // 2, conversions, value / 2, value),
            )
            row = dict(zip(names, values, strict=True))
            yield {name: row[name] for name in wanted}


def _total(figures: list[Figures]) -> Figures:
    if len(figures) == 1:
        return figures[0]
    return Figures(**{each.name: sum(getattr(f, each.name) for f in figures) for each in fields(Figures)})


def described(report_id: str, report: Report, status: str, **changes: str) -> dict[str, Any]:
    """Return Amazon's description of a report; `changes` are the fields that are null until it is done."""
    requested = iso(datetime.fromtimestamp(report.requested, UTC))
    kind = REPORT_TYPES[report.product]
    configuration: dict[str, Any] = {"adProduct": report.product, "reportTypeId": kind.id, "filters": None}
    configuration |= {"timeUnit": UNITS[report.unit], "columns": report.column_names}
    return {
        "reportId": report_id,
        "status": status,
        "startDate": report.since.isoformat(),
        "endDate": report.until.isoformat(),
        "configuration": configuration | REPORT_FIXED,
        "createdAt": requested,
        "updatedAt": requested,
        "fileSize": None,
        "generatedAt": None,
        "failureReason": None,
        "url": None,
        "urlExpiresAt": None,
    } | changes
