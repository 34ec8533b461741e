"""Amazon's replies as our values: profiles, campaigns in three encodings, and their fields.

Names and limits are those of Amazon's guides and OpenAPI files of 2025.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sivera.clock import find_zone
from sivera.errors import InvalidReply
from sivera.platforms.base import MAX_EMPTY_PAGES
from sivera.values import AdAccount, Budget, BudgetKind, Campaign, CampaignStatus, PlatformName

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
MAX_DIGITS = 18
"""No figure is longer, and the database takes none that is."""


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


def account_of(row: Any, region: str) -> AdAccount:
    """Return the account of a profile; InvalidReply names a field that is not as documented."""
    info = field(row, "accountInfo", dict)
    timezone = text(row, "timezone")
    if find_zone(timezone) is None:
        raise invalid("timezone")
    # Amazon's guide: the name is 'not currently populated for sellers'.
    name = optional(info, "name", str) or f"{text(row, 'countryCode')} {text(info, 'id')}"
    return AdAccount(
        external_id=id_of(row, "profileId"),
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
        external_id=id_of(row, "campaignId"),
        name=text(row, "name"),
        status=status,
        native_status=native,
        ad_product=product.name,
        budget=_budget(budget if isinstance(budget, dict) else row, currency),
        start_date=day_of(row, "startDate"),
        end_date=day_of(row, "endDate"),
        updated_at=_time(details, product.updated),
        # Campaign reports leave out the Brands campaigns of the older kind, which have a single ad group.
        is_reported=row.get("isMultiAdGroupsEnabled") is not False,
    )


def each_once(pages: Iterable[list[Any]]) -> Iterator[Any]:
    """Yield the rows of a listing, each once; InvalidReply if its pages bring nothing new for too long."""
    seen: set[str] = set()
    repeated = 0
    for page in pages:
        new = {str(row.get("campaignId") or row) if isinstance(row, dict) else str(row): row for row in page}
        new = {key: row for key, row in new.items() if key not in seen}
        seen |= new.keys()
        yield from new.values()
        repeated = 0 if new else repeated + 1
        if repeated == MAX_EMPTY_PAGES:
            raise InvalidReply(PLATFORM, f"sent {repeated} pages of a listing with nothing new")


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
    """Return a required text that is not empty; else InvalidReply. The database takes no zero bytes."""
    value: str = field(row, name, str)
    if not value or "\x00" in value:
        raise invalid(name)
    return value


def id_of(row: Any, name: str) -> str:
    """Return an id, a text or a number depending on the endpoint; numbers stay exact beyond 2^53."""
    value = str(field(row, name, str, int))
    if not value.isdecimal():
        raise invalid(name)
    return value


def count_of(row: Any, name: str) -> int:
    """Return a required number of 0 or more; else InvalidReply."""
    count: int = field(row, name, int)
    if not 0 <= count < 10**MAX_DIGITS:
        raise invalid(name)
    return count


def decimal_of(row: Any, name: str) -> Decimal:
    """Return a required number as it was written; else InvalidReply."""
    number = Decimal(str(field(row, name, int, float)))
    if not number.is_finite() or number.adjusted() >= MAX_DIGITS:
        raise invalid(name)
    return number


def _budget(row: Any, currency: str) -> Budget:
    kind = BUDGET_KIND.get(text(row, "budgetType").upper())
    if kind is None:
        raise invalid("budgetType")
    return Budget(kind=kind, amount=decimal_of(row, "budget"), currency=currency)


def day_of(row: Any, name: str) -> date | None:
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
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise invalid(name) from None
