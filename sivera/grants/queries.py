"""Questions about grants. Times are the database's own, so that the machines' clocks need not agree."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Row, and_, bindparam, false, func, select, union, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE
from sivera.models import AdAccount, PlatformCredential, Team

_READ = select(
    PlatformCredential,
    PlatformCredential.expires_at - func.clock_timestamp(),
    PlatformCredential.next_attempt_at - func.clock_timestamp(),
).where(PlatformCredential.id == bindparam("id"))


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


def prove_writable(session: Session) -> None:
    """Write nothing, as only a database that can be written to does."""
    session.execute(update(PlatformCredential).where(false()).values(name=PlatformCredential.name))


def find_credential(session: Session, credential_id: int) -> tuple[PlatformCredential, str] | None:
    """Return a grant and its team's name, or None."""
    found = session.execute(
        select(PlatformCredential, Team.name)
        .join(Team, Team.id == PlatformCredential.team_id)
        .where(PlatformCredential.id == credential_id)
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def read_credential(
    session: Session, credential_id: int
) -> tuple[PlatformCredential, timedelta | None, timedelta | None]:
    """Return a grant as it stands now, in how long its token ends, and in how long it may be tried again.

    Either is negative where that has passed, and None where there is no such time.
    """
    found = session.execute(_READ, {"id": credential_id}).one()
    return found[0], found[1], found[2]


def replace_tokens(
    session: Session,
    credential: PlatformCredential,
    *,
    access_token: bytes | None,
    refresh_token: bytes | None,
    expires_in: timedelta | None,
) -> None:
    """Give a grant the tokens of a login: it begins anew, and whoever renews it now loses."""
    credential.access_token, credential.refresh_token = access_token, refresh_token
    credential.expires_at = None if expires_in is None else func.now() + expires_in
    credential.generation += 1
    credential.lease_owner = credential.lease_until = credential.next_attempt_at = credential.last_strike_on = None
    credential.failures = credential.strikes = 0
    credential.last_renewed_at = func.now()
    session.flush()


def list_credentials(session: Session) -> Sequence[Row[tuple[PlatformCredential, str, int]]]:
    """Return every grant with its team's name and how many ad accounts it carries."""
    return session.execute(
        select(PlatformCredential, Team.name, func.count(AdAccount.id))
        .join(Team, Team.id == PlatformCredential.team_id)
        .outerjoin(AdAccount, and_(AdAccount.credential_id == PlatformCredential.id))
        .group_by(PlatformCredential.id, Team.name)
        .order_by(Team.name, PlatformCredential.platform, PlatformCredential.id)
    ).all()


def platforms_in_use(session: Session) -> set[str]:
    """Return the platforms that have a grant or an account."""
    return set(session.scalars(union(select(PlatformCredential.platform), select(AdAccount.platform))))


def ending_grants(session: Session, within: timedelta) -> Sequence[int]:
    """Return the ids of the active grants without a refresh token that end within that time, or have ended."""
    return session.scalars(
        select(PlatformCredential.id)
        .where(
            PlatformCredential.status == ACTIVE,
            PlatformCredential.refresh_token.is_(None),
            PlatformCredential.expires_at < func.now() + within,
        )
        .order_by(PlatformCredential.id)
    ).all()


def inactive_grants(session: Session) -> Sequence[int]:
    """Return the ids of the grants that do not work."""
    return session.scalars(
        select(PlatformCredential.id).where(PlatformCredential.status != ACTIVE).order_by(PlatformCredential.id)
    ).all()
