"""Amazon's wire format: error bodies, profiles, campaigns in three encodings, and reports."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sandbox.http import Call, Reply
from sandbox.world import ZERO, Account, Campaign, World
from sivera.values import CampaignStatus, PlatformName

SP, SB, SD = "SPONSORED_PRODUCTS", "SPONSORED_BRANDS", "SPONSORED_DISPLAY"
COUNTRY_OF_CURRENCY = {"USD": "US", "EUR": "DE", "KRW": "KR", "JPY": "JP", "TWD": "TW", "AUD": "AU"}
STATES = {CampaignStatus.ACTIVE: "ENABLED", CampaignStatus.PAUSED: "PAUSED"}
"""All other states are ARCHIVED: a deleted campaign is an archived one."""
DIMENSIONS = ("date", "campaignId", "campaignName", "campaignStatus", "impressions", "clicks", "cost")


@dataclass(frozen=True)
class ReportType:
    """One product's campaign report: its columns, and the number of days that it reaches back."""

    id: str
    columns: tuple[str, ...]
    days_kept: int


SP_COLUMNS = (*DIMENSIONS, "purchases7d", "purchases14d", "sales7d", "sales14d")
COLUMNS = (*DIMENSIONS, "purchasesClicks", "purchases", "salesClicks", "sales")
REPORT_TYPES = {
    SP: ReportType("spCampaigns", SP_COLUMNS, 95),
    SB: ReportType("sbCampaigns", COLUMNS, 60),
    SD: ReportType("sdCampaigns", COLUMNS, 65),
}
REPORT_CODES = {"SP": SP, "SB": SB, "SD": SD}
MAX_REPORT_DAYS = 31
REPORT_FIXED = {"groupBy": ["campaign"], "timeUnit": "DAILY", "format": "GZIP_JSON"}
"""Required in a request: the sandbox prepares no other reports."""


@dataclass(frozen=True)
class Report:
    """A requested report. Its text contains all of it, so that a restarted sandbox still knows it.

    `code` is SP, SB or SD; `columns` has a bit for each requested column; `requested` is in unix seconds; `number`
    counts the reports of the same request.
    """

    code: str
    profile_id: str
    since: date
    until: date
    columns: int
    requested: int
    number: int = 0

    @property
    def request(self) -> str:
        """The identity of the request."""
        return f"{self.code}-{self.profile_id}-{self.since:%Y%m%d}-{self.until:%Y%m%d}-{self.columns:x}"

    @property
    def text(self) -> str:
        """The report as text, part of its id."""
        return f"{self.request}-{self.requested}-{self.number}"

    @classmethod
    def of(cls, text: str) -> "Report":
        """Read a report back from its text."""
        code, profile_id, since, until, columns, requested, number = text.split("-")
        days = date.fromisoformat(since), date.fromisoformat(until)
        return cls(code, profile_id, *days, int(columns, 16), int(requested), int(number))

    @property
    def product(self) -> str:
        """The ad product."""
        return REPORT_CODES[self.code]

    @property
    def column_names(self) -> list[str]:
        """The requested columns, in the order of the report type."""
        names = REPORT_TYPES[self.product].columns
        return [name for index, name in enumerate(names) if self.columns >> index & 1]


def error(call: Call, status: int, text: str, word: str = "INVALID_ARGUMENT") -> Reply:
    """Return an error in the shape of the called API: Login with Amazon, Reporting, SP and SB, or SD."""
    if "/auth/o2/token" in call.url:
        return Reply({"error": word, "error_description": text}, status)
    if "/reporting/" in call.url:
        return Reply({"code": str(status), "detail": text}, status)
    if "/sp/" in call.url or "/sb/" in call.url:
        return Reply({"code": word, "message": text}, status)
    return Reply({"code": str(status), "details": text, "requestId": "SANDBOX"}, status)


def storage_error(status: int, code: str, text: str) -> Reply:
    """Return an error of S3, which stores the reports."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{text}</Message></Error>'
    return Reply(body.encode(), status, media_type="application/xml")


def profile(account: Account) -> dict[str, Any]:
    """Return an account as a profile; its id is a number beyond 2^53."""
    return {
        "profileId": int(account.id),
        "countryCode": COUNTRY_OF_CURRENCY[account.currency],
        "currencyCode": account.currency,
        "timezone": account.timezone,
        "accountInfo": {
            "marketplaceStringId": f"A{account.currency}SANDBOX",
            "id": f"ENTITY{account.index}",
            "type": "vendor" if account.index % 2 else "seller",
            "name": account.name,
        },
    }


def sp_campaign(campaign: Campaign, now: datetime, extended: bool) -> dict[str, Any]:
    """Return a campaign as Sponsored Products v3 does: a budget object, ISO times."""
    row: dict[str, Any] = {
        "campaignId": campaign.id,
        "name": campaign.name,
        "state": state(campaign),
        "targetingType": "MANUAL",
        "startDate": campaign.start.isoformat(),
        "endDate": campaign.end.isoformat() if campaign.end else None,
        "budget": {"budget": number(campaign.budget), "budgetType": "DAILY"},
    }
    if extended:
        row["extendedData"] = {
            "creationDateTime": iso(campaign.created),
            "lastUpdateDateTime": iso(campaign.updated),
            "servingStatus": _serving_status(campaign, now),
        }
    return row


def sb_campaign(campaign: Campaign, now: datetime, extended: bool) -> dict[str, Any]:
    """Return a campaign as Sponsored Brands v4 does: a plain budget with its type, times in unix milliseconds."""
    row: dict[str, Any] = {
        "campaignId": campaign.id,
        "name": campaign.name,
        "state": state(campaign),
        "startDate": campaign.start.isoformat(),
        "budget": number(campaign.budget),
        "budgetType": campaign.budget_kind.value.upper(),
        "isMultiAdGroupsEnabled": True,
    }
    if campaign.end:
        row["endDate"] = campaign.end.isoformat()
    if extended:
        row["extendedData"] = {
            "creationDate": _epoch_ms(campaign.created),
            "lastUpdateDate": _epoch_ms(campaign.updated),
            "servingStatus": _serving_status(campaign, now),
        }
    return row


def sd_campaign(campaign: Campaign, now: datetime) -> dict[str, Any]:
    """Return a campaign as Sponsored Display does: a number as id, words in lower case, days without dashes."""
    row: dict[str, Any] = {
        "campaignId": int(campaign.id),
        "name": campaign.name,
        "state": state(campaign).lower(),
        "tactic": "T00020",
        "startDate": f"{campaign.start:%Y%m%d}",
        "budget": number(campaign.budget),
        "budgetType": "daily",
        "creationDate": _epoch_ms(campaign.created),
        "lastUpdatedDate": _epoch_ms(campaign.updated),
        "servingStatus": _serving_status(campaign, now),
    }
    if campaign.end:
        row["endDate"] = f"{campaign.end:%Y%m%d}"
    return row


def read_report_request(body: object, account: Account, now: datetime) -> Report:
    """Return the requested report; ValueError says in Amazon's words what is wrong with the request."""
    wanted = member(body, "configuration")
    kind = REPORT_TYPES.get(str(wanted.get("adProduct")))
    if kind is None or wanted.get("reportTypeId") != kind.id:
        raise ValueError("configuration reportTypeId is unknown or invalid")
    for name, value in REPORT_FIXED.items():
        if wanted.get(name) != value:
            raise ValueError(f"configuration {name} must be {value}")
    columns = wanted.get("columns") or [""]
    if unknown := [name for name in columns if name not in kind.columns]:
        raise ValueError(f"configuration columns includes invalid values: ({', '.join(unknown)})")
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
    return Report(kind.id[:2].upper(), account.id, since, until, mask, int(now.timestamp()))


def member(body: object, name: str) -> dict[str, Any]:
    """Return the JSON object under a name of a body, or an empty one."""
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, dict) else {}


def _day(body: object, name: str) -> date:
    text = body.get(name) if isinstance(body, dict) else None
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise ValueError(f"{name} must be a day") from None


def report_rows(world: World, report: Report) -> Iterable[dict[str, Any]]:
    """Yield a report's rows, one for each campaign and day with figures."""
    account = world.account(PlatformName.AMAZON, report.profile_id)
    names, wanted = REPORT_TYPES[report.product].columns, report.column_names
    days = [report.since + timedelta(days=n) for n in range((report.until - report.since).days + 1)]
    for campaign in account.campaigns.values():
        if campaign.product != report.product:
            continue
        for day in days:
            figures = world.figures(account, campaign, day)
            if figures == ZERO:
                continue
            conversions, value = number(figures.conversions), number(figures.conversion_value)
            values = (
                *(day.isoformat(), int(campaign.id), campaign.name, state(campaign)),
                *(figures.impressions, figures.clicks, number(figures.spend)),
                # The narrower attribution is lower, which exposes a client that reads the wrong column.
                *(conversions // 2, conversions, value / 2, value),
            )
            row = dict(zip(names, values, strict=True))
            yield {name: row[name] for name in wanted}


def described(report_id: str, report: Report, status: str, **changes: str) -> dict[str, Any]:
    """Return Amazon's description of a report; `changes` are the fields that are null until it is done."""
    requested = iso(datetime.fromtimestamp(report.requested, UTC))
    kind = REPORT_TYPES[report.product]
    configuration = {"adProduct": report.product, "reportTypeId": kind.id, "columns": report.column_names}
    return {
        "reportId": report_id,
        "status": status,
        "startDate": report.since.isoformat(),
        "endDate": report.until.isoformat(),
        "configuration": configuration | REPORT_FIXED,
        "createdAt": requested,
        "updatedAt": requested,
        "generatedAt": None,
        "failureReason": None,
        "url": None,
        "urlExpiresAt": None,
    } | changes


def state(campaign: Campaign) -> str:
    """Return a campaign's state as Amazon names it."""
    return STATES.get(campaign.state, "ARCHIVED")


def number(amount: Decimal) -> int | float:
    """Return an amount as a JSON number, an integer if it is whole."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def iso(when: datetime) -> str:
    """Return a time as Amazon writes it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _epoch_ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def _serving_status(campaign: Campaign, now: datetime) -> str:
    if campaign.state is not CampaignStatus.ACTIVE:
        return f"CAMPAIGN_{state(campaign)}"
    return "ENDED" if campaign.end is not None and campaign.end < now.date() else "CAMPAIGN_STATUS_ENABLED"
