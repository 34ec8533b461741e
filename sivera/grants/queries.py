"""Questions about grants and their keys. Times are the database's own, so the machines' clocks need not agree."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Interval,
    LargeBinary,
    Row,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from sivera.accounts.queries import ACTIVE
from sivera.clock import past
from sivera.crypto import VERSION as CIPHERTEXT_VERSION
from sivera.grants.rules import LEASE, LONGEST_LEASE, LONGEST_REST, PROOF_EVERY
from sivera.models import AdAccount, PlatformCredential, Team, TokenKeyCheck, TokenRefreshLog

KEYS_LOCK = 0x51_0E_4B
"""The number of an advisory lock."""

SEALED = (PlatformCredential.access_token, PlatformCredential.refresh_token)

IS_FREE = or_(
    PlatformCredential.lease_until.is_(None),
    ~PlatformCredential.lease_until.between(func.now(), func.now() + LONGEST_LEASE),
)
"""Whether nobody holds the lease of a grant."""

# Built once, because a sync runs it for every account.
_READ = select(
    PlatformCredential,
    PlatformCredential.expires_at - func.clock_timestamp(),
    PlatformCredential.next_attempt_at - func.clock_timestamp(),
).where(PlatformCredential.id == bindparam("id"))

_IN_DOUBT = (
    select(TokenRefreshLog.id)
    .where(TokenRefreshLog.credential_id == PlatformCredential.id, TokenRefreshLog.outcome.is_(None))
    .exists()
)


def ensure_team(session: Session, name: str) -> int:
    """Return the id of the team with that name, which is created if there is none."""
    session.execute(insert(Team).values(name=name).on_conflict_do_nothing())
    return session.scalars(select(Team.id).where(Team.name == name)).one()


def ensure_credential(session: Session, team_id: int, platform: str, name: str) -> PlatformCredential:
    """Return a team's grant of that platform and name, locked. It is created without tokens if there is none."""
    session.execute(
        insert(PlatformCredential).values(team_id=team_id, platform=platform, name=name).on_conflict_do_nothing()
    )
    return session.scalars(
        select(PlatformCredential).filter_by(team_id=team_id, platform=platform, name=name).with_for_update()
    ).one()


def get_credential(session: Session, credential_id: int) -> PlatformCredential:
    """Return an existing grant as it is now."""
    return session.get_one(PlatformCredential, credential_id, populate_existing=True)


def find_credential(session: Session, credential_id: int) -> tuple[PlatformCredential, str] | None:
    """Return a grant and its team's name, or None."""
    query = select(PlatformCredential, Team.name).join(Team, Team.id == PlatformCredential.team_id)
    return session.execute(query.where(PlatformCredential.id == credential_id)).tuples().one_or_none()


def read_credential(session: Session, credential_id: int) -> Row[Any] | None:
    """Return a grant, the time until its token expires, and the time until the next attempt; both may be negative."""
    return session.execute(_READ, {"id": credential_id}).one_or_none()


def list_credentials(session: Session) -> Sequence[Row[tuple[PlatformCredential, str, int]]]:
    """Return every grant with its team's name and the number of its ad accounts."""
    return session.execute(
        select(PlatformCredential, Team.name, func.count(AdAccount.id))
        .join(Team, Team.id == PlatformCredential.team_id)
        .outerjoin(AdAccount, AdAccount.credential_id == PlatformCredential.id)
        .group_by(PlatformCredential.id, Team.name)
        .order_by(Team.name, PlatformCredential.platform, PlatformCredential.id)
    ).all()


def undiscovered_grants(
    session: Session, every: timedelta, patience: timedelta, platforms: Sequence[str], teams: Sequence[str]
) -> Sequence[Row[Any]]:
    """Return id, platform, team, name and is_overdue of the working grants whose accounts are due to be listed.

    A grant is overdue when it has been due for longer than `patience`; connecting it again restarts that time. The
    grants tried least recently come first, so one that cannot be listed does not keep the others waiting.
    """
    grant = PlatformCredential
    times = (past(at, func.now()) for at in (grant.accounts_read_at, grant.created_at, grant.status_since))
    age = func.now() - func.greatest(*times)  # which ignores NULL
    is_overdue = func.coalesce(age > every + patience, false()).label("is_overdue")
    return session.execute(
        select(grant.id, grant.platform, Team.name.label("team"), grant.name, is_overdue)
        .join(Team, Team.id == grant.team_id)
        .where(
            grant.status == ACTIVE,
            _not_since(grant.accounts_read_at, every),
            grant.platform.in_(platforms) if platforms else true(),
            Team.name.in_(teams) if teams else true(),
        )
        .order_by(grant.accounts_asked_at.asc().nulls_first(), grant.id)
    ).all()


def claim_discovery(session: Session, credential_id: int, every: timedelta = timedelta()) -> bool:
    """Record that a grant's accounts are being listed. Return False if that was recorded less than `every` ago."""
    asked_at = PlatformCredential.accounts_asked_at
    claimed = update(PlatformCredential).where(PlatformCredential.id == credential_id, _not_since(asked_at, every))
    statement = claimed.values(accounts_asked_at=func.now()).returning(PlatformCredential.id)
    return session.scalar(statement) is not None


def record_discovery(session: Session, credential_id: int, data_access_ends: datetime | None) -> None:
    """Record that a grant's accounts were listed. The stored end of data access stays if the listing has none."""
    mine = update(PlatformCredential).where(PlatformCredential.id == credential_id)
    ends_at = func.coalesce(data_access_ends, PlatformCredential.data_access_ends_at)
    session.execute(mine.values(accounts_read_at=func.now(), data_access_ends_at=ends_at))


def _not_since(at: InstrumentedAttribute[datetime | None], every: timedelta) -> ColumnElement[bool]:
    # A time ahead of the database's clock is not ours. now() cannot tell, because another transaction may have written
    # a later time since this one started.
    return or_(at.is_(None), at <= func.now() - every, at > func.clock_timestamp())


def prove_writable(session: Session) -> None:
    """Run an UPDATE that matches no row. It fails if the database takes no writes."""
    session.execute(update(PlatformCredential).where(false()).values(name=PlatformCredential.name))


def replace_tokens(
    session: Session, credential: PlatformCredential, sealed: Mapping[str, bytes | None], expires_in: timedelta | None
) -> None:
    """Store the tokens of a login. The grant starts over, and the answer of a renewal in progress is discarded."""
    credential.access_token, credential.refresh_token = sealed["access_token"], sealed["refresh_token"]
    credential.expires_at = None if expires_in is None else func.now() + expires_in
    credential.generation += 1
    credential.lease_owner = credential.lease_until = credential.next_attempt_at = credential.last_strike_on = None
    credential.data_access_ends_at = None
    credential.failures = credential.strikes = 0
    credential.last_renewed_at = func.now()
    session.flush()


def due_grants(session: Session, windows: Mapping[str, timedelta], teams: Sequence[str]) -> Sequence[Row[Any]]:
    """Return id, platform, team, name and generation of the grants to renew: in doubt first, then the next to expire.

    `windows` says for each platform how long before its end a grant is due; no `teams` means all. Grants that are being
    renewed, or rest after failures, are left out.
    """
    grant, now = PlatformCredential, func.now()
    window = case({name: literal(length, Interval) for name, length in windows.items()}, value=grant.platform)
    return session.execute(
        select(grant.id, grant.platform, Team.name.label("team"), grant.name, grant.generation)
        .join(Team, Team.id == grant.team_id)
        .where(
            grant.status == ACTIVE,
            grant.platform.in_(windows),
            Team.name.in_(teams) if teams else true(),
            or_(grant.next_attempt_at.is_(None), ~grant.next_attempt_at.between(now, now + LONGEST_REST)),
            IS_FREE,
            or_(
                grant.expires_at < now + window,
                and_(grant.expires_at.is_(None), _not_since(grant.last_renewed_at, PROOF_EVERY)),
                _IN_DOUBT,
            ),
        )
        .order_by(_IN_DOUBT.desc(), grant.expires_at.asc().nulls_last(), grant.id)
    ).all()


def list_lives(session: Session) -> Sequence[Row[Any]]:
    """Return each grant's platform and status, whether it has a refresh token, and the time until its token expires."""
    grant = PlatformCredential
    return session.execute(
        select(grant.platform, grant.status, grant.refresh_token.is_not(None), grant.expires_at - func.now())
    ).all()


def list_checks(session: Session) -> Sequence[TokenKeyCheck]:
    """Return every key in the database, oldest first."""
    return session.scalars(select(TokenKeyCheck).order_by(TokenKeyCheck.created_at)).all()


def add_check(session: Session, key_id: str, sentinel: bytes) -> None:
    """Add a key, unless it is known."""
    session.execute(insert(TokenKeyCheck).values(id=key_id, sentinel=sentinel).on_conflict_do_nothing())


def tokens_by_key(session: Session) -> Counter[str]:
    """Count the tokens of all grants by the key id in their ciphertext. What is not a ciphertext of ours is ignored."""
    found: Counter[str] = Counter()
    for column in SEALED:
        # CASE, because the bytes it reads exist only if the condition holds.
        is_ours = and_(func.length(column) > 2, func.get_byte(column, 0) == CIPHERTEXT_VERSION)
        name = case((is_ours, func.substring(column, 3, func.get_byte(column, 1))))
        for raw, count in session.execute(select(name, func.count()).group_by(name)).all():
            if raw is not None:
                found[raw.decode(errors="replace")] += count
    return found


def lock_grants_to_reseal(session: Session, prefix: bytes, after: int, most: int) -> Sequence[PlatformCredential]:
    """Return grants with a token that does not start with the prefix: locked, by id, from above the id `after`."""
    start = literal(prefix, LargeBinary)
    otherwise = (func.substring(column, 1, len(prefix)) != start for column in SEALED)  # never true for NULL
    return session.scalars(
        select(PlatformCredential)
        .where(PlatformCredential.id > after, or_(*otherwise))
        .order_by(PlatformCredential.id)
        .limit(most)
        .with_for_update(of=PlatformCredential)
    ).all()


def leases_taken_before(session: Session, moment: datetime) -> int:
    """Count the renewals in progress that started before a moment."""
    until = PlatformCredential.lease_until
    is_early = and_(until > func.clock_timestamp(), until - LEASE <= moment)
    return session.scalars(select(func.count()).select_from(PlatformCredential).where(is_early)).one()


def lock_keys(session: Session) -> bool:
    """Take the lock for changing keys until the transaction ends. Return False if someone else holds it."""
    taken: bool = session.execute(select(func.pg_try_advisory_xact_lock(KEYS_LOCK))).scalar_one()
    return taken


def put_in_use(session: Session, key_id: str, *, retire_others: bool) -> None:
    """Record that a key is in use, even if it was retired, and retire all others if asked."""
    retired = func.coalesce(TokenKeyCheck.retired_at, func.now()) if retire_others else TokenKeyCheck.retired_at
    session.execute(update(TokenKeyCheck).values(retired_at=case((TokenKeyCheck.id == key_id, None), else_=retired)))


def platforms_in_use(session: Session) -> set[str]:
    """Return the platforms that have a grant or an account."""
    return set(session.scalars(union(select(PlatformCredential.platform), select(AdAccount.platform))))
