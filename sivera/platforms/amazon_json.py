"""Amazon's replies as our values: profiles, campaigns in three encodings, report rows and errors.

Names and limits are those of Amazon's guides and OpenAPI files of 2025.
"""

import re
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
)
from sivera.platforms.calling import Reply, seconds_from
from sivera.platforms.rows import zone_named
from sivera.values import (
    AdAccount,
    Budget,
    BudgetKind,
    Campaign,
    CampaignStatus,
    DailyMetrics,
    DateWindow,
    PlatformName,
)

PLATFORM = PlatformName.AMAZON

STATUS = {
    "ENABLED": CampaignStatus.ACTIVE,
    "PAUSED": CampaignStatus.PAUSED,
    "ARCHIVED": CampaignStatus.ARCHIVED,
    "USER_DELETED": CampaignStatus.REMOVED,
}
BUDGET_KIND = {"DAILY": BudgetKind.DAILY, "LIFETIME": BudgetKind.LIFETIME}
EPOCH_MS_FROM = 100_000_000_000
"""Amazon documents 'epoch' without a unit. From here on it is milliseconds: in seconds it would be the year 5138."""
MAX_REPORT_BYTES = 128 * 1024 * 1024
"""A month of 10,000 campaigns is about 50 MB."""


@dataclass(frozen=True)
class Product:
    """An ad product: how its campaigns are listed, and the names in its report.

    `media` is the vendor media type of a list that is paged by token; a list without one is paged by offset. `updated`
    is the field with the time of a campaign's last change. Conversions are those within 14 days of a click (for Brands
    and Display, or of a view). They count on the day of that click or view, so past days change for weeks. Reports
    reach `days_kept` days back.
    """

    name: str
    path: str
    media: str | None
    updated: str
    report_type: str
    conversions: str
    conversion_value: str
    days_kept: int


PRODUCTS = (
    Product(
        name="SPONSORED_PRODUCTS",
        path="/sp/campaigns/list",
        media="application/vnd.spCampaign.v3+json",
        updated="lastUpdateDateTime",
        report_type="spCampaigns",
        conversions="purchases14d",
        conversion_value="sales14d",
        days_kept=95,
    ),
    Product(
        name="SPONSORED_BRANDS",
        path="/sb/v4/campaigns/list",
        media="application/vnd.sbcampaignresource.v4+json",
        updated="lastUpdateDate",
        report_type="sbCampaigns",
        conversions="purchases",
        conversion_value="sales",
        days_kept=60,
    ),
    Product(
        name="SPONSORED_DISPLAY",
        path="/sd/campaigns/extended",
        media=None,
        updated="lastUpdatedDate",
        report_type="sdCampaigns",
        conversions="purchases",
        conversion_value="sales",
        days_kept=65,
    ),
)


class ProductNotEnabled(AccountInaccessible):
    """This ad product is not enabled for the account; others may be."""


def _words(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


REFUSALS: tuple[tuple[re.Pattern[str], type[PlatformError], str], ...] = (
    (
        _words("not authorized for sponsored|not have access to sponsored"),
        ProductNotEnabled,
        "has not enabled this ad product for the account",
    ),
    (_words("scope header is missing"), InvalidRequest, "got a request without a profile"),
    (
        _words("access scope|advertiser found for scope|manage this profile"),
        AccountInaccessible,
        "does not let this grant read the account",
    ),
    (_words("client.?id"), Misconfigured, "refuses our client id: check the keys of the Amazon app"),
)
"""The meaning of a 400, 401 or 403 by its words: one status has several meanings."""
STATUSES: dict[int, tuple[type[PlatformError], str]] = {
    401: (TokenRejected, "rejects the access token"),
    403: (AccountInaccessible, "does not let this grant read the account"),
    408: (Unavailable, "did not answer in time"),
}
LOGIN_ERRORS: dict[str, tuple[type[PlatformError], str]] = {
    # "valid indefinitely unless the user removes the app" (login-with-amazon/refresh-token)
    "invalid_grant": (GrantRevoked, "rejects the refresh token: connect the account again"),
    "invalid_client": (Misconfigured, "refuses our client id or secret: check the keys of the Amazon app"),
    "unauthorized_client": (Misconfigured, "does not let our application renew tokens: check the Amazon app"),
    "unsupported_grant_type": (Misconfigured, "does not let our application renew tokens: check the Amazon app"),
    "server_error": (Unavailable, "cannot renew tokens at the moment"),
    "temporarily_unavailable": (Unavailable, "cannot renew tokens at the moment"),
}
"""The errors of RFC 6749, 5.2, in Login with Amazon."""
SECRET_TEXT = re.compile(r"https?://\S+|Atz[ar]\|\S+")
MAX_DETAIL = 120


def account_of(row: Any, region: str) -> AdAccount:
    """Return the account of a profile; InvalidReply names a field that is not as documented."""
    info = field(row, "accountInfo", dict)
    timezone = text(row, "timezone")
    if zone_named(timezone) is None:
        raise invalid("timezone")
    # Amazon's guide: the name is 'not currently populated for sellers'.
    name = optional(info, "name", str) or f"{text(row, 'countryCode')} {text(info, 'id')}"
    return AdAccount(
        external_id=_id(row, "profileId"),
        name=name,
        currency=text(row, "currencyCode"),
        timezone=timezone,
        region=region,
    )


def campaign_of(row: Any, product: Product, currency: str) -> Campaign:
    """Return a campaign from any of the three encodings; InvalidReply names a field that is not as documented."""
    native = text(row, "state")
    status = STATUS.get(native.upper(), CampaignStatus.OTHER)
    details = row.get("extendedData") or row  # Display has them beside the rest
    if status is CampaignStatus.ACTIVE and optional(details, "servingStatus", str) == "ENDED":
        status = CampaignStatus.ENDED
    budget = row.get("budget")
    return Campaign(
        external_id=_id(row, "campaignId"),
        name=text(row, "name"),
        status=status,
        native_status=native,
        ad_product=product.name,
        budget=_budget(budget if isinstance(budget, dict) else row, currency),
        start_date=_day(row, "startDate"),
        end_date=_day(row, "endDate"),
        updated_at=_time(details, product.updated),
    )


def metrics_of(content: bytes, window: DateWindow, product: Product, currency: str) -> tuple[DailyMetrics, ...]:
    """Return the rows of a gzipped report; InvalidReply if one is odd, outside the window or a duplicate."""
    metrics: dict[tuple[str, date], DailyMetrics] = {}
    for row in unpack(content):
        campaign_id, day = _id(row, "campaignId"), _day(row, "date")
        if day is None or not window.since <= day <= window.until or (campaign_id, day) in metrics:
            raise invalid("date")
        metrics[campaign_id, day] = DailyMetrics(
            campaign_id=campaign_id,
            day=day,
            impressions=field(row, "impressions", int),
            clicks=field(row, "clicks", int),
            spend=_decimal(row, "cost"),
            conversions=_decimal(row, product.conversions),
            conversion_value=_decimal(row, product.conversion_value),
            currency=currency,
        )
    return tuple(metrics.values())


def unpack(content: bytes, limit: int = MAX_REPORT_BYTES) -> list[Any]:
    """Return the list in a gzipped report; InvalidReply if it is broken, or larger than `limit` bytes."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(content, limit)
    except zlib.error:
        raise InvalidReply(PLATFORM, "sent a report that is not gzip") from None
    if unpacker.unconsumed_tail:
        raise InvalidReply(PLATFORM, f"sent a report of over {limit} bytes")
    try:
        return rows(orjson.loads(unpacked))
    except orjson.JSONDecodeError:
        raise InvalidReply(PLATFORM, "sent a report that is cut off or not JSON") from None


# -- fields -----------------------------------------------------------------------------------------------------------


def invalid(name: str) -> InvalidReply:
    """Return the error for a field that is missing or not as documented."""
    return InvalidReply(PLATFORM, f"sent a reply in which '{name}' is missing or not as documented")


def rows(body: Any) -> list[Any]:
    """Return a reply that must be a list; else InvalidReply."""
    if not isinstance(body, list):
        raise InvalidReply(PLATFORM, "sent a reply that is not a list")
    return body


def field(row: Any, name: str, *kinds: type) -> Any:
    """Return a required field of one of the kinds; else InvalidReply."""
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise invalid(name)
    return value


def optional(row: Any, name: str, *kinds: type) -> Any:
    """Return a field of one of the kinds, or None if it is absent or null; else InvalidReply."""
    return None if isinstance(row, dict) and row.get(name) is None else field(row, name, *kinds)


def text(row: Any, name: str) -> str:
    """Return a required text that is not empty; else InvalidReply."""
    value: str = field(row, name, str)
    if not value:
        raise invalid(name)
    return value


def _id(row: Any, name: str) -> str:
    """Return an id, a text or a number depending on the endpoint; numbers stay exact beyond 2^53."""
    value = str(field(row, name, str, int))
    if not value.isdecimal():
        raise invalid(name)
    return value


def _decimal(row: Any, name: str) -> Decimal:
    return Decimal(str(field(row, name, int, float)))


def _budget(row: Any, currency: str) -> Budget:
    kind = BUDGET_KIND.get(text(row, "budgetType").upper())
    if kind is None:
        raise invalid("budgetType")
    return Budget(kind=kind, amount=_decimal(row, "budget"), currency=currency)


def _day(row: Any, name: str) -> date | None:
    """Return a day in the form 2026-01-31 or 20260131."""
    value = optional(row, name, str)
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise invalid(name) from None


def _time(row: Any, name: str) -> datetime | None:
    """Return a time in ISO 8601 or in unix time; 0 means none."""
    value = optional(row, name, str, int)
    if not value:
        return None
    try:
        if isinstance(value, int):
            return datetime.fromtimestamp(value / 1000 if value >= EPOCH_MS_FROM else value, UTC)
        when = datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError):
        raise invalid(name) from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


# -- errors -----------------------------------------------------------------------------------------------------------


def detail(body: Any) -> str:
    """Return the text of an error, under the name that its API uses."""
    names = ("message", "detail", "details") if isinstance(body, dict) else ()
    return next((body[name] for name in names if isinstance(body.get(name), str)), "")


def error_of(reply: Reply) -> PlatformError | None:
    """Return the error that a reply of the Ads API means.

    Amazon limits by region; we pause the whole platform, since a run uses all regions anyway.
    """
    if reply.status < 300:
        return None
    code, said = _code(reply, "code"), SECRET_TEXT.sub("...", detail(reply.body))[:MAX_DETAIL]
    if reply.status == 429:
        seconds = seconds_from(reply.headers)
        return Throttled(PLATFORM, "asks us to slow down", code, seconds, ThrottleScope.PLATFORM)
    if reply.status in (400, 401, 403):
        for words, kind, sentence in REFUSALS:
            if words.search(said):
                return kind(PLATFORM, f"{sentence}: {said}", code)
    if reply.status >= 500 or reply.status < 400:
        return Unavailable(PLATFORM, f"answered HTTP {reply.status}", code)
    kind, sentence = STATUSES.get(reply.status, (InvalidRequest, "refuses our request"))
    return kind(PLATFORM, f"{sentence}: {said}" if said else sentence, code)


def report_error_of(reply: Reply) -> PlatformError | None:
    """Return the same as `error_of`, but no error for an unknown report (404) or a duplicate request (425)."""
    return None if reply.status in (404, 425) else error_of(reply)


def login_error_of(reply: Reply) -> PlatformError | None:
    """Return the error that a reply of Login with Amazon means."""
    if reply.status < 300:
        return None
    code = _code(reply, "error")
    if reply.status == 429:
        return Throttled(PLATFORM, "asks us to renew tokens more slowly", code, seconds_from(reply.headers))
    if reply.status >= 500 or reply.status < 400:
        return Unavailable(PLATFORM, f"answered HTTP {reply.status} to the renewal of a token", code)
    kind, sentence = LOGIN_ERRORS.get(code, (InvalidRequest, "refuses our request to renew a token"))
    return kind(PLATFORM, sentence, code)


def _code(reply: Reply, name: str) -> str:
    code = reply.body.get(name) if isinstance(reply.body, dict) else None
    return code[:60] if isinstance(code, str) and code else str(reply.status)
