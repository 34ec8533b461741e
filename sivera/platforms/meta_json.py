"""What Meta's rows mean: ad accounts, campaigns and insights as our values.

Names of fields and statuses are those of the official SDK (`facebook-business` 26).
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from sivera.errors import InvalidReply
from sivera.values import (
    AccountStatus,
    AdAccount,
    Budget,
    BudgetKind,
    Campaign,
    CampaignStatus,
    DailyMetrics,
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

OPEN_ACCOUNTS = frozenset({1, 3, 9})
"""Active, with an unpaid bill, and in the grace period after it. The others are disabled (2), under review (7),
waiting for a settlement (8) or closed (100, 101): nothing runs there."""

CAMPAIGN_STATUSES = {
    "ACTIVE": CampaignStatus.ACTIVE,
    "PAUSED": CampaignStatus.PAUSED,
    "ARCHIVED": CampaignStatus.ARCHIVED,
    "DELETED": CampaignStatus.REMOVED,
}
UNDER_WAY = frozenset({"IN_PROCESS", "WITH_ISSUES"})
"""Effective statuses that speak of Meta's checks; such a campaign may spend, so what its owner set counts."""
EFFECTIVE_STATUSES = (*CAMPAIGN_STATUSES, *sorted(UNDER_WAY))

OFFSET_ONE = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})
"""Currencies whose budgets are in whole units, all others in hundredths: Meta's table, which is not ISO 4217's."""
BUDGETS = {"daily_budget": BudgetKind.DAILY, "lifetime_budget": BudgetKind.LIFETIME}

PURCHASE = "purchase"
"""Our conversion: the action type that counts purchases wherever they happened, as the platform attributes them.

The pixel's and the app's own types are parts of it, so only this one is read.
"""
MAX_DIGITS = 18
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
"""Times before it are Meta's way of saying that there is none: second 0 of Unix (the SDK's repository says so)."""

Row = Mapping[str, Any]


def account_of(row: Row) -> AdAccount:
    """Return an ad account; its id is without the `act_` that paths have before it."""
    timezone = _text(row, "timezone_name")
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):  # a name that is unknown, or that is no name
        raise _invalid("timezone_name") from None
    status = row.get("account_status")
    if type(status) is not int:
        raise _invalid("account_status")
    return AdAccount(
        external_id=_text(row, "account_id"),
        name=_text(row, "name"),
        currency=_text(row, "currency"),
        timezone=timezone,
        status=AccountStatus.ACTIVE if status in OPEN_ACCOUNTS else AccountStatus.CLOSED,
    )


def campaign_of(row: Row, account: AdAccount) -> Campaign:
    """Return a campaign. Its status does not change when its last day is over: Meta goes on calling it active."""
    native = _text(row, "effective_status")
    return Campaign(
        external_id=_text(row, "id"),
        name=_text(row, "name"),
        status=CAMPAIGN_STATUSES.get(_text(row, "status") if native in UNDER_WAY else native, CampaignStatus.OTHER),
        native_status=native,
        ad_product=_text(row, "objective") if row.get("objective") else None,
        budget=_budget(row, account.currency),
        start_date=_day(row, "start_time", account.timezone),
        end_date=_day(row, "stop_time", account.timezone),
        updated_at=_time(row, "updated_time"),
    )


def _budget(row: Row, currency: str) -> Budget:
    """Return the campaign's budget; one that is absent or "0" is not set, and without any the ad sets have them."""
    for field, kind in BUDGETS.items():
        if row.get(field) not in (None, "0"):
            amount = Decimal(_count(row, field))
            return Budget(kind=kind, amount=amount if currency in OFFSET_ONE else amount / 100, currency=currency)
    return Budget(kind=BudgetKind.LOWER_LEVEL, currency=currency)


def metrics_of(row: Row, window: DateWindow, currency: str) -> DailyMetrics:
    """Return one campaign's day; all of its figures are text, and money is in major units."""
    try:
        day = date.fromisoformat(_text(row, "date_start"))
    except ValueError:
        raise _invalid("date_start") from None
    if row.get("date_stop") != row["date_start"] or not window.since <= day <= window.until:
        raise _invalid("date_stop")
    return DailyMetrics(
        campaign_id=_text(row, "campaign_id"),
        day=day,
        impressions=_count(row, "impressions"),
        clicks=_count(row, "clicks"),
        spend=_decimal(row, "spend"),
        conversions=_purchases(row, "actions"),
        conversion_value=_purchases(row, "action_values"),
        currency=currency,
    )


def _purchases(row: Row, field: str) -> Decimal:
    actions = row.get(field, [])
    if not isinstance(actions, list) or not all(isinstance(action, dict) for action in actions):
        raise _invalid(field)
    values = (_decimal(action, "value") for action in actions if action.get("action_type") == PURCHASE)
    return sum(values, Decimal(0))


def _invalid(field: str) -> InvalidReply:
    return InvalidReply(PlatformName.META, f"sent a row whose {field} is missing or not what it documents")


def _text(row: Row, field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise _invalid(field)
    return value


def _count(row: Row, field: str) -> int:
    text = _text(row, field)
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_DIGITS:
        raise _invalid(field)
    return int(text)


def _decimal(row: Row, field: str) -> Decimal:
    try:
        number = Decimal(_text(row, field))
    except InvalidOperation:
        raise _invalid(field) from None
    if not number.is_finite() or number.adjusted() >= MAX_DIGITS:
        raise _invalid(field)
    return number


def _time(row: Row, field: str) -> datetime | None:
    """Return a time such as "2026-11-20T10:00:00+0900", or None where the row has none."""
    if row.get(field) is None:
        return None
    try:
        moment = datetime.fromisoformat(_text(row, field)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _invalid(field) from None
    return moment if moment >= EARLIEST else None


def _day(row: Row, field: str, timezone: str) -> date | None:
    moment = _time(row, field)
    return moment.astimezone(ZoneInfo(timezone)).date() if moment else None
