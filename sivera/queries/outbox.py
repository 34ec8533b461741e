"""Questions about the outbox: the events that transactions left there to be published."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from sivera.models import OutboxEvent


def lock_unpublished(session: Session, most: int) -> Sequence[OutboxEvent]:
    """Return events that are not published yet, the oldest first, locked; those that another holds are left."""
    return session.scalars(
        select(OutboxEvent)
        .where(OutboxEvent.published_at.is_(None))
        .order_by(OutboxEvent.created_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()


def mark_published(session: Session, ids: Sequence[UUID]) -> None:
    """Note that these events are published."""
    session.execute(update(OutboxEvent).where(OutboxEvent.id.in_(ids)).values(published_at=func.now()))
