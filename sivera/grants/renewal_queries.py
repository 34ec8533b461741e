"""The renewal of a grant in SQL: lease and journal before the call, the write after it, and the effects of a failure.

Times are the database's own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Interval, Row, and_, bindparam, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE
from sivera.grants.queries import IS_FREE
from sivera.grants.rules import DISCONNECTED, LEASE, LONGEST_LEASE
from sivera.grants.spool import Answer
from sivera.models import PlatformCredential, PlatformOutage, Team, TokenRefreshLog


class Event(NamedTuple):
    """Something that has just happened: its name, the id of its resource, and details."""

    name: str
    resource: str
    payload: Mapping[str, Any]


Notify = Callable[[str, str, Mapping[str, Any]], object]
"""Called with an event's name, resource and payload after the transaction behind it was committed."""


class Attempt(NamedTuple):
    """An attempt whose owner holds the lease, and that has its journal row. `started_at` is the database's time.

    `in_doubt` says that an earlier attempt with the same token was cut off. `key_id` is the current key.
    """

    owner: str
    id: int
    started_at: datetime
    in_doubt: bool
    key_id: str | None


ENDED_BY_TOKENS = ("lease_owner", "lease_until", "next_attempt_at", "last_strike_on")
"""The columns to empty when a grant gets other tokens, or loses them."""

_BEGIN = text("""
    WITH leased AS (
        UPDATE platform_credentials
        SET lease_owner = :owner, lease_until = now() + :lease
        WHERE id = :id AND generation = :generation AND status = 'active'
          AND (lease_until IS NULL OR lease_until NOT BETWEEN now() AND now() + :longest)
        RETURNING id, platform
    ), cut_off AS (
        UPDATE token_refresh_logs
        SET outcome = 'in_doubt', finished_at = now()
        WHERE credential_id = (SELECT id FROM leased) AND outcome IS NULL
    ), attempt AS (
        INSERT INTO token_refresh_logs
               (credential_id, platform, generation, token_fingerprint, owner, deadline, run_id)
        SELECT id, platform, :generation, :fingerprint, :owner, now() + :lease, :run_id FROM leased
        RETURNING id, started_at
    )
    SELECT attempt.id, attempt.started_at,
           -- It sees the rows as they were before this statement: cut_off has changed none, and attempt has added none.
           EXISTS (SELECT FROM token_refresh_logs
                   WHERE credential_id = :id AND (outcome IS NULL OR outcome = 'in_doubt')
                     AND token_fingerprint = :fingerprint AND generation = :generation)
           AS in_doubt,
           (SELECT id FROM token_keys WHERE retired_at IS NULL ORDER BY created_at DESC LIMIT 1)
    FROM attempt
""").bindparams(bindparam("lease", LEASE, Interval), bindparam("longest", LONGEST_LEASE, Interval))


def begin(
    session: Session, credential_id: int, generation: int, owner: str, fingerprint: str, run_id: UUID | None
) -> Attempt | None:
    """Take the lease of a grant and write the journal row. Earlier attempts that were cut off become `in_doubt`.

    Return None if someone else holds the lease, or the grant has another generation by now.
    """
    given = {"id": credential_id, "generation": generation, "owner": owner, "fingerprint": fingerprint}
    row = session.execute(_BEGIN, given | {"run_id": run_id}).one_or_none()
    return None if row is None else Attempt(owner, *row)


def store_tokens(session: Session, answer: Answer, sealed: Mapping[str, bytes | None]) -> str | None:
    """Store renewed tokens as the next generation, and return the grant's status.

    Return None if the grant has another generation by now, or a successor holds its lease.
    """
    grant, expires_in = PlatformCredential, answer.tokens.expires_in
    stored = (
        update(grant)
        .where(grant.id == answer.credential_id, grant.generation == answer.generation)
        .where(or_(grant.lease_owner == answer.owner, IS_FREE))
        .values(**sealed, expires_at=None if expires_in is None else answer.as_of + expires_in)
        .values(generation=grant.generation + 1, last_renewed_at=func.now())
        .values(failures=0, strikes=0, **dict.fromkeys(ENDED_BY_TOKENS))
    )
    return session.scalar(stored.returning(grant.status))


def generation_of(session: Session, credential_id: int) -> int | None:
    """Return a grant's generation; None if the grant no longer exists."""
    return session.scalar(select(PlatformCredential.generation).where(PlatformCredential.id == credential_id))


def is_superseded(session: Session, credential_id: int, attempt_id: int, written_at: datetime) -> bool:
    """Return whether a grant has newer tokens than an attempt, because it was connected or renewed since.

    If the journal no longer has the attempt, the time at which its tokens were spooled decides.
    """
    grant, log = PlatformCredential, TokenRefreshLog
    is_newer = func.coalesce(grant.generation > log.generation, grant.last_renewed_at > written_at)
    of_attempt = and_(log.id == attempt_id, log.credential_id == grant.id)
    statement = select(is_newer).outerjoin_from(grant, log, of_attempt).where(grant.id == credential_id)
    return bool(session.scalar(statement))


def finish(session: Session, attempt_id: int, outcome: str, duration_ms: int, error_code: str | None = None) -> None:
    """Write the outcome of an attempt into the journal. `duration_ms` is the time that the platform took."""
    facts = {"outcome": outcome, "error_code": error_code, "duration_ms": duration_ms}
    attempt = update(TokenRefreshLog).where(TokenRefreshLog.id == attempt_id)
    session.execute(attempt.values(**facts, finished_at=func.clock_timestamp()))


def release(session: Session, credential_id: int, owner: str, failures: int, pause: timedelta | None) -> None:
    """Release the lease if the owner still holds it. With a pause, also store the failures and let the grant rest."""
    rest = {} if pause is None else {"failures": failures, "next_attempt_at": func.now() + pause}
    session.execute(
        update(PlatformCredential)
        .where(PlatformCredential.id == credential_id, PlatformCredential.lease_owner == owner)
        .values(lease_owner=None, lease_until=None, **rest)
    )


def hold(session: Session, credential_id: int, owner: str) -> PlatformCredential | None:
    """Take the lease of a grant in any status and return the grant; None if someone else holds the lease."""
    grant = PlatformCredential
    return session.scalars(
        update(grant)
        .where(grant.id == credential_id, IS_FREE)
        .values(lease_owner=owner, lease_until=func.now() + LEASE)
        .returning(grant)
        .execution_options(populate_existing=True)
    ).one_or_none()


def forget_tokens(session: Session, credential_id: int, owner: str, reason: str) -> bool:
    """Mark a grant as disconnected and delete its tokens. Return False if the owner no longer holds its lease.

    If a renewal is still in progress, its tokens will not be stored, because they have an older generation.
    """
    emptied = ("access_token", "refresh_token", "expires_at", "data_access_ends_at", *ENDED_BY_TOKENS)
    grant = PlatformCredential
    forgotten = session.execute(
        update(grant)
        .where(grant.id == credential_id, grant.lease_owner == owner)
        .values(**dict.fromkeys(emptied), generation=grant.generation + 1, failures=0, strikes=0)
        .values(status=DISCONNECTED, status_reason=reason, status_since=func.now())
        .returning(grant.id)
    )
    return forgotten.scalar() is not None


def mark(
    session: Session, credential_id: int, generation: int, status: str, reason: str, owner: str | None = None
) -> Event | None:
    """Record that a grant needs a human and return the event; None if the grant has changed meanwhile.

    The generation is compared because a platform also answers `invalid_grant` for a token that someone else has just
    renewed. If someone other than `owner` holds the lease, the outcome of that renewal decides.
    """
    grant = PlatformCredential
    changed = session.execute(
        update(grant)
        .where(
            grant.id == credential_id,
            grant.generation == generation,
            grant.status == ACTIVE,
            IS_FREE if owner is None else grant.lease_owner == owner,
        )
        .values(status=status, status_reason=reason, status_since=func.now(), lease_owner=None, lease_until=None)
        .returning(grant.id)
    ).scalar()
    name = "sivera.grant.reauthorization-required"
    return None if changed is None else _event(session, credential_id, name, status, reason)


def recover(session: Session, credential_id: int) -> Event | None:
    """Mark a grant as working again and return the event; None if it was active."""
    changed = session.execute(
        update(PlatformCredential)
        .where(PlatformCredential.id == credential_id, PlatformCredential.status != ACTIVE)
        .values(status=ACTIVE, status_reason=None, status_since=func.now())
        .returning(PlatformCredential.id)
    ).scalar()
    return None if changed is None else _event(session, credential_id, "sivera.grant.recovered", ACTIVE, None)


def _event(session: Session, credential_id: int, name: str, status: str, reason: str | None) -> Event:
    platform, team = session.execute(
        select(PlatformCredential.platform, Team.name)
        .join(Team, Team.id == PlatformCredential.team_id)
        .where(PlatformCredential.id == credential_id)
    ).one()
    payload = {"grant": credential_id, "platform": platform, "team": team, "status": status, "reason": reason}
    return Event(name, f"sivera.grant.{credential_id}", payload)


def add_strikes(session: Session, credential_ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Give today's strike (UTC) to the active grants among these that have failed since their last renewal.

    Return id, generation and strikes of the grants that had none today.
    """
    grant, today = PlatformCredential, func.current_date()
    is_failing = (grant.id.in_(credential_ids), grant.status == ACTIVE, grant.failures > 0)
    is_new = grant.last_strike_on.is_distinct_from(today)  # a day ahead of the clock is not ours
    struck = update(grant).where(*is_failing, is_new).values(strikes=grant.strikes + 1, last_strike_on=today)
    return session.execute(struck.returning(grant.id, grant.generation, grant.strikes)).all()


def open_outage(session: Session, platform: str) -> Event | None:
    """Record that a platform is down and return the event; None if that is known."""
    opened = session.execute(
        insert(PlatformOutage).values(platform=platform).on_conflict_do_nothing().returning(PlatformOutage.id)
    ).scalar()
    return None if opened is None else _platform_event("sivera.platform.down", platform)


def close_outage(session: Session, platform: str) -> Event | None:
    """Record that a platform works again and return the event; None if it was not down."""
    closed = session.execute(
        update(PlatformOutage)
        .where(PlatformOutage.platform == platform, PlatformOutage.ended_at.is_(None))
        .values(ended_at=func.now())
        .returning(PlatformOutage.id)
    ).scalar()
    return None if closed is None else _platform_event("sivera.platform.recovered", platform)


def _platform_event(name: str, platform: str) -> Event:
    return Event(name, f"sivera.platform.{platform}", {"platform": platform})


def last_attempts(session: Session, credential_id: int, most: int) -> list[TokenRefreshLog]:
    """Return the last attempts to renew a grant, newest first."""
    newest = select(TokenRefreshLog).where(TokenRefreshLog.credential_id == credential_id)
    return list(session.scalars(newest.order_by(TokenRefreshLog.id.desc()).limit(most)))
