"""TikTok's records as our values. A field that is missing or not as documented raises InvalidReply with its name."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

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

CLOSED_ACCOUNT_STATUSES = frozenset({"STATUS_DISABLE", "STATUS_CONFIRM_FAIL", "STATUS_CONFIRM_FAIL_END"})
"""Closed for good, or rejected when opened. Punished (STATUS_LIMIT) and pending accounts can still be read."""
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
"""The number and the value of purchases on websites.

The second is no rate, despite its name: the SDK's `smart_plus_material_report_overview.yml` calls the two
`time_attr_shopping` and `time_attr_total_shopping_value`. They exclude purchases in apps and in TikTok Shop.
"""
NO_FIGURE = "-"
"""A metric without data in a report (Airbyte's connector, BEHAVIOR.md)."""

DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,12})?")
MAX_INTEGER = 10**10
MAX_ID = 64


class Record:
    """A JSON object of a reply, read field by field.

    Every method raises InvalidReply with the name of a field that is missing or not as documented.
    """

    __slots__ = ("_fields",)

    def __init__(self, value: Any, name: str = "body") -> None:
        if not isinstance(value, dict):
            raise _invalid(name)
        self._fields: dict[str, Any] = value

    def has(self, name: str) -> bool:
        """Whether the field exists and is not empty."""
        return bool(self._fields.get(name))

    def record(self, name: str) -> "Record":
        """Return an object."""
        return Record(self._fields.get(name), name)

    def rows(self, name: str) -> list[Any]:
        """Return a list; TikTok leaves an empty one out."""
        values = self._fields.get(name)
        if values is not None and not isinstance(values, list):
            raise _invalid(name)
        return values or []

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self._fields.get(name)
        if not isinstance(value, str) or not value:
            raise _invalid(name)
        return value

    def identifier(self, name: str) -> str:
        """Return an id as text; recorded replies have ids as numbers too."""
        value = self._fields.get(name)
        return str(value) if type(value) is int else self.text(name)

    def integer(self, name: str) -> int:
        """Return an integer that is not negative."""
        value = self._fields.get(name)
        if type(value) is not int or not 0 <= value < MAX_INTEGER:
            raise _invalid(name)
        return value

    def decimal(self, name: str) -> Decimal:
        """Return a number exactly: reports write it as text, other replies as a JSON number."""
        value = self._fields.get(name)
        text = str(value) if type(value) in (int, float) else value
        if not isinstance(text, str) or DECIMAL.fullmatch(text) is None:
            raise _invalid(name)
        return Decimal(text)

    def figure(self, name: str) -> Decimal:
        """Return a metric of a report."""
        return Decimal(0) if self._fields.get(name) == NO_FIGURE else self.decimal(name)

    def count(self, name: str) -> int:
        """Return a metric of a report that counts something."""
        figure = self.figure(name)
        if figure != int(figure):
            raise _invalid(name)
        return int(figure)

    def time(self, name: str) -> datetime:
        """Return a time such as "2026-01-05 09:00:00"; connectors read it as UTC."""
        try:
            moment = datetime.fromisoformat(self.text(name))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise _invalid(name) from None

    def timezone(self) -> str:
        """Return an account's time zone.

        For some accounts `timezone` is a fixed offset ("Etc/GMT+8") while `display_timezone` names the place.
        """
        name = self.text("display_timezone" if self.has("display_timezone") else "timezone")
        if find_zone(name) is None:
            raise _invalid("timezone")
        return name


def _invalid(field: str) -> InvalidReply:
    return InvalidReply(PlatformName.TIKTOK, f"sent a reply in which {field} is missing or not as documented")


def account_of(row: Any) -> AdAccount:
    """Return the ad account of a row of `advertiser/info`; an unknown status counts as active."""
    record = Record(row, "row")
    closed = record.has("status") and record.text("status") in CLOSED_ACCOUNT_STATUSES
    return AdAccount(
        external_id=record.identifier("advertiser_id"),
        name=record.text("name"),
        currency=record.text("currency"),
        timezone=record.timezone(),
        status=AccountStatus.CLOSED if closed else AccountStatus.ACTIVE,
    )


def campaign_of(currency: str, row: Any) -> Campaign:
    """Return the campaign of a row of `campaign/get`; on TikTok, ad groups have the dates."""
    record = Record(row, "row")
    # The secondary status says why a campaign delivers or not, with a growing vocabulary; the other is its owner's.
    wanted = record.text("operation_status")
    native = record.text("secondary_status") if record.has("secondary_status") else wanted
    status = CampaignStatus.REMOVED if native == DELETED else CAMPAIGN_STATUSES.get(wanted, CampaignStatus.OTHER)
    return Campaign(
        external_id=record.identifier("campaign_id"),
        name=record.text("campaign_name"),
        status=status,
        native_status=wanted if status is CampaignStatus.OTHER else native,
        ad_product=record.text("objective_type") if record.has("objective_type") else None,
        budget=_budget(record, currency),
        # A campaign that was never changed may lack the first (tap-tiktok-ads).
        updated_at=next((record.time(name) for name in ("modify_time", "create_time") if record.has(name)), None),
    )


def _budget(record: Record, currency: str) -> Budget:
    kind = BUDGET_KINDS.get(record.text("budget_mode"))
    if kind is None:
        raise _invalid("budget_mode")
    amount = None if kind is BudgetKind.LOWER_LEVEL else record.decimal("budget")
    return Budget(kind=kind, amount=amount, currency=currency)


def for_url(id_of: Callable[[Any], str], row: Any) -> str:
    """Return the id of a row that is asked for by it; InvalidReply for one that is too long for a URL."""
    if len(id_ := id_of(row)) > MAX_ID:
        raise _invalid("id")
    return id_


def campaign_id_of(row: Any) -> str:
    """Return the identity of a row of `campaign/get`."""
    return Record(row, "row").identifier("campaign_id")


def key_of(span: DateWindow, row: Any) -> str:
    """Return the identity of a row of a report by campaign and day over `span`."""
    dimensions = Record(row, "row").record("dimensions")
    return f"{dimensions.identifier('campaign_id')} {_day_within(span, dimensions)}"


def campaign_and_day(row: Any) -> str:
    """Return what names a row of a report by campaign and day, whatever its day is."""
    dimensions = Record(row, "row").record("dimensions")
    return f"{dimensions.identifier('campaign_id')} {dimensions.text('stat_time_day')}"


def day_of(row: Any) -> str:
    """Return the identity of a row of a report by day."""
    return Record(row, "row").record("dimensions").text("stat_time_day")


def total_of(span: DateWindow, currency: str, row: Any) -> DailyTotal:
    """Return the account's day of a row of a report over `span`."""
    record = Record(row, "row")
    day = _day_within(span, record.record("dimensions"))
    return DailyTotal(day=day, spend=record.record("metrics").figure("spend"), currency=currency)


def metrics_of(span: DateWindow, currency: str, row: Any) -> DailyMetrics:
    """Return the campaign's day of a row of a report over `span`."""
    record = Record(row, "row")
    dimensions, metrics = record.record("dimensions"), record.record("metrics")
    day = _day_within(span, dimensions)
    return DailyMetrics(
        campaign_id=dimensions.identifier("campaign_id"),
        day=day,
        impressions=metrics.count("impressions"),
        clicks=metrics.count("clicks"),
        spend=metrics.figure("spend"),
        conversions=metrics.figure(COUNT_METRIC),
        conversion_value=metrics.figure(VALUE_METRIC),
        currency=currency,
    )


def _day_within(span: DateWindow, dimensions: Record) -> date:
    day = dimensions.time("stat_time_day").date()
    if not span.since <= day <= span.until:
        raise _invalid("stat_time_day")
    return day
