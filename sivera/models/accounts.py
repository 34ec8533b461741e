"""Ad accounts, and what is copied from the platforms."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, column_property, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class SyncPart(Base):
    """The state of one part of an account's sync: `campaigns`, `metrics` or `totals`; on Amazon, per `ad_product`.

    A fetch that started before `as_of` must not overwrite the part. The next incremental listing asks for changes since
    then.
    """

    __tablename__ = "sync_parts"

    account_id: Mapped[int] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    ad_product: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[datetime | None]
    figures_as_of: Mapped[datetime | None]
    covered_since: Mapped[date | None]
    covered_until: Mapped[date | None]
    last_attempt_at: Mapped[datetime | None]
    last_ok_at: Mapped[datetime | None]
    last_full_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")
    full_failures: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    put_off_since: Mapped[datetime | None]
    error: Mapped[str | None]
    full_error: Mapped[str | None]
    left_out: Mapped[int] = mapped_column(server_default="0")
    left_out_rows: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    held: Mapped[int] = mapped_column(server_default="0")
    approved: Mapped[int] = mapped_column(server_default="0")
    not_enabled_since: Mapped[datetime | None]


class AdAccount(Base):
    """An ad account of a team, the grant that reaches it, and the state of its sync as a whole.

    `reports_as_of` is the `figures_as_of` of the ad product with the oldest reports; null if the platform answers at
    once. `held` counts the campaigns whose removal is not confirmed yet.
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
    unlisted_since: Mapped[datetime | None]
    synced_as_of: Mapped[datetime | None]
    last_attempt_at: Mapped[datetime | None]
    last_synced_at: Mapped[datetime | None]
    last_full_sync_at: Mapped[datetime | None]
    consecutive_failures: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reports_as_of: Mapped[datetime | None] = column_property(
        select(func.min(SyncPart.figures_as_of))
        .where(SyncPart.account_id == id, SyncPart.kind == "metrics", SyncPart.ad_product != "")  # noqa: A003 - above
        .where(SyncPart.not_enabled_since.is_(None))
        .correlate_except(SyncPart)
        .scalar_subquery()
    )
    held: Mapped[int | None] = column_property(
        select(func.sum(SyncPart.held))
        .where(SyncPart.account_id == id, SyncPart.kind == "campaigns")  # noqa: A003 - the column above
        .correlate_except(SyncPart)
        .scalar_subquery()
    )


class Campaign(Base):
    """A campaign as its platform last described it."""

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
    is_reported: Mapped[bool] = mapped_column(server_default="true")
    missing_since: Mapped[datetime | None]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CampaignDailyMetric(Base):
    """A campaign's figures for one day in its account's time zone.

    There is no foreign key to `campaigns`, because platforms report spend for campaigns that they no longer list.
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
    missing_since: Mapped[datetime | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AccountDailyTotal(Base):
    """An account's spend on one day in its time zone, as the platform adds it up."""

    __tablename__ = "account_daily_totals"

    account_id: Mapped[int] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    spend: Mapped[Decimal]
    unattributed: Mapped[Decimal]
    currency: Mapped[str]
    missing_since: Mapped[datetime | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReportRequest(Base):
    """A report that a platform is preparing for an account, to be collected by a later run.

    `ended_at` is when it was `collected` or given up. Ended requests are kept for two days, to limit how often a window
    is requested.
    """

    __tablename__ = "report_requests"

    account_id: Mapped[int] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"), primary_key=True)
    report_id: Mapped[str] = mapped_column(primary_key=True)
    ad_product: Mapped[str]
    since: Mapped[date]
    until: Mapped[date]
    requested_at: Mapped[datetime]
    failed_collections: Mapped[int] = mapped_column(server_default="0")
    ended_at: Mapped[datetime | None]
    collected: Mapped[bool] = mapped_column(server_default="false")
