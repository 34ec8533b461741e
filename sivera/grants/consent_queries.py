"""Questions about the states of consents. Times are the database's own."""

from datetime import timedelta

from sqlalchemy import case, exists, func, select, update
from sqlalchemy.orm import Session

from sivera.models import OAuthState


def add_state(session: Session, life: timedelta, **columns: object) -> None:
    """Add the state of a consent that begins now."""
    session.add(OAuthState(expires_at=func.now() + life, **columns))


def is_link_used(session: Session, link_hash: str) -> bool:
    """Whether a consent that was begun with a link has been answered."""
    used = exists().where(OAuthState.link_hash == link_hash, OAuthState.used_at.is_not(None))
    return session.scalars(select(used)).one()


def use_state(
    session: Session, state_hash: str, redirect_uri: str, browser_hash: str | None, link_life: timedelta
) -> OAuthState | None:
    """Use up a state: one caller gets it, before it expires, and only for its redirect and its browser.

    The state of a link stays for as long as the link could live, so that nobody uses the link again.

    Raises:
        IntegrityError: Another consent of the same link has been answered.
    """
    statement = (
        update(OAuthState)
        .where(
            OAuthState.state_hash == state_hash,
            OAuthState.team.is_not(None),
            OAuthState.used_at.is_(None),
            OAuthState.expires_at > func.now(),
            OAuthState.redirect_uri == redirect_uri,
            OAuthState.browser_hash.is_not_distinct_from(browser_hash),
        )
        .values(
            used_at=func.now(),
            expires_at=case((OAuthState.link_hash.is_(None), OAuthState.expires_at), else_=func.now() + link_life),
        )
        .returning(OAuthState)
    )
    return session.scalars(statement).one_or_none()


def find_state(session: Session, state_hash: str) -> tuple[OAuthState, bool] | None:
    """Return a state of ours, and whether it has expired; None if there is none."""
    found = session.execute(
        select(OAuthState, OAuthState.expires_at <= func.now()).where(
            OAuthState.state_hash == state_hash, OAuthState.team.is_not(None)
        )
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def release_link(session: Session, state_id: int) -> None:
    """Let a link begin another consent, because this one led to no grant."""
    session.execute(update(OAuthState).where(OAuthState.id == state_id).values(link_hash=None))
