"""The reports that teams got."""

from datetime import date, datetime

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import Base


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
