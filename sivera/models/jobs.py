"""What the jobs keep of their own runs, and the events that they are to publish."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, func, text
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


class JobOccurrence(Base):
    """What became of one time at which the timetable would run a deployment, or of a run that no schedule made.

    `deployment` is its full name (`sync-campaigns/all`), `job` the part before the slash. `schedule` is null for a run
    that a person, the door or an automation started. `run_id` is the flow run that was made; null where there is none.
    `skipped_by` is the run that was under way, where known. `message` is that of the run's last state. A time whose run
    has not ended is looked at again.
    """

    __tablename__ = "job_occurrences"
    __table_args__ = (
        CheckConstraint(
            "outcome IN ('waiting', 'running', 'late', 'ran', 'failed', 'skipped', 'missed')", name="outcome_is_known"
        ),
        Index(None, "job", "scheduled_at"),
        Index(None, "scheduled_at", "deployment"),
        # Looked at every few minutes: a handful, however many rows there are.
        Index(
            "ix_job_occurrences_open",
            "scheduled_at",
            postgresql_where=text("ended_at IS NULL AND outcome <> 'missed'"),
        ),
    )

    deployment: Mapped[str] = mapped_column(primary_key=True)
    scheduled_at: Mapped[datetime] = mapped_column(primary_key=True)
    job: Mapped[str]
    schedule: Mapped[str | None]
    outcome: Mapped[str]
    run_id: Mapped[UUID | None]
    skipped_by: Mapped[UUID | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    message: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
