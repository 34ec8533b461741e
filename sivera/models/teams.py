"""Teams, what they mean to spend, the reports that they get, and what people are notified of."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class Team(Base):
    """A customer of Sivera. `timezone` (an IANA name) is where its day ends."""

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
    """What a team means to spend in a calendar month, on all its accounts of the currency, of a platform, or on one."""

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
    """A team's report on a day of the team's time zone: a page and a table in the place for reports.

    `digest` (SHA-256, hexadecimal) covers the figures and what is missing, not the files. If it changes, the files are
    written again. `missing` counts the accounts with incomplete figures.
    """

    __tablename__ = "reports"
    __table_args__ = (Index(None, "written_at"), Index(None, "day"))

    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    digest: Mapped[str]
    missing: Mapped[int]
    written_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Alert(Base):
    """Something that is wrong, or a budget that is spent, from when a check found it until it is over.

    At most one is open of each kind and subject. The receipts say when each channel took the last message that the
    alert is open, and the one that it is over.
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
