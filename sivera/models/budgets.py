"""What teams mean to spend."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import PLATFORM_IS_KNOWN, Base


class TeamBudget(Base):
    """What a team means to spend in a calendar month, on all its accounts of the currency or only on some of them.

    `platform` and `account_id` say on which; at most one of the two is set.
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
