"""Questions about grants. Times are the database's own, so that the machines' clocks need not agree."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.models import AdAccount, PlatformCredential, Team


def ensure_team(session: Session, name: str) -> int:
    """Return the id of the team of that name, made if there is none."""
    session.execute(insert(Team).values(name=name).on_conflict_do_nothing())
    return session.scalars(select(Team.id).where(Team.name == name)).one()


def ensure_credential(session: Session, team_id: int, platform: str, name: str) -> PlatformCredential:
    """Return a team's grant of that platform and name with its row locked, made (without tokens) if there is none."""
    session.execute(
        insert(PlatformCredential).values(team_id=team_id, platform=platform, name=name).on_conflict_do_nothing()
    )
    return session.scalars(
        select(PlatformCredential)
        .where(
            PlatformCredential.team_id == team_id,
            PlatformCredential.platform == platform,
            PlatformCredential.name == name,
        )
        .with_for_update()
    ).one()


def get_credential(session: Session, credential_id: int) -> PlatformCredential:
    """Return a grant as it stands now; it must exist."""
    return session.get_one(PlatformCredential, credential_id, populate_existing=True)


def take_lease(session: Session, credential_id: int, generation: int, owner: str, lease: timedelta) -> bool:
    """Take the right to renew a grant; False where someone else holds it or has renewed the grant already."""
    taken = session.execute(
        update(PlatformCredential)
        .where(
            PlatformCredential.id == credential_id,
            PlatformCredential.generation == generation,
            or_(PlatformCredential.lease_until.is_(None), PlatformCredential.lease_until < func.now()),
        )
        .values(lease_owner=owner, lease_until=func.now() + lease)
        .returning(PlatformCredential.id)
    ).scalar()
    return taken is not None


def release_lease(session: Session, credential_id: int, owner: str) -> None:
    """Give the right to renew back, if it is still the owner's."""
    session.execute(
        update(PlatformCredential)
        .where(PlatformCredential.id == credential_id, PlatformCredential.lease_owner == owner)
        .values(lease_owner=None, lease_until=None)
    )


def store_tokens(
    session: Session,
    credential_id: int,
    generation: int,
    *,
    access_token: bytes | None,
    refresh_token: bytes | None,
    expires_at: datetime | None,
) -> bool:
    """Write renewed tokens as the next generation; False where another writer was faster (compare-and-swap)."""
    stored = session.execute(
        update(PlatformCredential)
        .where(PlatformCredential.id == credential_id, PlatformCredential.generation == generation)
        .values(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_at=expires_at,
            generation=generation + 1,
            lease_owner=None,
            lease_until=None,
            updated_at=func.now(),
        )
        .returning(PlatformCredential.id)
    ).scalar()
    return stored is not None


def mark_reauthorization_required(session: Session, credential_id: int, generation: int, reason: str) -> bool:
    """Say that a human must reconnect the grant; False where it was renewed meanwhile or is marked already."""
    marked = session.execute(
        update(PlatformCredential)
        .where(
            PlatformCredential.id == credential_id,
            PlatformCredential.generation == generation,
            PlatformCredential.status == "active",
        )
        .values(
            status="reauthorization_required",
            status_reason=reason,
            status_since=func.now(),
            lease_owner=None,
            lease_until=None,
        )
        .returning(PlatformCredential.id)
    ).scalar()
    return marked is not None


def list_credentials(session: Session) -> Sequence[Row[tuple[PlatformCredential, str, int]]]:
    """Return every grant with its team's name and how many ad accounts it carries."""
    return session.execute(
        select(PlatformCredential, Team.name, func.count(AdAccount.id))
        .join(Team, Team.id == PlatformCredential.team_id)
        .outerjoin(AdAccount, and_(AdAccount.credential_id == PlatformCredential.id))
        .group_by(PlatformCredential.id, Team.name)
        .order_by(Team.name, PlatformCredential.platform, PlatformCredential.id)
    ).all()
