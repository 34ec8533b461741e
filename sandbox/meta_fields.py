"""Meta's fields of accounts, campaigns and insights, named as in the official SDK (`facebook-business` 26)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.figures import Figures
from sandbox.meta_json import STATUSES
from sandbox.world import Account, Campaign
from sivera.values import BudgetKind, CampaignStatus

OFFSET_ONE = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})
"""Currencies with budgets in whole units, all others are in hundredths (Meta's page marketing-api/currencies)."""


def select(source: tuple[Any, ...], fields: Mapping[str, Callable[..., Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return the fields by name; like Meta, leave out those without a value."""
    values = ((name, fields[name](*source)) for name in names)
    return {name: value for name, value in values if value is not None}


def minor_units(amount: Decimal, currency: str) -> str:
    """Return a budget as Meta writes it: text of whole minor units, by its own table."""
    return str(int(amount if currency in OFFSET_ONE else amount * 100))


def moment(when: datetime, account: Account) -> str:
    """Return a time as Meta writes it: in the account's time zone, with an offset without a colon."""
    return when.astimezone(ZoneInfo(account.timezone)).strftime("%Y-%m-%dT%H:%M:%S%z")


def _at(day: date | None, when: time, account: Account) -> str | None:
    return moment(datetime.combine(day, when, ZoneInfo(account.timezone)), account) if day else None


def _budget(campaign: Campaign, account: Account, kind: BudgetKind) -> str | None:
    return minor_units(campaign.budget, account.currency) if campaign.budget_kind is kind else None


def _switch(campaign: Campaign, _account: Account) -> str:
    return "ACTIVE" if campaign.state is CampaignStatus.OTHER else STATUSES[campaign.state]


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
    "status": _switch,
    "effective_status": lambda campaign, _: STATUSES[campaign.state],
    "daily_budget": lambda campaign, account: _budget(campaign, account, BudgetKind.DAILY),
    "lifetime_budget": lambda campaign, account: _budget(campaign, account, BudgetKind.LIFETIME),
    "start_time": lambda campaign, account: _at(campaign.start, time(), account),
    "stop_time": lambda campaign, account: _at(campaign.end, time(23, 59, 59), account),
    "updated_time": lambda campaign, account: moment(campaign.updated, account),
}


@dataclass(frozen=True)
class InsightRow:
    """A campaign's day."""

    campaign: Campaign
    day: date
    figures: Figures


@dataclass(frozen=True)
class AccountRow:
    """An account's day."""

    account: Account
    day: date
    spend: Decimal


PURCHASE_NAMES = (
    ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase"),
    ("omni_purchase", "offsite_conversion.fb_pixel_purchase"),
    ("offsite_conversion.fb_pixel_purchase",),
)
"""The action types that a campaign's purchases have, by its id: one purchase has several, and `purchase` may lack."""


def _actions(row: InsightRow, link_clicks: Decimal | None, purchases: Decimal) -> list[dict[str, str]] | None:
    """Return the actions. Purchases are there several times: adding them counts them more than once."""
    found = [] if link_clicks is None else [{"action_type": "link_click", "value": f"{link_clicks:f}"}]
    if purchases:
        names = PURCHASE_NAMES[int(row.campaign.id) % len(PURCHASE_NAMES)]
        found += [{"action_type": name, "value": f"{purchases:f}"} for name in reversed(names)]
    return found or None


INSIGHT_FIELDS: dict[str, Callable[[InsightRow], Any]] = {
    "campaign_id": lambda row: row.campaign.id,
    "impressions": lambda row: str(row.figures.impressions),
    "clicks": lambda row: str(row.figures.clicks),
    "spend": lambda row: f"{row.figures.spend:f}",
    "actions": lambda row: _actions(row, Decimal(row.figures.clicks), row.figures.conversions),
    "action_values": lambda row: _actions(row, None, row.figures.conversion_value),
    "date_start": lambda row: row.day.isoformat(),
    "date_stop": lambda row: row.day.isoformat(),
}
TOTAL_FIELDS: dict[str, Callable[[AccountRow], Any]] = {
    "account_currency": lambda row: row.account.currency,
    "spend": lambda row: f"{row.spend:f}",
    "date_start": lambda row: row.day.isoformat(),
    "date_stop": lambda row: row.day.isoformat(),
}
INSIGHT_LEVELS: dict[str, dict[str, Callable[..., Any]]] = {"campaign": INSIGHT_FIELDS, "account": TOTAL_FIELDS}
