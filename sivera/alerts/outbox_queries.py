"""Questions about the outbox: the events that transactions left there to be published."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

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


def latest_of_resource(session: Session, ids: Sequence[UUID], names: Collection[str]) -> Mapping[UUID, OutboxEvent]:
    """Return those of these events after which none of these names was left for the same resource, by their ids."""
    later = aliased(OutboxEvent)
    is_superseded = exists().where(
        later.resource == OutboxEvent.resource, later.name.in_(names), later.created_at > OutboxEvent.created_at
    )
    found = session.scalars(select(OutboxEvent).where(OutboxEvent.id.in_(ids), ~is_superseded))
    return {each.id: each for each in found}


def which_exist(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of these ids of which there is an event, published or not."""
    return set(session.scalars(select(OutboxEvent.id).where(OutboxEvent.id.in_(ids))))


def leave(session: Session, events: Sequence[Mapping[str, Any]]) -> int:
    """Leave events with ids to be published, and return how many; what was left before is not left again."""
    if not events:
        return 0
    statement = insert(OutboxEvent).on_conflict_do_nothing(index_elements=["id"]).returning(OutboxEvent.id)
    return len(session.scalars(statement.values(list(events))).all())


def mark_published(session: Session, ids: Sequence[UUID]) -> None:
    """Note that these events are published."""
    session.execute(update(OutboxEvent).where(OutboxEvent.id.in_(ids)).values(published_at=func.now()))
