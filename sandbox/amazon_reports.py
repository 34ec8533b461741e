"""Amazon's reports in the sandbox: their types, requests, rows and descriptions."""

import base64
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import Field
from pydantic.dataclasses import dataclass

from sandbox.accounts import Account
from sandbox.amazon_json import SB, SD, SP, CamelCase, iso, state
from sandbox.figures import as_number
from sandbox.world import World
from sivera.values import PlatformName


class ReportType(NamedTuple):
    """A product's campaign report: how many days it reaches back, and its columns of attributed figures.

    Conversions and their value come in two attributions each. The first is narrower and lower, which exposes a client
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
AdProduct = Literal["SPONSORED_PRODUCTS", "SPONSORED_BRANDS", "SPONSORED_DISPLAY"]


@dataclass(frozen=True)
class Report:
    """A requested report; `requested` is in Unix seconds, and `number` distinguishes reports of the same request."""

    profile_id: str
    product: AdProduct
    since: date
    until: date
    columns: tuple[str, ...]
    requested: int
    number: int

    @property
    def request(self) -> str:
        """What Amazon compares to find duplicates: everything but the columns."""
        return f"{self.profile_id} {self.product} {self.since} {self.until}"

    @property
    def id(self) -> str:
        """The report's id, which contains the whole report, so a restarted sandbox still knows it."""
        text = base64.urlsafe_b64encode(orjson.dumps(astuple(self))).decode().rstrip("=")
        return f"{REPORT_TYPES[self.product].id[:2].upper()}-{text}"

    @classmethod
    def of(cls, report_id: str) -> "Report | None":
        """Return the report with an id; None if there is none."""
        text = report_id[3:]
        try:
            return cls(*orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
        except (ValueError, TypeError, LookupError):
            return None


class _Configuration(CamelCase):
    ad_product: AdProduct
    report_type_id: str
    group_by: tuple[Literal["campaign"]]
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    time_unit: Literal["DAILY"]
    format: Literal["GZIP_JSON"]


class ReportRequest(CamelCase):
    """The body of a request for a report."""

    name: str = ""
    start_date: date
    end_date: date
    configuration: _Configuration

    def report(self, account: Account, now: datetime, number: int) -> Report:
        """Return the requested report; raise ValueError, with Amazon's message, if the request is wrong."""
        wanted, since, until = self.configuration, self.start_date, self.end_date
        kind, today = REPORT_TYPES[wanted.ad_product], account.today(now)
        if wanted.report_type_id != kind.id:
            raise ValueError("configuration reportTypeId is unknown or invalid")
        if odd := [name for name in wanted.columns if name not in (*COLUMNS, *kind.attributed)]:
            raise ValueError(f"configuration columns includes invalid values: ({', '.join(odd)})")
        first = today - timedelta(days=kind.days_kept)
        if since < first:
            raise ValueError(
                f"startDate ({since}) must be equal to or after report type data retention start date ({first})."
            )
        if not since <= until <= today or (until - since).days >= MAX_REPORT_DAYS:
            raise ValueError(f"startDate to endDate must be 1 to {MAX_REPORT_DAYS} days up to today")
        return Report(account.id, wanted.ad_product, since, until, wanted.columns, int(now.timestamp()), number)


def report_rows(world: World, report: Report) -> Iterator[dict[str, Any]]:
    """Yield a report's rows, one for each campaign and day with figures."""
    account = world.account(PlatformName.AMAZON, report.profile_id)
    names = (*COLUMNS, *REPORT_TYPES[report.product].attributed)
    reported = (c for c in account.campaigns.values() if c.product == report.product and not c.single_ad_group)
    for campaign, day, figures in world.days(account, reported, report.since, report.until):
        conversions, value = as_number(figures.conversions), as_number(figures.conversion_value)
        values = (
            *(str(day), int(campaign.id), campaign.name, state(campaign)),
            *(figures.impressions, figures.clicks, as_number(figures.spend)),
            *(conversions // 2, conversions, value / 2, value),
        )
        row = dict(zip(names, values, strict=True))
        yield {name: row[name] for name in report.columns}


def described(report: Report, status: str, **changes: str) -> dict[str, Any]:
    """Return Amazon's description of a report; `changes` are the fields that are null until it is done."""
    requested = iso(datetime.fromtimestamp(report.requested, UTC))
    configuration = {"adProduct": report.product, "reportTypeId": REPORT_TYPES[report.product].id}
    configuration |= {"timeUnit": "DAILY", "format": "GZIP_JSON"}
    return {
        "reportId": report.id,
        "status": status,
        "startDate": str(report.since),
        "endDate": str(report.until),
        "configuration": {**configuration, "groupBy": ["campaign"], "columns": report.columns, "filters": None},
        "createdAt": requested,
        "updatedAt": requested,
        "failureReason": None,
        "url": None,
        "urlExpiresAt": None,
    } | changes
