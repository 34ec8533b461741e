"""Meta's ad accounts, campaigns and insights as our values.

Names of fields and statuses are those of the official SDK (`facebook-business` 26).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
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
"""Effective statuses about Meta's checks; such a campaign may spend, so the status that its owner set counts."""
DELETED = "DELETED"
LISTED_STATUSES = (*(status for status in CAMPAIGN_STATUSES if status != DELETED), *sorted(UNDER_WAY))
"""The effective statuses that `/campaigns` lists: a request for deleted campaigns is refused there."""

OFFSET_ONE = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})
"""Currencies with budgets in whole units; all others are in hundredths. Meta's table differs from ISO 4217."""
BUDGETS = {"daily_budget": BudgetKind.DAILY, "lifetime_budget": BudgetKind.LIFETIME}

PURCHASES = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")
"""Our conversion: the first of these action types that a row has.

Meta repeats one purchase under several types, and not every row has the first: adding them would count it twice.
"""
ADS_SCOPES = frozenset({"ads_read", "ads_management"})
MAX_DIGITS = 18
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
"""An earlier time means none: Meta writes second 0 of Unix (according to the SDK's repository)."""

Row = Mapping[str, Any]


def account_of(row: Row) -> AdAccount:
    """Return an ad account; its id has no `act_`, unlike in paths."""
    timezone, status = _text(row, "timezone_name"), row.get("account_status")
    if find_zone(timezone) is None:
        raise invalid("timezone_name")
    if type(status) is not int:
        raise invalid("account_status")
    return AdAccount(
        external_id=_text(row, "account_id"),
        name=_text(row, "name"),
        currency=_text(row, "currency"),
        timezone=timezone,
        status=AccountStatus.ACTIVE if status in OPEN_ACCOUNTS else AccountStatus.CLOSED,
    )


def campaign_of(row: Row, account: AdAccount) -> Campaign:
    """Return a campaign. Meta still calls it active after its last day."""
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
    """Return the campaign's budget; absent or "0" is not set, and without any the ad sets have budgets."""
    for field, kind in BUDGETS.items():
        if row.get(field) not in (None, "0"):
            amount = Decimal(_count(row, field))
            return Budget(kind=kind, amount=amount if currency in OFFSET_ONE else amount / 100, currency=currency)
    return Budget(kind=BudgetKind.LOWER_LEVEL, currency=currency)


def metrics_of(row: Row, window: DateWindow, currency: str, actions: Sequence[str] = PURCHASES) -> DailyMetrics:
    """Return a campaign's day; all figures are text, and money is in major units.

    The conversions and their value are those of the first of the action types that the row has.
    """
    counts, values = _by_type(row, "actions"), _by_type(row, "action_values")
    chosen = next((action for found in (counts, values) for action in actions if action in found), "")
    return DailyMetrics(
        campaign_id=_text(row, "campaign_id"),
        day=_reported_day(row, window),
        impressions=_count(row, "impressions"),
        clicks=_count(row, "clicks"),
        spend=_decimal(row, "spend"),
        conversions=_decimal(counts[chosen], "value") if chosen in counts else Decimal(0),
        conversion_value=_decimal(values[chosen], "value") if chosen in values else Decimal(0),
        currency=currency,
    )


def total_of(row: Row, window: DateWindow) -> DailyTotal:
    """Return what an account spent on a day."""
    return DailyTotal(
        day=_reported_day(row, window), spend=_decimal(row, "spend"), currency=_text(row, "account_currency")
    )


def _reported_day(row: Row, window: DateWindow) -> date:
    try:
        day = date.fromisoformat(_text(row, "date_start"))
    except ValueError:
        raise invalid("date_start") from None
    if row.get("date_stop") != row["date_start"] or not window.since <= day <= window.until:
        raise invalid("date_stop")
    return day


def _by_type(row: Row, field: str) -> dict[str, Row]:
    """Return a row's actions by their type."""
    actions = row.get(field, [])
    if not isinstance(actions, list) or not all(isinstance(action, dict) for action in actions):
        raise invalid(field)
    return {action["action_type"]: action for action in actions if isinstance(action.get("action_type"), str)}


def data_access_of(body: Row) -> tuple[datetime | None, bool]:
    """Return when the data access of a described token ends (None if never), and whether it may read ads.

    What Meta leaves out of the description means no limit.
    """
    data = body.get("data")
    if not isinstance(data, dict):
        raise invalid("data")
    until, scopes = data.get("data_access_expires_at", 0), data.get("scopes")
    try:
        ends = datetime.fromtimestamp(until, UTC) if until else None
    except (TypeError, ValueError, OverflowError, OSError):
        raise invalid("data_access_expires_at") from None
    return ends, not isinstance(scopes, list) or not ADS_SCOPES.isdisjoint(map(str, scopes))


def invalid(field: str) -> InvalidReply:
    """Return the error for a field that is missing or not as documented."""
    return InvalidReply(PlatformName.META, f"sent a reply in which {field} is missing or not as documented")


def object_of(row: object) -> Row:
    """Return a row, which must be a JSON object."""
    if not isinstance(row, dict):
        raise invalid("row")
    return row


def _text(row: Row, field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise invalid(field)
    return value


def _count(row: Row, field: str) -> int:
    text = _text(row, field)
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_DIGITS:
        raise invalid(field)
    return int(text)


def _decimal(row: Row, field: str) -> Decimal:
    try:
        number = Decimal(_text(row, field))
    except InvalidOperation:
        raise invalid(field) from None
    if not number.is_finite() or number.adjusted() >= MAX_DIGITS:
        raise invalid(field)
    return number


def _time(row: Row, field: str) -> datetime | None:
    """Return a time such as "2026-11-20T10:00:00+0900", or None if the row has none."""
    if row.get(field) is None:
        return None
    try:
        moment = datetime.fromisoformat(_text(row, field)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(field) from None
    return moment if moment >= EARLIEST else None


def _day(row: Row, field: str, timezone: str) -> date | None:
    moment = _time(row, field)
    try:
        return moment.astimezone(ZoneInfo(timezone)).date() if moment else None
    except OverflowError:
        raise invalid(field) from None
