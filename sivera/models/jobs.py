"""What the jobs keep about their own runs, and the events that they are to publish."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from sivera.models.base import Base


class SyncRun(Base):
    """What one run of sync-campaigns did; `id` is the id of its flow run."""

    __tablename__ = "sync_runs"
    __table_args__ = (Index(None, "started_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    mode: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = mapped_column(server_default=func.now())
    summary: Mapped[dict[str, Any]]


class CleanupRun(Base):
    """What one run of cleanup-expired-tokens did with one kind. Each batch adds to it in its own transaction.

    `run_id` is the id of the flow run, `kind` the name of the table. Rows older than `cutoff` were deleted. `remaining`
    counts the rows that were still due at the end; it is null if they were not counted or the run died. `refused` says
    why nothing was deleted.
    """

    __tablename__ = "cleanup_runs"
    __table_args__ = (Index(None, "started_at"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    cutoff: Mapped[datetime]
    deleted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    remaining: Mapped[int | None] = mapped_column(BigInteger)
    dry_run: Mapped[bool]
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    refused: Mapped[str | None]
