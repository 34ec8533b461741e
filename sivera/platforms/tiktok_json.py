"""TikTok's codes as our errors, and its records as our values.

Codes are those of `NumericErrorCodes` in the official SDK (`tiktok-business-api-sdk-official` 1.1.3).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    Throttled,
    TokenRejected,
    Unavailable,
)
from sivera.platforms.calling import Reply, seconds_from
from sivera.platforms.rows import zone_named
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

OK = 0
EXPIRED, REVOKED = 40102, 40105
ERRORS: dict[type[PlatformError], frozenset[int]] = {
    Throttled: frozenset({40100, 40132, 61000}),
    Unavailable: frozenset({20001, 40200, 40201, 40202, 40700}),
    TokenRejected: frozenset({EXPIRED, REVOKED}),
    ReconnectRequired: frozenset({40103, 40104, 40106, 40107, 40114, 40120, 40131, 40309}),
    AccountInaccessible: frozenset({40001, 40003, 40013, 40300, 40301, 40302}),
    Misconfigured: frozenset(
        {40006, 40051, 40101, 40110, 40112, 40113, 40115, 40116, 40117, 40118, 40124, 40125, 40130, 41000, 41001, 70001}
    ),
}
"""The codes of the SDK's `NumericErrorCodes` with a specific meaning; `error_of` handles the others."""
CALL_ERRORS = {code: kind for kind, codes in ERRORS.items() for code in codes}
GRANT_ERRORS = {
    **CALL_ERRORS,
    EXPIRED: ReconnectRequired,
    # "invalid/revoked": an advertiser's token is valid until the advertiser revokes it.
    REVOKED: GrantRevoked,
    # A call about the grant itself names no account for which a permission could be missing.
    **dict.fromkeys(ERRORS[AccountInaccessible], Misconfigured),
}
SENTENCES: dict[type[PlatformError], str] = {
    Throttled: "allows our app no more requests for now",
    Unavailable: "is in trouble, try again",
    TokenRejected: "rejects the access token",
    ReconnectRequired: "has ended the grant: connect the account again",
    GrantRevoked: "has ended the grant: connect the account again",
    AccountInaccessible: "does not let this grant read the account: it is closed, or the permission was removed",
    Misconfigured: "refuses our app: check its id, secret, scopes and approval in TikTok's developer portal",
    InvalidRequest: "refuses our request",
}
LIKE_A_SECRET = re.compile(r"\S*://\S*|[0-9A-Za-z+/=-]{20,}")
"""Matches URLs, tokens and secrets; TikTok's ids have only 19 digits."""
MAX_QUOTE = 120
THROTTLE_WAIT_SECONDS = 60.0
"""TikTok never names the wait; after a second, a minute is its shortest window for counting calls."""

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

VALUE_METRIC = "total_complete_payment_rate"
"""The value of purchases on websites, despite its name: the SDK's yml calls it `time_attr_total_shopping_value`.

It excludes purchases in apps and in TikTok Shop.
"""
NO_FIGURE = "-"
"""A metric without data in a report (Airbyte's connector, BEHAVIOR.md)."""

DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,12})?")
MAX_INTEGER = 10**10


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

    def records(self, name: str) -> "list[Record]":
        """Return a list of objects."""
        values = self._fields.get(name)
        if not isinstance(values, list):
            raise _invalid(name)
        return [Record(value, name) for value in values]

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
        except ValueError:
            raise _invalid(name) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def timezone(self) -> str:
        """Return an account's time zone.

        For some accounts `timezone` is a fixed offset ("Etc/GMT+8") while `display_timezone` names the place.
        """
        name = self.text("display_timezone" if self.has("display_timezone") else "timezone")
        if zone_named(name) is None:
            raise _invalid("timezone")
        return name


def error_of(kinds: Mapping[int, type[PlatformError]], reply: Reply) -> PlatformError | None:
    """Return the error that a reply means, or None for a success.

    Args:
        kinds: The type of error of each known code. Of the others, 4xxxx are our faults, the rest TikTok's.
        reply: A reply with any HTTP status.
    """
    if reply.status == 429:
        return _error(Throttled, reply, str(reply.status))
    if reply.status >= 500:
        return _error(Unavailable, reply, str(reply.status))
    code = reply.body.get("code") if isinstance(reply.body, dict) else None
    if type(code) is not int or (code == OK and reply.status != 200):
        return InvalidReply(PlatformName.TIKTOK, f"answered HTTP {reply.status} without a code that fits it")
    if code == OK:
        return None
    return _error(kinds.get(code, InvalidRequest if 40000 <= code < 50000 else Unavailable), reply, str(code))


def _error(kind: type[PlatformError], reply: Reply, code: str) -> PlatformError:
    message = SENTENCES[kind] + _quote(reply.body)
    if kind is Throttled:
        wait = seconds_from(reply.headers, default=THROTTLE_WAIT_SECONDS)
        return Throttled(PlatformName.TIKTOK, message, code, wait)
    return kind(PlatformName.TIKTOK, message, code)


def _quote(body: Any) -> str:
    """Return TikTok's own words, shortened, without anything that could be a token, a secret or a URL."""
    words = body.get("message") if isinstance(body, dict) else None
    if not isinstance(words, str) or not words:
        return ""
    return f"; it says: {LIKE_A_SECRET.sub('...', ' '.join(words.split()))[:MAX_QUOTE]}"


def _invalid(field: str) -> InvalidReply:
    return InvalidReply(PlatformName.TIKTOK, f"sent a reply in which {field} is missing or not as documented")


def account_of(record: Record) -> AdAccount:
    """Return the ad account of a record of `advertiser/info`; an unknown status counts as active."""
    closed = record.has("status") and record.text("status") in CLOSED_ACCOUNT_STATUSES
    return AdAccount(
        external_id=record.identifier("advertiser_id"),
        name=record.text("name"),
        currency=record.text("currency"),
        timezone=record.timezone(),
        status=AccountStatus.CLOSED if closed else AccountStatus.ACTIVE,
    )


def campaign_of(record: Record, currency: str) -> Campaign:
    """Return the campaign of a record of `campaign/get`; on TikTok, ad groups have the dates."""
    # The secondary status says why a campaign delivers or not, with a growing vocabulary; the other is its owner's.
    wanted, native = record.text("operation_status"), record.text("secondary_status")
    status = CampaignStatus.REMOVED if native == DELETED else CAMPAIGN_STATUSES.get(wanted, CampaignStatus.OTHER)
    return Campaign(
        external_id=record.identifier("campaign_id"),
        name=record.text("campaign_name"),
        status=status,
        native_status=wanted if status is CampaignStatus.OTHER else native,
        ad_product=record.text("objective_type") if record.has("objective_type") else None,
        budget=_budget(record, currency),
        updated_at=record.time("modify_time") if record.has("modify_time") else None,
    )


def _budget(record: Record, currency: str) -> Budget:
    kind = BUDGET_KINDS.get(record.text("budget_mode"))
    if kind is None:
        raise _invalid("budget_mode")
    amount = None if kind is BudgetKind.LOWER_LEVEL else record.decimal("budget")
    return Budget(kind=kind, amount=amount, currency=currency)


def campaign_and_day(record: Record) -> str:
    """Return the identity of a row of a report."""
    dimensions = record.record("dimensions")
    return f"{dimensions.identifier('campaign_id')} {dimensions.text('stat_time_day')}"


def metrics_of(record: Record, span: DateWindow, currency: str) -> DailyMetrics:
    """Return the campaign's day of a row of a report over `span`."""
    dimensions, metrics = record.record("dimensions"), record.record("metrics")
    day = dimensions.time("stat_time_day").date()
    if not span.since <= day <= span.until:
        raise _invalid("stat_time_day")
    return DailyMetrics(
        campaign_id=dimensions.identifier("campaign_id"),
        day=day,
        impressions=metrics.count("impressions"),
        clicks=metrics.count("clicks"),
        spend=metrics.figure("spend"),
        conversions=metrics.figure("conversion"),
        conversion_value=metrics.figure(VALUE_METRIC),
        currency=currency,
    )
