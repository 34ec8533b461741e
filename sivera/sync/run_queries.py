"""Questions about runs of sync-campaigns."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.models import SyncRun
from sivera.sync.summary import SyncSummary


def record_run(session: Session, run_id: UUID, summary: SyncSummary, started_at: datetime) -> None:
    """Write what a run did; a second writing of the same run replaces the first."""
    row = {"mode": summary.mode.value, "started_at": started_at, "summary": summary.model_dump(mode="json")}
    session.execute(insert(SyncRun).values(id=run_id, **row).on_conflict_do_update(index_elements=["id"], set_=row))


def read_summary(session: Session, run_id: UUID) -> SyncSummary | None:
    """Return what a run did, or None where it has not ended."""
    summary = session.scalar(select(SyncRun.summary).where(SyncRun.id == run_id))
    return None if summary is None else SyncSummary.model_validate(summary)
