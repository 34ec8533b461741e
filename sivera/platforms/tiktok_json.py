"""TikTok's records as our values."""

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

CLOSED_ACCOUNT_STATUSES = frozenset({"STATUS_DISABLE", "STATUS_CONFIRM_FAIL", "STATUS_CONFIRM_FAIL_END"})
"""Closed or rejected. Punished (STATUS_LIMIT) and pending accounts can still be read."""
DELETED = "CAMPAIGN_STATUS_DELETE"
CAMPAIGN_STATUSES = {
    "ENABLE": CampaignStatus.ACTIVE,
    "DISABLE": CampaignStatus.PAUSED,
    "DELETE": CampaignStatus.REMOVED,
}
BUDGET_KINDS = {
    "BUDGET_MODE_DAY": BudgetKind.DAILY,
    "BUDGET_MODE_DYNAMIC_DAILY_BUDGET": BudgetKind.DAILY,
    "BUDGET_MODE_TOTAL": BudgetKind.LIFETIME,
    "BUDGET_MODE_INFINITE": BudgetKind.LOWER_LEVEL,
}

COUNT_METRIC, VALUE_METRIC = "complete_payment", "total_complete_payment_rate"
"""The number and value of purchases on websites, without those in apps and in TikTok Shop.

Despite its name, the second is not a rate: the SDK's `smart_plus_material_report_overview.yml` calls the two
`time_attr_shopping` and `time_attr_total_shopping_value`.
"""
NO_FIGURE = "-"
"""A metric without data in a report (Airbyte's connector, BEHAVIOR.md)."""


def account_of(row: Record) -> AdAccount:
    """Read a row of `advertiser/info`; an unknown status counts as active."""
    closed = row.optional("status") in CLOSED_ACCOUNT_STATUSES
    return AdAccount(
        external_id=row.identifier("advertiser_id"),
        name=row.text("name"),
        currency=row.currency("currency"),
        # For some accounts, `timezone` is a fixed offset ("Etc/GMT+8"); `display_timezone` names the place.
        timezone=row.zone("display_timezone" if row.has("display_timezone") else "timezone"),
        status=AccountStatus.CLOSED if closed else AccountStatus.ACTIVE,
    )


def campaign_of(currency: str, row: Record) -> Campaign:
    """Read a row of `campaign/get`; dates are in TikTok's ad groups."""
    # Its owner sets the operation status. The secondary one says, in ever more words, why a campaign does not deliver.
    wanted = row.text("operation_status")
    native = row.optional("secondary_status") or wanted
    status = CampaignStatus.REMOVED if native == DELETED else CAMPAIGN_STATUSES.get(wanted, CampaignStatus.OTHER)
    kind = BUDGET_KINDS.get(row.text("budget_mode"))
    if kind is None:
        raise row.invalid("budget_mode")
    amount = None if kind is BudgetKind.LOWER_LEVEL else row.decimal("budget")
    return Campaign(
        external_id=row.identifier("campaign_id"),
        name=row.text("campaign_name"),
        status=status,
        native_status=wanted if status is CampaignStatus.OTHER else native,
        ad_product=row.optional("objective_type"),
        budget=Budget(kind=kind, amount=amount, currency=currency),
        # A campaign that was never changed may lack `modify_time` (tap-tiktok-ads); connectors read both as UTC.
        updated_at=row.time("modify_time") or row.time("create_time"),
    )


def total_of(span: DateWindow, currency: str, row: Record) -> DailyTotal:
    """Read an account's day in a report over `span`."""
    day = row.record("dimensions").day_within(span, "stat_time_day")
    return DailyTotal(day=day, spend=_figure(row.record("metrics"), "spend"), currency=currency)


def day_of(span: DateWindow, currency: str, row: Record) -> DailyMetrics:
    """Read a campaign's day in a report over `span`."""
    dimensions, metrics = row.record("dimensions"), row.record("metrics")
    return DailyMetrics(
        campaign_id=dimensions.identifier("campaign_id"),
        day=dimensions.day_within(span, "stat_time_day"),
        impressions=_count(metrics, "impressions"),
        clicks=_count(metrics, "clicks"),
        spend=_figure(metrics, "spend"),
        conversions=_figure(metrics, COUNT_METRIC),
        conversion_value=_figure(metrics, VALUE_METRIC),
        currency=currency,
    )


def _figure(metrics: Record, name: str) -> Decimal:
    return Decimal(0) if metrics.get(name) == NO_FIGURE else metrics.decimal(name)


def _count(metrics: Record, name: str) -> int:
    return 0 if metrics.get(name) == NO_FIGURE else metrics.integer(name)
