"""What people are told of."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import Base


class Alert(Base):
    """Something that people were told of when it began, and are told of once more when it is over.

    Of each kind and subject at most one is open. `since` is when it began, `opened_at` when it was found.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        Index("uq_alerts_open", "kind", "subject", unique=True, postgresql_where=text("closed_at IS NULL")),
        Index("ix_alerts_closed", "closed_at", "id", postgresql_where=text("closed_at IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    title: Mapped[str]
    message: Mapped[str]
    since: Mapped[datetime]
    link: Mapped[str]
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]


class AlertCheck(Base):
    """When alerts were last looked for: one row, since a gap is told of when it is over."""

    __tablename__ = "alert_checks"
    __table_args__ = (CheckConstraint("id = 1", name="there_is_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    checked_at: Mapped[datetime]
