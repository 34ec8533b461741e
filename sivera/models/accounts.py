"""Ad accounts, and what is copied of them from the platforms."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, column_property, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class ReportArrival(Base):
    """How new the stored metrics of an ad product are, if they come as reports, which arrive later than a sync.

    `as_of` is when the newest stored report was asked for; before the first has arrived, when that was asked for.
    """

    __tablename__ = "report_arrivals"

    account_id: Mapped[int] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"), primary_key=True)
    ad_product: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[datetime]


class AdAccount(Base):
    """An ad account of a team, the grant that carries it, and the state of its sync.

    `campaigns_cursor` is the time from which the next incremental listing asks for changes. `synced_as_of` is when the
    stored fetch began: an older fetch that ends later must not overwrite it. `reports_as_of` is the `as_of` of the ad
    product with the oldest reports; null if the platform answers at once. `next_attempt_at` keeps an account that
    failed repeatedly in the slow lane until then. `removals_held` is how many campaigns the last full listing would
    have removed, if that needs a human's `removals_approved`.
    """

    __tablename__ = "ad_accounts"
    __table_args__ = (
        UniqueConstraint("team_id", "platform", "external_id"),
        Index(None, "credential_id"),
        CheckConstraint(PLATFORM_IS_KNOWN, name="platform_is_known"),
        CheckConstraint("status IN ('active', 'closed')", name="status_is_known"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    credential_id: Mapped[int] = mapped_column(ForeignKey("platform_credentials.id"))
    platform: Mapped[str]
    external_id: Mapped[str]
    name: Mapped[str]
    currency: Mapped[str]
    timezone: Mapped[str]
    manager_id: Mapped[str | None]
    region: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="active")
    campaigns_cursor: Mapped[datetime | None]
    synced_as_of: Mapped[datetime | None]
    last_attempt_at: Mapped[datetime | None]
    last_synced_at: Mapped[datetime | None]
    last_full_sync_at: Mapped[datetime | None]
    consecutive_failures: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    removals_held: Mapped[int | None]
    removals_approved: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reports_as_of: Mapped[datetime | None] = column_property(
        select(func.min(ReportArrival.as_of))
        .where(ReportArrival.account_id == id)  # noqa: A003 - the column above
        .correlate_except(ReportArrival)
        .scalar_subquery()
    )

    @property
    def metrics_as_of(self) -> datetime | None:
        """How new its stored metrics are: a sync may bring campaigns, but no report of what they spent."""
        return min((each for each in (self.synced_as_of, self.reports_as_of) if each), default=None)


class Campaign(Base):
    """A campaign as its platform last described it. `first_seen_at` and `changed_at` are ours."""

    __tablename__ = "campaigns"

    account_id: Mapped[int] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"), primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    status: Mapped[str]
    native_status: Mapped[str]
    ad_product: Mapped[str | None]
    budget_kind: Mapped[str]
    budget_amount: Mapped[Decimal | None]
    budget_currency: Mapped[str]
    budget_id: Mapped[str | None]
    start_date: Mapped[date | None]
    end_date: Mapped[date | None]
    updated_at: Mapped[datetime | None]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CampaignDailyMetric(Base):
    """What a campaign did on a day of its account's time zone; a day without a row is zero.

    No foreign key to `campaigns`: a platform reports spend of campaigns that it no longer lists.
    """

    __tablename__ = "campaign_daily_metrics"
    __table_args__ = (Index(None, "account_id", "day"),)

    account_id: Mapped[int] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"), primary_key=True)
    campaign_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    ad_product: Mapped[str | None]
    impressions: Mapped[int] = mapped_column(BigInteger)
    clicks: Mapped[int] = mapped_column(BigInteger)
    spend: Mapped[Decimal]
    conversions: Mapped[Decimal]
    conversion_value: Mapped[Decimal]
    currency: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReportRequest(Base):
    """A report that a platform prepares for an account, to be collected by a later run."""

    __tablename__ = "report_requests"

    account_id: Mapped[int] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"), primary_key=True)
    report_id: Mapped[str] = mapped_column(primary_key=True)
    ad_product: Mapped[str]
    since: Mapped[date]
    until: Mapped[date]
    requested_at: Mapped[datetime]
