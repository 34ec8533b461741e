"""What teams mean to spend, and the alerts that tell how far budgets are spent."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class TeamBudget(Base):
    """What a team means to spend in a calendar month, on all its accounts of the currency or only on some of them.

    `platform` and `account_id` say on which; at most one of the two is set. `checked_at` is when it was last checked.
    """

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
    checked_at: Mapped[datetime | None]


class BudgetCheck(Base):
    """When the budgets of an account were last checked; beside `ad_accounts`, so that no check waits for a sync."""

    __tablename__ = "budget_checks"

    account_id: Mapped[int] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"), primary_key=True)
    checked_at: Mapped[datetime]


class BudgetAlert(Base):
    """A budget's spending reached a threshold, which was told; or an account's figures are too old to judge by.

    `subject` names the budget (`account-17.campaign-123.month`) or the account, `title` says it to a person. At most
    one is open for each subject and threshold (percent; 0 for old figures). `account_id` is null for a team's own
    budget. `amount` and `spent` are as they were when it opened, of the days from `period_since` to `period_until`.
    """

    __tablename__ = "budget_alerts"
    __table_args__ = (
        CheckConstraint("kind IN ('budget', 'budget-data-stale')", name="kind_is_known"),
        Index(
            "uq_budget_alerts_open",
            "kind",
            "subject",
            "threshold",
            unique=True,
            postgresql_where=text("closed_at IS NULL"),
        ),
        Index(None, "account_id"),
        Index(None, "team_id", "opened_at"),
        Index(None, "opened_at"),
        Index("ix_budget_alerts_closed", "closed_at", "id", postgresql_where=text("closed_at IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    title: Mapped[str]
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("ad_accounts.id", ondelete="CASCADE"))
    threshold: Mapped[int]
    period_since: Mapped[date | None]
    period_until: Mapped[date | None]
    currency: Mapped[str | None]
    amount: Mapped[Decimal | None]
    spent: Mapped[Decimal | None]
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
    closed_because: Mapped[str | None]
