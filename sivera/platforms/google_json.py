"""Google Ads' JSON as our values.

In protobuf's JSON, int64 is text, a double is a number, an enum is its name, and an unset field is absent.
"""

import re
from decimal import Decimal

from sivera.platforms.rows import Record
from sivera.values import (
    AccountStatus,
    AdAccount,
    Budget,
    BudgetKind,
    Campaign,
    CampaignStatus,
    DailyMetrics,
    DailyTotal,
    DateWindow,
)

MICROS = 1_000_000
"""Money is in millionths of the account's currency, even for JPY and KRW."""

STATUSES = {
    "ENABLED": CampaignStatus.ACTIVE,
    "PAUSED": CampaignStatus.PAUSED,
    "REMOVED": CampaignStatus.REMOVED,
    "ENDED": CampaignStatus.ENDED,
}
CLOSED_STATUSES = frozenset({"CANCELED", "CLOSED", "SUSPENDED"})

CHANGED: dict[str, tuple[str, str]] = {
    "CAMPAIGN": ("campaign", "campaign.resource_name"),
    "CAMPAIGN_BUDGET": ("campaignBudget", "campaign.campaign_budget"),
}
"""For each kind of change: the field with the changed resource, and the GAQL field that finds its campaigns."""

_RESOURCE_NAME = re.compile(r"customers/[0-9]+/[A-Za-z]+/[0-9]+")


def account_of(client: Record, manager_id: str | None) -> AdAccount:
    """Read a row of `customer_client`."""
    account_id = client.identifier("id")
    closed = client.text("status") in CLOSED_STATUSES
    return AdAccount(
        external_id=account_id,
        name=client.optional("descriptiveName") or account_id,
        currency=client.currency("currencyCode"),
        timezone=client.zone("timeZone"),
        status=AccountStatus.CLOSED if closed else AccountStatus.ACTIVE,
        manager_id=manager_id,
    )


def campaign_of(currency: str, row: Record) -> Campaign:
    """Read a row of `campaign`."""
    campaign = row.record("campaign")
    native = campaign.text("status")
    if campaign.optional("servingStatus") == "ENDED" and native != "REMOVED":
        native = "ENDED"
    return Campaign(
        external_id=campaign.identifier("id"),
        name=campaign.text("name"),
        status=STATUSES.get(native, CampaignStatus.OTHER),
        native_status=native,
        ad_product=campaign.optional("advertisingChannelType"),
        budget=_budget(row, currency),
        start_date=campaign.day("startDateTime"),
        end_date=campaign.day("endDateTime"),
    )


def _budget(row: Record, currency: str) -> Budget:
    if not row.has("campaignBudget"):
        return Budget(kind=BudgetKind.LOWER_LEVEL, currency=currency)
    budget = row.record("campaignBudget")
    kind, amount = BudgetKind.DAILY, "amountMicros"
    if budget.optional("period") == "CUSTOM_PERIOD":
        kind, amount = BudgetKind.LIFETIME, "totalAmountMicros"
    elif budget.get("explicitlyShared") is True:
        kind = BudgetKind.SHARED
    return Budget(kind=kind, amount=_money(budget, amount), currency=currency, budget_id=budget.identifier("id"))


def change_of(row: Record) -> tuple[str, str]:
    """Return the GAQL field that finds the campaigns of a changed resource, and the resource's name."""
    change = row.record("changeStatus")
    field, gaql_field = CHANGED.get(change.text("resourceType"), ("", ""))
    if not field:
        raise change.invalid("resourceType")
    if not _RESOURCE_NAME.fullmatch(name := change.text(field)):
        raise change.invalid(field)
    return gaql_field, name


def day_of(currency: str, window: DateWindow, row: Record) -> DailyMetrics:
    """Read a row of `campaign`, segmented by date."""
    metrics = row.record("metrics")
    return DailyMetrics(
        campaign_id=row.record("campaign").identifier("id"),
        day=row.record("segments").day_within(window, "date"),
        impressions=metrics.integer("impressions"),
        clicks=metrics.integer("clicks"),
        spend=_money(metrics, "costMicros"),
        conversions=metrics.decimal("conversions"),
        conversion_value=metrics.decimal("conversionsValue"),
        currency=currency,
    )


def total_of(currency: str, window: DateWindow, row: Record) -> DailyTotal:
    """Read a row of `customer`, segmented by date."""
    day = row.record("segments").day_within(window, "date")
    return DailyTotal(day=day, spend=_money(row.record("metrics"), "costMicros"), currency=currency)


def _money(record: Record, name: str) -> Decimal:
    return Decimal(record.integer(name)) / MICROS
