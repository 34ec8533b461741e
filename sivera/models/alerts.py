"""What people are notified of."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import Base


class Alert(Base):
    """Something that is wrong, or a budget that is spent, from when a check found it until it is over.

    At most one is open of each kind and subject. `since` is when it began, `opened_at` when a check found it, and
    `raised_at` when it was opened or its `level` last rose. The level of a budget's alert is the highest threshold in
    percent that spending has reached. `account_id` is null for a team's own budget; both ids are null for other kinds.
    `details` is what the alert's events say besides. The receipts say when each channel took the last message that the
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
