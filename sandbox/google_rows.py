"""The world as Google's resources: the fields of each, and the rows of a customer.

A field is a function from a row to its JSON value: int64 as text, enums as names, money in micros, None for unset.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.accounts import Account, Campaign
from sandbox.figures import ZERO, Figures
from sandbox.world import World
from sivera.values import BudgetKind, CampaignStatus

MICROS = 1_000_000

STATUSES = {
    CampaignStatus.ACTIVE: "ENABLED",
    CampaignStatus.PAUSED: "PAUSED",
    CampaignStatus.ARCHIVED: "REMOVED",
    CampaignStatus.REMOVED: "REMOVED",
    CampaignStatus.OTHER: "UNKNOWN",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The customer that a query is for, with its clients if it is a manager."""

    world: World
    customer: Account
    clients: tuple[Account, ...] = ()
    is_manager: bool = False


@dataclass(slots=True)
class Row:
    """A row of an answer; fields that its resource does not use stay unset."""

    customer: Account
    is_manager: bool = False
    client: Any = None
    level: int = 0
    campaign: Any = None
    budget: Any = None
    day: date | None = None
    figures: Figures = ZERO
    changed_at: str = ""
    changed_type: str = ""


Field = Callable[[Row], str | bool | float | None]


def _campaign_name(row: Row) -> str | None:
    return f"customers/{row.customer.id}/campaigns/{row.campaign.id}" if row.campaign else None


def _budget_name(row: Row) -> str | None:
    return f"customers/{row.customer.id}/campaignBudgets/{row.budget.budget_id}" if row.budget else None


def _change_name(row: Row) -> str:
    changed = row.campaign.id if row.campaign else row.budget.budget_id
    return f"customers/{row.customer.id}/changeStatus/{row.changed_type}-{changed}"


def _micros(amount: Decimal) -> str:
    return str(int(amount * MICROS))


def _budget(read: Callable[[Campaign], str | bool | None]) -> Field:
    return lambda row: read(row.budget) if row.budget else None


FIELDS: dict[str, dict[str, Field]] = {
    "customer": {
        "resource_name": lambda row: f"customers/{row.customer.id}",
    },
    "customer_client": {
        "resource_name": lambda row: f"customers/{row.customer.id}/customerClients/{row.client.id}",
        "id": lambda row: row.client.id,
        "descriptive_name": lambda row: row.client.name,
        "currency_code": lambda row: row.client.currency,
        "time_zone": lambda row: row.client.timezone,
        "level": lambda row: str(row.level),
        "manager": lambda row: row.is_manager and row.level == 0,
        "status": lambda row: "CANCELED" if row.client.closed else "ENABLED",
    },
    "campaign": {
        "resource_name": _campaign_name,
        "id": lambda row: row.campaign.id,
        "name": lambda row: row.campaign.name,
        "status": lambda row: STATUSES[row.campaign.state],
        "serving_status": lambda row: "NONE" if STATUSES[row.campaign.state] == "REMOVED" else "SERVING",
        "advertising_channel_type": lambda row: row.campaign.product,
        "start_date_time": lambda row: f"{row.campaign.start} 00:00:00",
        "end_date_time": lambda row: f"{row.campaign.end} 23:59:59" if row.campaign.end else None,
        "campaign_budget": _budget_name,
    },
    "campaign_budget": {
        "resource_name": _budget_name,
        "id": _budget(lambda budget: budget.budget_id),
        "amount_micros": _budget(lambda b: None if b.budget_kind is BudgetKind.LIFETIME else _micros(b.budget)),
        "total_amount_micros": _budget(lambda b: _micros(b.budget) if b.budget_kind is BudgetKind.LIFETIME else None),
        "period": _budget(lambda b: "CUSTOM_PERIOD" if b.budget_kind is BudgetKind.LIFETIME else "DAILY"),
        "explicitly_shared": _budget(lambda budget: budget.budget_kind is BudgetKind.SHARED),
    },
    "segments": {"date": lambda row: str(row.day)},
    "metrics": {
        "impressions": lambda row: str(row.figures.impressions),
        "clicks": lambda row: str(row.figures.clicks),
        "cost_micros": lambda row: _micros(row.figures.spend),
        "conversions": lambda row: float(row.figures.conversions),
        "conversions_value": lambda row: float(row.figures.conversion_value),
    },
    "change_status": {
        "resource_name": _change_name,
        "last_change_date_time": lambda row: row.changed_at,
        "resource_type": lambda row: row.changed_type,
        "campaign": _campaign_name,
        "campaign_budget": _budget_name,
    },
}


def clients(target: Target) -> Iterator[Row]:
    """Yield the customer itself and, for a manager, its clients."""
    yield Row(target.customer, target.is_manager, client=target.customer)
    for client in target.clients:
        yield Row(target.customer, target.is_manager, client=client, level=1)


def customer_days(target: Target, since: date, until: date) -> Iterator[Row]:
    """Yield the customer's days with spend, including spend outside its campaigns."""
    for day, figures in target.world.totals(target.customer, since, until):
        yield Row(target.customer, day=day, figures=figures)


def campaigns(target: Target) -> Iterator[Row]:
    """Yield the customer's campaigns, including removed ones; a manager has none."""
    budgets = _budgets(target.customer.campaigns.values())
    for campaign in target.customer.campaigns.values():
        budget = None if campaign.budget_kind is BudgetKind.LOWER_LEVEL else budgets[campaign.budget_id]
        yield Row(target.customer, campaign=campaign, budget=budget)


def campaign_days(target: Target, since: date, until: date) -> Iterator[Row]:
    """Yield the days of each campaign; like Google's segmented queries, leave out days without figures."""
    for row in campaigns(target):
        for _, day, figures in target.world.days(target.customer, [row.campaign], since, until):
            yield replace(row, day=day, figures=figures)


def changes(target: Target) -> Iterator[Row]:
    """Yield the last change of each campaign and each budget; a change in the world counts for both."""
    customer, all_campaigns = target.customer, target.customer.campaigns.values()
    for campaign in all_campaigns:
        at = local_time(campaign.updated, customer)
        yield Row(customer, campaign=campaign, changed_at=at, changed_type="CAMPAIGN")
    for budget in _budgets(all_campaigns).values():
        at = local_time(budget.updated, customer)
        yield Row(customer, budget=budget, changed_at=at, changed_type="CAMPAIGN_BUDGET")


def _budgets(campaigns: Iterable[Campaign]) -> dict[str, Campaign]:
    """Return by budget id the campaign that defines the budget: the last changed of those that share it."""
    budgets: dict[str, Campaign] = {}
    for campaign in campaigns:
        if campaign.budget_kind is not BudgetKind.LOWER_LEVEL:
            known = budgets.get(campaign.budget_id)
            if known is None or campaign.updated > known.updated:
                budgets[campaign.budget_id] = campaign
    return budgets


def local_time(when: datetime, customer: Account) -> str:
    """Return a time as the API writes it: in the customer's time zone, without an offset."""
    return when.astimezone(ZoneInfo(customer.timezone)).replace(tzinfo=None).isoformat(" ", "microseconds")
