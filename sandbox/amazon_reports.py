"""The reports of Amazon's sandbox: which there are, what each holds, and how it is described."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from sandbox.amazon_json import SB, SD, SP, iso, member, number, state
from sandbox.figures import ZERO
from sandbox.world import Account, World
from sivera.values import PlatformName


class ReportType(NamedTuple):
    """One product's campaign report: the days that it reaches back, and the columns of attributed figures.

    Those are conversions and their value, each first by a narrower attribution: it is lower, which exposes a client
    that reads the wrong column.
    """

    id: str
    days_kept: int
    attributed: tuple[str, str, str, str]


COLUMNS = ("date", "campaignId", "campaignName", "campaignStatus", "impressions", "clicks", "cost")
REPORT_TYPES = {
    SP: ReportType("spCampaigns", 95, ("purchases7d", "purchases14d", "sales7d", "sales14d")),
    SB: ReportType("sbCampaigns", 60, ("purchasesClicks", "purchases", "salesClicks", "sales")),
    SD: ReportType("sdCampaigns", 65, ("purchasesClicks", "purchases", "salesClicks", "sales")),
}
MAX_REPORT_DAYS = 31
REPORT_FIXED = {"groupBy": ["campaign"], "timeUnit": "DAILY", "format": "GZIP_JSON"}
"""Required in a request: the sandbox prepares no other reports."""
REPORT_KEYS = frozenset({"name", "startDate", "endDate", "configuration"})
CONFIGURATION_KEYS = frozenset({"adProduct", "reportTypeId", "columns", *REPORT_FIXED})


@dataclass(frozen=True)
class Report:
    """A requested report; `requested` is in unix seconds, and `number` tells reports of the same request apart."""

    profile_id: str
    product: str
    since: str
    until: str
    columns: tuple[str, ...]
    requested: int
    number: int

    @property
    def request(self) -> str:
        """What Amazon takes for the same request, whatever its columns."""
        return f"{self.profile_id} {self.product} {self.since} {self.until}"

    @property
    def id(self) -> str:
        """The report's id. It contains all of the report, so that a restarted sandbox still knows it."""
        parts = [self.profile_id, self.product, self.since, self.until, self.columns, self.requested, self.number]
        text = base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")
        return f"{REPORT_TYPES[self.product].id[:2].upper()}-{text}"

    @classmethod
    def of(cls, report_id: str) -> "Report | None":
        """Read a report back from its id; None if there is no such report."""
        text = report_id[3:]
        try:
            parts = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            profile_id, product, since, until, columns, requested, number = parts
            return cls(profile_id, product, since, until, tuple(columns), requested, number)
        except (ValueError, TypeError, LookupError):
            return None


def read_report_request(body: object, account: Account, now: datetime, number: int) -> Report:
    """Return the requested report; ValueError says in Amazon's words what is wrong with the request."""
    wanted = member(body, "configuration")
    if unknown := {*(body if isinstance(body, dict) else ())} - REPORT_KEYS | wanted.keys() - CONFIGURATION_KEYS:
        raise ValueError(f"the request includes unknown fields: ({', '.join(sorted(unknown))})")
    product = str(wanted.get("adProduct"))
    kind = REPORT_TYPES.get(product)
    if kind is None or wanted.get("reportTypeId") != kind.id:
        raise ValueError("configuration reportTypeId is unknown or invalid")
    for name, value in REPORT_FIXED.items():
        if wanted.get(name) != value:
            raise ValueError(f"configuration {name} must be {value}")
    columns = wanted.get("columns")
    columns = columns if isinstance(columns, list) and columns else [""]
    if odd := [str(name) for name in columns if name not in (*COLUMNS, *kind.attributed)]:
        raise ValueError(f"configuration columns includes invalid values: ({', '.join(odd)})")
    since, until = _day(body, "startDate"), _day(body, "endDate")
    today = account.today(now)
    first = today - timedelta(days=kind.days_kept)
    if since < first:
        raise ValueError(
            f"startDate ({since}) must be equal to or after report type data retention start date ({first})."
        )
    if not since <= until <= today or (until - since).days >= MAX_REPORT_DAYS:
        raise ValueError(f"startDate to endDate must be 1 to {MAX_REPORT_DAYS} days up to today")
    return Report(account.id, product, str(since), str(until), tuple(columns), int(now.timestamp()), number)


def _day(body: object, name: str) -> date:
    text = body.get(name) if isinstance(body, dict) else None
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"{name} must be a day")
    return date.fromisoformat(text)


def report_rows(world: World, report: Report) -> Iterator[dict[str, Any]]:
    """Yield a report's rows: one for each campaign and day with figures."""
    account = world.account(PlatformName.AMAZON, report.profile_id)
    names = (*COLUMNS, *REPORT_TYPES[report.product].attributed)
    since, until = date.fromisoformat(report.since), date.fromisoformat(report.until)
    days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
    for campaign in account.campaigns.values():
        if campaign.product != report.product or campaign.single_ad_group:
            continue
        for day in days:
            figures = world.figures(account, campaign, day)
            if figures == ZERO:
                continue
            conversions, value = number(figures.conversions), number(figures.conversion_value)
            values = (
                *(str(day), int(campaign.id), campaign.name, state(campaign)),
                *(figures.impressions, figures.clicks, number(figures.spend)),
                *(conversions // 2, conversions, value / 2, value),
            )
            row = dict(zip(names, values, strict=True))
            yield {name: row[name] for name in report.columns}


def described(report: Report, status: str, **changes: str) -> dict[str, Any]:
    """Return Amazon's description of a report; `changes` are the fields that are null until it is done."""
    requested = iso(datetime.fromtimestamp(report.requested, UTC))
    configuration = {"adProduct": report.product, "reportTypeId": REPORT_TYPES[report.product].id, "filters": None}
    return {
        "reportId": report.id,
        "status": status,
        "startDate": report.since,
        "endDate": report.until,
        "configuration": configuration | REPORT_FIXED | {"columns": report.columns},
        "createdAt": requested,
        "updatedAt": requested,
        "failureReason": None,
        "url": None,
        "urlExpiresAt": None,
    } | changes
