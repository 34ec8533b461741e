"""Meta's fields of accounts, campaigns and insights, named as in the official SDK (`facebook-business` 26)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.accounts import Account, Campaign
from sandbox.figures import Figures
from sandbox.meta_json import STATUSES
from sivera.values import BudgetKind

OFFSET_ONE = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})
"""Currencies with budgets in whole units; the others are in hundredths (Meta's page marketing-api/currencies)."""


def select(source: Any, fields: Mapping[str, Callable[..., Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return fields by name; like Meta, leave out those without a value."""
    sources = source if isinstance(source, tuple) else (source,)
    values = ((name, fields[name](*sources)) for name in names)
    return {name: value for name, value in values if value is not None}


def _moment(when: datetime, account: Account) -> str:
    """Return a time as Meta writes it: in the account's time zone, and without a colon in the offset."""
    return when.astimezone(ZoneInfo(account.timezone)).strftime("%Y-%m-%dT%H:%M:%S%z")


def _at(day: date | None, when: time, account: Account) -> str | None:
    return _moment(datetime.combine(day, when, ZoneInfo(account.timezone)), account) if day else None


def _budget(campaign: Campaign, account: Account, kind: BudgetKind) -> str | None:
    """Return a budget of this kind as Meta writes it: text of whole minor units, by Meta's own table."""
    units = campaign.budget if account.currency in OFFSET_ONE else campaign.budget * 100
    return str(int(units)) if campaign.budget_kind is kind else None


ACCOUNT_FIELDS: dict[str, Callable[[Account], Any]] = {
    "id": lambda account: f"act_{account.id}",
    "account_id": lambda account: account.id,
    "name": lambda account: account.name,
    "currency": lambda account: account.currency,
    "timezone_name": lambda account: account.timezone,
    "account_status": lambda account: 101 if account.closed else 1,
}
CAMPAIGN_FIELDS: dict[str, Callable[[Campaign, Account], Any]] = {
    "id": lambda campaign, _: campaign.id,
    "name": lambda campaign, _: campaign.name,
    "objective": lambda campaign, _: campaign.product,
    "status": lambda campaign, _: STATUSES[campaign.state],
    "effective_status": lambda campaign, _: STATUSES[campaign.state],
    "daily_budget": lambda campaign, account: _budget(campaign, account, BudgetKind.DAILY),
    "lifetime_budget": lambda campaign, account: _budget(campaign, account, BudgetKind.LIFETIME),
    "start_time": lambda campaign, account: _at(campaign.start, time(), account),
    "stop_time": lambda campaign, account: _at(campaign.end, time(23, 59, 59), account),
    "updated_time": lambda campaign, account: _moment(campaign.updated, account),
}


@dataclass(frozen=True)
class InsightRow:
    """A day of a campaign or of a whole account."""

    account: Account
    campaign: Campaign | None
    day: date
    figures: Figures


PURCHASE_NAMES = (
    ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase"),
    ("omni_purchase", "offsite_conversion.fb_pixel_purchase"),
    ("offsite_conversion.fb_pixel_purchase",),
)
"""The action types of a campaign's purchases, by its id: a purchase has several, and `purchase` may be absent."""


def _purchases(row: InsightRow, amount: Decimal) -> list[dict[str, str]]:
    """Return a row's purchases under several action types: adding them up counts each more than once."""
    names = PURCHASE_NAMES[int(_id(row) or 0) % len(PURCHASE_NAMES)] if amount else ()
    return [{"action_type": name, "value": f"{amount:f}"} for name in reversed(names)]


def _id(row: InsightRow) -> str | None:
    return row.campaign.id if row.campaign else None


_EVERY_LEVEL: dict[str, Callable[[InsightRow], Any]] = {
    "spend": lambda row: f"{row.figures.spend:f}",
    "date_start": lambda row: row.day.isoformat(),
    "date_stop": lambda row: row.day.isoformat(),
}
INSIGHT_LEVELS: dict[str, dict[str, Callable[[InsightRow], Any]]] = {
    "campaign": {
        **_EVERY_LEVEL,
        "campaign_id": _id,
        "impressions": lambda row: str(row.figures.impressions),
        "clicks": lambda row: str(row.figures.clicks),
        "actions": lambda row: [
            {"action_type": "link_click", "value": str(row.figures.clicks)},
            *_purchases(row, row.figures.conversions),
        ],
        "action_values": lambda row: _purchases(row, row.figures.conversion_value) or None,
    },
    "account": {**_EVERY_LEVEL, "account_currency": lambda row: row.account.currency},
}
"""The fields of insights, by level."""
