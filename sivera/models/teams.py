"""Teams, their budgets and reports, and alerts."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class Team(Base):
    """A customer of Sivera. Its days are those of `timezone`, an IANA name."""

    __tablename__ = "teams"
    __table_args__ = (CheckConstraint("language IN ('en', 'ko')", name="language_is_known"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    timezone: Mapped[str] = mapped_column(server_default="UTC")
    language: Mapped[str] = mapped_column(server_default="en")
    reports_restated_through: Mapped[date | None]
    meta_conversion: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TeamBudget(Base):
    """A monthly budget of a team: for all accounts in the currency, for those of one platform, or for one account."""

    __tablename__ = "team_budgets"
    __table_args__ = (
        UniqueConstraint("team_id", "platform", "account_id", "currency", postgresql_nulls_not_distinct=True),
        CheckConstraint(PLATFORM_IS_KNOWN, name="platform_is_known"),
        CheckConstraint("platform IS NULL OR account_id IS NULL", name="scope_is_one"),
        CheckConstraint("amount > 0", name="amount_is_positive"),
        Index(None, "account_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    platform: Mapped[str | None]
    account_id: Mapped[int | None] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"))
    currency: Mapped[str]
    amount: Mapped[Decimal]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Report(Base):
    """A team's report on one day in its time zone; the storage for reports has its files.

    `digest` (SHA-256, hexadecimal) covers the figures and what is missing. If it changes, the files are written again.
    """

    __tablename__ = "reports"
    __table_args__ = (Index(None, "written_at"), Index(None, "day"))

    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    digest: Mapped[str]
    missing: Mapped[int]
    written_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Alert(Base):
    """A problem or a spent budget, from the check that found it until it is over.

    At most one alert is open per kind and subject. The receipts hold when each channel accepted the last message that
    the alert is open, and the message that it is over.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        Index("uq_alerts_open", "kind", "subject", unique=True, postgresql_where=text("closed_at IS NULL")),
        Index("ix_alerts_closed", "closed_at", "id", postgresql_where=text("closed_at IS NOT NULL")),
        Index(None, "account_id"),
        Index(None, "team_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    title: Mapped[str]
    message: Mapped[str]
    since: Mapped[datetime]
    link: Mapped[str]
    level: Mapped[int | None]
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"))
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    raised_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
    closed_because: Mapped[str | None]
    open_receipts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    close_receipts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
