"""Google Ads' JSON as our values.

It is protobuf's JSON: int64 is text, a double is a number, an enum is its name, and an unset field is absent. A missing
field or one of another type raises InvalidReply with its name.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sivera.clock import find_zone
from sivera.errors import InvalidReply
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

MICROS = 1_000_000
"""All money is in millionths of the account's currency, also for JPY and KRW."""

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
"""For each kind of change: the cell with the changed resource, and the field that finds its campaigns."""

_RESOURCE_NAME = re.compile(r"customers/[0-9]+/[A-Za-z]+/[0-9]+")
_INT64 = re.compile(r"-?[0-9]{1,19}")
_MAX_INT64 = 2**63 - 1


def account_of(row: Any, manager_id: str | None) -> AdAccount:
    """Read a row of customer_client."""
    account_id = str(integer_of(row, "customerClient", "id"))
    timezone = text_of(row, "customerClient", "timeZone")
    zone_of(timezone)
    closed = text_of(row, "customerClient", "status") in CLOSED_STATUSES
    return AdAccount(
        external_id=account_id,
        name=_optional_text(row, "customerClient", "descriptiveName") or account_id,
        currency=text_of(row, "customerClient", "currencyCode"),
        timezone=timezone,
        status=AccountStatus.CLOSED if closed else AccountStatus.ACTIVE,
        manager_id=manager_id,
    )


def campaign_of(currency: str, row: Any) -> Campaign:
    """Read a row of campaign."""
    native = text_of(row, "campaign", "status")
    if native != "REMOVED" and _optional_text(row, "campaign", "servingStatus") == "ENDED":
        native = "ENDED"
    return Campaign(
        external_id=text_of(row, "campaign", "id"),
        name=text_of(row, "campaign", "name"),
        status=STATUSES.get(native, CampaignStatus.OTHER),
        native_status=native,
        ad_product=_optional_text(row, "campaign", "advertisingChannelType"),
        budget=_budget(row, currency),
        start_date=_optional_day(row, "campaign", "startDateTime"),
        end_date=_optional_day(row, "campaign", "endDateTime"),
    )


def _budget(row: Any, currency: str) -> Budget:
    if not row.get("campaignBudget"):
        return Budget(kind=BudgetKind.LOWER_LEVEL, currency=currency)
    kind, amount = BudgetKind.DAILY, "amountMicros"
    if _optional_text(row, "campaignBudget", "period") == "CUSTOM_PERIOD":
        kind, amount = BudgetKind.LIFETIME, "totalAmountMicros"
    elif row["campaignBudget"].get("explicitlyShared") is True:
        kind = BudgetKind.SHARED
    return Budget(
        kind=kind,
        amount=Decimal(integer_of(row, "campaignBudget", amount)) / MICROS,
        currency=currency,
        budget_id=text_of(row, "campaignBudget", "id"),
    )


def change_of(row: Any) -> tuple[str, str]:
    """Return the field that finds the campaigns of a changed resource, and the resource's name."""
    cell, field = CHANGED.get(text_of(row, "changeStatus", "resourceType"), ("", ""))
    if not field:
        raise invalid("sent a changeStatus.resourceType that was not requested")
    name = text_of(row, "changeStatus", cell)
    if not _RESOURCE_NAME.fullmatch(name):
        raise invalid(f"sent a changeStatus.{cell} that is not a resource name")
    return field, name


def metrics_of(currency: str, window: DateWindow, row: Any) -> DailyMetrics:
    """Read a row of campaign, segmented by date."""
    return DailyMetrics(
        campaign_id=text_of(row, "campaign", "id"),
        day=_day_within(window, row),
        impressions=integer_of(row, "metrics", "impressions"),
        clicks=integer_of(row, "metrics", "clicks"),
        spend=Decimal(integer_of(row, "metrics", "costMicros")) / MICROS,
        conversions=_decimal(row, "metrics", "conversions"),
        conversion_value=_decimal(row, "metrics", "conversionsValue"),
        currency=currency,
    )


def day_of(row: Any) -> str:
    """Read the day of a row, as text."""
    return text_of(row, "segments", "date")


def total_of(currency: str, window: DateWindow, row: Any) -> DailyTotal:
    """Read a row of customer, segmented by date."""
    return DailyTotal(
        day=_day_within(window, row),
        spend=Decimal(integer_of(row, "metrics", "costMicros")) / MICROS,
        currency=currency,
    )


def member(value: Any, key: str) -> Any:
    """Return a member of an object; None if it is absent or the value is not an object."""
    return value.get(key) if isinstance(value, dict) else None


def text_of(row: Any, resource: str, name: str) -> str:
    """Read a text that must not be absent or empty."""
    value = _optional_text(row, resource, name)
    if not value:
        raise invalid(f"sent a row without {resource}.{name}")
    return value


def _optional_text(row: Any, resource: str, name: str) -> str | None:
    try:
        value = row[resource].get(name)
    except (KeyError, TypeError, AttributeError):
        raise invalid(f"sent a row without {resource}") from None
    if value is not None and not isinstance(value, str):
        raise invalid(f"sent a {resource}.{name} that is not text")
    return value


def integer_of(row: Any, resource: str, name: str) -> int:
    """Read an int64, which JSON carries as text."""
    text = text_of(row, resource, name)
    if not _INT64.fullmatch(text) or abs(int(text)) > _MAX_INT64:
        raise invalid(f"sent a {resource}.{name} that is not a whole number")
    return int(text)


def _decimal(row: Any, resource: str, name: str) -> Decimal:
    """Read a double exactly as written."""
    value = member(member(row, resource), name)
    if type(value) not in (int, float):
        raise invalid(f"sent a {resource}.{name} that is not a number")
    return Decimal(str(value))


def _optional_day(row: Any, resource: str, name: str) -> date | None:
    text = _optional_text(row, resource, name)
    return _day(text[:10], f"{resource}.{name}") if text else None


def _day(text: str, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise invalid(f"sent a {field} that is not a day") from None


def _day_within(window: DateWindow, row: Any) -> date:
    day = _day(day_of(row), "segments.date")
    if not window.since <= day <= window.until:
        raise invalid("sent a segments.date that was not requested")
    return day


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; `account_of` makes sure that this machine knows it."""
    if (zone := find_zone(name)) is None:
        raise invalid("sent a time zone that this machine does not know; update tzdata")
    return zone


def invalid(message: str) -> InvalidReply:
    """Return the error for a reply that is not as documented."""
    return InvalidReply(PlatformName.GOOGLE, message)
