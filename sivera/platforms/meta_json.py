"""Meta's ad accounts, campaigns and insights as our values.

Source of field names and statuses: the official SDK (`facebook-business` 26).
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sivera.clock import find_zone
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
    PlatformName,
)

ACCOUNT_FIELDS = ("account_id", "name", "currency", "timezone_name", "account_status")
CAMPAIGN_FIELDS = (
    "id",
    "name",
    "objective",
    "status",
    "effective_status",
    "daily_budget",
    "lifetime_budget",
    "start_time",
    "stop_time",
    "updated_time",
)
INSIGHT_FIELDS = ("campaign_id", "impressions", "clicks", "spend", "actions", "action_values")
TOTAL_FIELDS = ("account_currency", "spend")

OPEN_ACCOUNTS = frozenset({1, 3, 9})
"""Active, unsettled, and in the grace period. The others are disabled (2), under review (7), awaiting settlement (8) or
closed (100, 101): nothing runs there."""

CAMPAIGN_STATUSES = {
    "ACTIVE": CampaignStatus.ACTIVE,
    "PAUSED": CampaignStatus.PAUSED,
    "ARCHIVED": CampaignStatus.ARCHIVED,
    "DELETED": CampaignStatus.REMOVED,
}
UNDER_WAY = frozenset({"IN_PROCESS", "WITH_ISSUES"})
"""Effective statuses about Meta's checks. Such a campaign may spend, so its owner's status counts."""
DELETED = "DELETED"
LISTED_STATUSES = (*(status for status in CAMPAIGN_STATUSES if status != DELETED), *sorted(UNDER_WAY))
"""The effective statuses to list: `/campaigns` refuses a request for deleted campaigns."""

OFFSET_ONE = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})
"""Currencies with budgets in whole units, not hundredths. Meta's table differs from ISO 4217."""
BUDGETS = {"daily_budget": BudgetKind.DAILY, "lifetime_budget": BudgetKind.LIFETIME}

PURCHASES = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")
"""A conversion is the first of these action types that a row has.

Meta repeats one purchase under several types, so adding them would count it twice. Not every row has the first.
"""
ADS_SCOPES = frozenset({"ads_read", "ads_management"})


def account_of(row: Record) -> AdAccount:
    """Read an ad account. Unlike in paths, its id has no `act_`."""
    return AdAccount(
        external_id=row.identifier("account_id"),
        name=row.text("name"),
        currency=row.currency("currency"),
        timezone=row.zone("timezone_name"),
        status=AccountStatus.ACTIVE if row.count("account_status") in OPEN_ACCOUNTS else AccountStatus.CLOSED,
    )


def campaign_of(account: AdAccount, row: Record) -> Campaign:
    """Read a campaign. Meta still calls it active after its last day."""
    native = row.text("effective_status")
    return Campaign(
        external_id=row.identifier("id"),
        name=row.text("name"),
        status=CAMPAIGN_STATUSES.get(row.text("status") if native in UNDER_WAY else native, CampaignStatus.OTHER),
        native_status=native,
        ad_product=row.optional("objective"),
        budget=_budget(row, account.currency),
        start_date=_day(row, "start_time", account.timezone),
        end_date=_day(row, "stop_time", account.timezone),
        updated_at=row.time("updated_time"),
    )


def _budget(row: Record, currency: str) -> Budget:
    """Read the campaign's budget: absent and zero mean not set. Without any, the ad sets have budgets."""
    for field, kind in BUDGETS.items():
        if row.get(field) is not None and (amount := Decimal(row.count(field))):
            return Budget(kind=kind, amount=amount if currency in OFFSET_ONE else amount / 100, currency=currency)
    return Budget(kind=BudgetKind.LOWER_LEVEL, currency=currency)


def day_of(window: DateWindow, currency: str, actions: Sequence[str], row: Record) -> DailyMetrics:
    """Read a campaign's day. Figures are text, money is in major units.

    The first of the action types that the row has is the conversion.
    """
    counts, values = _by_type(row, "actions"), _by_type(row, "action_values")
    chosen = next((action for found in (counts, values) for action in actions if action in found), "")
    return DailyMetrics(
        campaign_id=row.identifier("campaign_id"),
        day=_reported_day(window, row),
        impressions=row.count("impressions"),
        clicks=row.count("clicks"),
        spend=row.decimal("spend"),
        conversions=_value_of(counts, chosen),
        conversion_value=_value_of(values, chosen),
        currency=currency,
    )


def total_of(window: DateWindow, row: Record) -> DailyTotal:
    """Read what an account spent on a day."""
    return DailyTotal(
        day=_reported_day(window, row), spend=row.decimal("spend"), currency=row.currency("account_currency")
    )


def _reported_day(window: DateWindow, row: Record) -> date:
    day = row.day_within(window, "date_start")
    if row.day("date_stop") != day:
        raise row.invalid("date_stop")
    return day


def _by_type(row: Record, field: str) -> dict[str, Any]:
    actions = [] if row.get(field) is None else row.rows(field)
    if not all(isinstance(action, dict) for action in actions):
        raise row.invalid(field)
    return {str(action.get("action_type")): action for action in actions}


def _value_of(actions: dict[str, Any], kind: str) -> Decimal:
    return Record(PlatformName.META, actions[kind], "actions.").decimal("value") if kind in actions else Decimal(0)


def data_access_of(body: Record) -> tuple[datetime | None, bool]:
    """Return when a token's data access ends (None if never), and whether the token may read ads.

    A limit that the description does not mention does not exist.
    """
    data = body.record("data")
    scopes = data.get("scopes")
    may_read_ads = not isinstance(scopes, list) or not ADS_SCOPES.isdisjoint(map(str, scopes))
    return data.time("data_access_expires_at"), may_read_ads


def _day(row: Record, field: str, timezone: str) -> date | None:
    moment, zone = row.time(field), find_zone(timezone)
    try:
        return moment.astimezone(zone).date() if moment and zone else None
    except OverflowError:
        raise row.invalid(field) from None
