"""Questions of refresh-tokens: which grants are due, and what a run's failures mean for them."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Interval, Row, and_, case, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.models import OutboxEvent, PlatformCredential, PlatformOutage, Team, TokenRefreshLog

_IN_DOUBT = (
    select(TokenRefreshLog.id)
    .where(TokenRefreshLog.credential_id == PlatformCredential.id, TokenRefreshLog.outcome.is_(None))
    .exists()
)


def due_grants(
    session: Session,
    *,
    windows: Mapping[str, timedelta],
    proof_every: timedelta,
    platforms: Sequence[str],
    teams: Sequence[str],
) -> Sequence[Row[Any]]:
    """Return id, platform, team, name and generation of the grants to renew: in doubt first, then the soonest to end.

    Left out are those that somebody is renewing now, and those that are left alone after failures.

    Args:
        session: The database.
        windows: How long before its end a platform's grant is due.
        proof_every: How often a grant without an end is due.
        platforms: Only these; empty means all, also those that this version does not know.
        teams: Only teams of these names; empty means all.
    """
    window = case(
        *((PlatformCredential.platform == name, literal(length, Interval)) for name, length in windows.items()),
        else_=literal(timedelta(), Interval),
    )
    proven_at = func.coalesce(PlatformCredential.last_renewed_at, PlatformCredential.created_at)
    statement = (
        select(
            PlatformCredential.id,
            PlatformCredential.platform,
            Team.name.label("team"),
            PlatformCredential.name,
            PlatformCredential.generation,
        )
        .join(Team, Team.id == PlatformCredential.team_id)
        .where(
            PlatformCredential.status == "active",
            or_(PlatformCredential.next_attempt_at.is_(None), PlatformCredential.next_attempt_at <= func.now()),
            or_(PlatformCredential.lease_until.is_(None), PlatformCredential.lease_until < func.now()),
            or_(
                PlatformCredential.expires_at < func.now() + window,
                and_(PlatformCredential.expires_at.is_(None), proven_at < func.now() - proof_every),
                _IN_DOUBT,
            ),
        )
        .order_by(_IN_DOUBT.desc(), PlatformCredential.expires_at.asc().nulls_last(), PlatformCredential.id)
    )
    if platforms:
        statement = statement.where(PlatformCredential.platform.in_(platforms))
    if teams:
        statement = statement.where(Team.name.in_(teams))
    return session.execute(statement).all()


def today(session: Session) -> date:
    """Return the day that it is in UTC."""
    day: date = session.execute(select(func.timezone("UTC", func.now()))).scalar_one().date()
    return day


def lock_failing(session: Session, credential_ids: Sequence[int]) -> Sequence[PlatformCredential]:
    """Return those of the grants that are active and have failed since they were last renewed, locked, by id."""
    return session.scalars(
        select(PlatformCredential)
        .where(
            PlatformCredential.id.in_(credential_ids),
            PlatformCredential.status == "active",
            PlatformCredential.failures > 0,
        )
        .order_by(PlatformCredential.id)
        .with_for_update()
    ).all()


def open_outage(session: Session, platform: str) -> None:
    """Note that a platform is down, with its event; do nothing where that is known."""
    opened = session.execute(
        insert(PlatformOutage).values(platform=platform).on_conflict_do_nothing().returning(PlatformOutage.id)
    ).scalar()
    if opened is not None:
        _announce(session, "sivera.platform.down", platform)


def close_outage(session: Session, platform: str) -> None:
    """Note that a platform is well again, with its event; do nothing where it was well."""
    closed = session.execute(
        update(PlatformOutage)
        .where(PlatformOutage.platform == platform, PlatformOutage.ended_at.is_(None))
        .values(ended_at=func.now())
        .returning(PlatformOutage.id)
    ).scalar()
    if closed is not None:
        _announce(session, "sivera.platform.recovered", platform)


def _announce(session: Session, name: str, platform: str) -> None:
    session.add(OutboxEvent(name=name, resource=f"sivera.platform.{platform}", payload={"platform": platform}))
