"""Amazon's profiles, and its campaigns in three encodings, as our values.

Source of names and limits: Amazon's guides and OpenAPI files of 2025.
"""

from dataclasses import dataclass

from sivera.platforms.rows import Record
from sivera.values import AdAccount, Budget, BudgetKind, Campaign, CampaignStatus, PlatformName

PLATFORM = PlatformName.AMAZON

STATUS = {
    "ENABLED": CampaignStatus.ACTIVE,
    "PAUSED": CampaignStatus.PAUSED,
    "ARCHIVED": CampaignStatus.ARCHIVED,
    "USER_DELETED": CampaignStatus.REMOVED,
}
BUDGET_KIND = {"DAILY": BudgetKind.DAILY, "LIFETIME": BudgetKind.LIFETIME}


@dataclass(frozen=True)
class Product:
    """An ad product: how its campaigns are listed, and the names in its report.

    A list with a `media` type is paged by token, one without by offset. `updated` is the field with a campaign's last
    change. Conversions are those within 14 days of a click (for Brands and Display, or of a view). They count on the
    day of that click or view, so past days change for weeks. Reports reach `days_kept` days back.
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


def account_of(found: Record) -> AdAccount:
    """Read a profile, and the region that listed it."""
    row = found.record("row")
    info = row.record("accountInfo")
    # Amazon's guide: the name is 'not currently populated for sellers'.
    name = info.optional("name") or f"{row.text('countryCode')} {info.text('id')}"
    return AdAccount(
        external_id=row.identifier("profileId"),
        name=name,
        currency=row.currency("currencyCode"),
        timezone=row.zone("timezone"),
        region=found.text("region"),
    )


def campaign_of(product: Product, currency: str, row: Record) -> Campaign:
    """Read a campaign in any of the three encodings."""
    native = row.text("state")
    status = STATUS.get(native.upper(), CampaignStatus.OTHER)
    details = row.record("extendedData") if row.has("extendedData") else row  # Display has no such object
    if status is CampaignStatus.ACTIVE and details.optional("servingStatus") == "ENDED":
        status = CampaignStatus.ENDED
    budget = row.record("budget") if isinstance(row.get("budget"), dict) else row
    kind = BUDGET_KIND.get(budget.text("budgetType").upper())
    if kind is None:
        raise budget.invalid("budgetType")
    return Campaign(
        external_id=row.identifier("campaignId"),
        name=row.text("name"),
        status=status,
        native_status=native,
        ad_product=product.name,
        budget=Budget(kind=kind, amount=budget.decimal("budget"), currency=currency),
        start_date=row.day("startDate"),
        end_date=row.day("endDate"),
        updated_at=details.time(product.updated),
        # Reports leave out the older kind of Brands campaigns, which have a single ad group.
        is_reported=row.get("isMultiAdGroupsEnabled") is not False,
    )
