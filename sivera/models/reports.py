"""The reports that teams got."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import Base


class Report(Base):
    """A version of a team's report on a day (of the team's time zone).

    A later version replaces an earlier one, whose files stay. `checksum` (SHA-256, hexadecimal) is that of the figures
    and of what was missing, not of the files. The paths are those within the storage block `reports`.
    """

    __tablename__ = "reports"
    __table_args__ = (
        Index(None, "created_at"),
        Index(None, "day"),
        CheckConstraint("version >= 1", name="version_is_positive"),
    )

    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    checksum: Mapped[str]
    html_path: Mapped[str]
    csv_path: Mapped[str]
    summary: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
