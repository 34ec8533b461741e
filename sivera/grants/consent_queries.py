"""Questions about the states of consents. Times are the database's own."""

from datetime import timedelta

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from sivera.models import OAuthState


def add_state(session: Session, life: timedelta, **columns: object) -> None:
    """Add the state of a consent that starts now."""
    session.add(OAuthState(expires_at=func.now() + life, **columns))


def is_link_used(session: Session, link_hash: str) -> bool:
    """Return whether a consent of this link has been answered."""
    used = exists().where(OAuthState.link_hash == link_hash, OAuthState.used_at.is_not(None))
    return session.scalars(select(used)).one()


def lock_state(session: Session, state_hash: str) -> tuple[OAuthState, bool] | None:
    """Return one of our states, locked, and whether it has expired; None if we have no such state."""
    ours = (OAuthState.state_hash == state_hash, OAuthState.team.is_not(None))
    query = select(OAuthState, OAuthState.expires_at <= func.now()).where(*ours).with_for_update()
    return session.execute(query).tuples().one_or_none()


def use_state(session: Session, state: OAuthState, link_life: timedelta) -> None:
    """Mark a locked state as used; IntegrityError if another consent of the same link was answered first.

    The state of a link is kept for as long as the link is valid, so the link cannot be used again.
    """
    kept = {"expires_at": func.now() + link_life} if state.link_hash else {}
    session.execute(update(OAuthState).where(OAuthState.id == state.id).values(used_at=func.now(), **kept))


def release_link(session: Session, state_id: int) -> None:
    """Make the link of a consent that connected nothing usable again."""
    session.execute(update(OAuthState).where(OAuthState.id == state_id).values(link_hash=None))
