"""Questions about the states of consents. Times are the database's own."""

from datetime import timedelta

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from sivera.models import OAuthState


def add_state(session: Session, life: timedelta, **columns: object) -> None:
    """Add the state of a consent that begins now."""
    session.add(OAuthState(expires_at=func.now() + life, **columns))


def is_link_used(session: Session, link_hash: str) -> bool:
    """Whether a consent that was begun with a link has been answered."""
    used = exists().where(OAuthState.link_hash == link_hash, OAuthState.used_at.is_not(None))
    return session.scalars(select(used)).one()


def lock_state(session: Session, state_hash: str) -> tuple[OAuthState, bool] | None:
    """Return a state of ours, locked, and whether it has expired; None if there is none."""
    mine = (OAuthState.state_hash == state_hash, OAuthState.team.is_not(None))
    found = session.execute(
        select(OAuthState, OAuthState.expires_at <= func.now()).where(*mine).with_for_update()
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def use_state(session: Session, state: OAuthState, link_life: timedelta) -> None:
    """Use up a locked state. That of a link is kept while the link could live, so that nobody uses the link again.

    Raises:
        IntegrityError: Another consent of the same link has been answered.
    """
    kept = {"expires_at": func.now() + link_life} if state.link_hash else {}
    session.execute(update(OAuthState).where(OAuthState.id == state.id).values(used_at=func.now(), **kept))


def release_link(session: Session, state_id: int) -> None:
    """Let a link begin another consent, because this one led to no grant."""
    session.execute(update(OAuthState).where(OAuthState.id == state_id).values(link_hash=None))
