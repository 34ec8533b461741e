"""The renewal of a grant in SQL: lease and journal before the call, the write after it.

The statements are written out, since the order of what they check is what they are about. Times are the database's own.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Interval, LargeBinary, bindparam, func, or_, select, text, update
from sqlalchemy.orm import Session

from sivera.models import OutboxEvent, PlatformCredential, Team, TokenRefreshLog


class Begun(NamedTuple):
    """An attempt whose lease is held and whose journal row is written.

    `at` is the database's time. `in_doubt` says that an earlier attempt with the same token was cut off. `key_id` is
    the key that tokens are to be encrypted with by now.
    """

    attempt_id: int
    at: datetime
    in_doubt: bool
    key_id: str | None


_BEGIN = text("""
    WITH leased AS (
        UPDATE platform_credentials
        SET lease_owner = :owner, lease_until = now() + :lease
        WHERE id = :id AND generation = :generation AND status = 'active'
          AND (lease_until IS NULL OR lease_until < now())
        RETURNING id, platform
    ), cut_off AS (
        UPDATE token_refresh_logs
        SET outcome = 'in_doubt', finished_at = now()
        WHERE credential_id = (SELECT id FROM leased) AND outcome IS NULL
        RETURNING token_fingerprint, generation
    ), begun AS (
        INSERT INTO token_refresh_logs
               (credential_id, platform, generation, token_fingerprint, owner, deadline, run_id)
        SELECT id, platform, :generation, :fingerprint, :owner, now() + :lease, :run_id FROM leased
        RETURNING id, started_at
    )
    SELECT begun.id, begun.started_at,
           EXISTS (SELECT FROM cut_off WHERE token_fingerprint = :fingerprint AND generation = :generation)
        OR EXISTS (SELECT FROM token_refresh_logs
                   WHERE credential_id = :id AND (outcome IS NULL OR outcome = 'in_doubt')
                     AND token_fingerprint = :fingerprint AND generation = :generation)
           AS in_doubt,
           (SELECT id FROM token_keys WHERE retired_at IS NULL ORDER BY created_at DESC LIMIT 1)
    FROM begun
""").bindparams(bindparam("lease", type_=Interval))


def begin(
    session: Session,
    credential_id: int,
    *,
    generation: int,
    owner: str,
    lease: timedelta,
    fingerprint: str,
    run_id: UUID | None,
) -> Begun | None:
    """Take the right to renew a grant and write the journal; None where someone else has it or was faster.

    Attempts of an earlier holder that died are closed as in doubt.
    """
    parameters = {
        "id": credential_id,
        "generation": generation,
        "owner": owner,
        "lease": lease,
        "fingerprint": fingerprint,
        "run_id": run_id,
    }
    row = session.execute(_BEGIN, parameters).one_or_none()
    return None if row is None else Begun(*row)


_STORE = text("""
    UPDATE platform_credentials
    SET access_token = :access_token, refresh_token = :refresh_token, expires_at = :as_of + :expires_in,
        generation = generation + 1, lease_owner = NULL, lease_until = NULL,
        last_renewed_at = now(), failures = 0, next_attempt_at = NULL, strikes = 0, last_strike_on = NULL,
        updated_at = now()
    WHERE id = :id AND generation = :generation
      AND (lease_owner = :owner OR lease_owner IS NULL OR lease_until < now())
    RETURNING status
""").bindparams(
    bindparam("access_token", type_=LargeBinary),
    bindparam("refresh_token", type_=LargeBinary),
    bindparam("expires_in", type_=Interval),
    bindparam("as_of", type_=PlatformCredential.expires_at.type),
)


def store_tokens(
    session: Session,
    credential_id: int,
    *,
    generation: int,
    owner: str,
    access_token: bytes | None,
    refresh_token: bytes | None,
    as_of: datetime,
    expires_in: timedelta | None,
) -> str | None:
    """Write renewed tokens as the next generation; return the grant's status, None where the write is refused.

    It is refused once the grant has another generation, and while a successor holds the lease (compare-and-swap).
    """
    parameters = {
        "id": credential_id,
        "generation": generation,
        "owner": owner,
        "access_token": access_token,
        "refresh_token": refresh_token,
        "as_of": as_of,
        "expires_in": expires_in,
    }
    return session.execute(_STORE, parameters).scalar()


def generation_of(session: Session, credential_id: int) -> int | None:
    """Return a grant's generation as it is now; None where the grant is gone."""
    return session.scalar(select(PlatformCredential.generation).where(PlatformCredential.id == credential_id))


_FINISH = text("""
    UPDATE token_refresh_logs
    SET outcome = :outcome, error_code = :error_code, finished_at = clock_timestamp(), duration_ms = :duration_ms
    WHERE id = :id
""")


def finish(
    session: Session, attempt_id: int, outcome: str, *, error_code: str | None = None, duration_ms: int | None = None
) -> None:
    """Write into the journal what came of an attempt; `duration_ms` is how long the platform took."""
    session.execute(
        _FINISH, {"id": attempt_id, "outcome": outcome, "error_code": error_code, "duration_ms": duration_ms}
    )


def release(session: Session, credential_id: int, owner: str) -> None:
    """Give the right to renew back, if it is still the owner's."""
    session.execute(
        update(PlatformCredential)
        .where(PlatformCredential.id == credential_id, PlatformCredential.lease_owner == owner)
        .values(lease_owner=None, lease_until=None)
    )


def put_off(session: Session, credential_id: int, owner: str, failures: int, pause: timedelta) -> None:
    """Give the right to renew back after a failure, and leave the grant alone for a while."""
    session.execute(
        update(PlatformCredential)
        .where(PlatformCredential.id == credential_id, PlatformCredential.lease_owner == owner)
        .values(lease_owner=None, lease_until=None, failures=failures, next_attempt_at=func.now() + pause)
    )


_MARK = (
    update(PlatformCredential)
    .where(PlatformCredential.status == "active")
    .values(status_since=func.now(), lease_owner=None, lease_until=None)
    .returning(PlatformCredential.id)
)


def mark(
    session: Session, credential_id: int, generation: int, status: str, reason: str, owner: str | None = None
) -> bool:
    """Say that only a human can make a grant work again, with its event; False where that is no longer so.

    That is where it was renewed or connected meanwhile, or is marked already, or another one than `owner` holds its
    lease: then the outcome of that renewal counts. Comparing the generation reads the row first: `invalid_grant` is
    also what a token gets that somebody else has just renewed.
    """
    free = or_(PlatformCredential.lease_until.is_(None), PlatformCredential.lease_until < func.now())
    marked = session.execute(
        _MARK.where(
            PlatformCredential.id == credential_id,
            PlatformCredential.generation == generation,
            free if owner is None else PlatformCredential.lease_owner == owner,
        ).values(status=status, status_reason=reason)
    ).scalar()
    if marked is None:
        return False
    _announce(session, credential_id, "sivera.grant.reauthorization-required", status=status, reason=reason)
    return True


def recover(session: Session, credential_id: int) -> None:
    """Take a grant that is not active back into use, with its event."""
    recovered = session.execute(
        update(PlatformCredential)
        .where(PlatformCredential.id == credential_id, PlatformCredential.status != "active")
        .values(status="active", status_reason=None, status_since=func.now())
        .returning(PlatformCredential.id)
    ).scalar()
    if recovered is not None:
        _announce(session, credential_id, "sivera.grant.recovered", status="active", reason=None)


def _announce(session: Session, credential_id: int, name: str, *, status: str, reason: str | None) -> None:
    platform, team = session.execute(
        select(PlatformCredential.platform, Team.name)
        .join(Team, Team.id == PlatformCredential.team_id)
        .where(PlatformCredential.id == credential_id)
    ).one()
    session.add(
        OutboxEvent(
            name=name,
            resource=f"sivera.grant.{credential_id}",
            payload={"grant": credential_id, "platform": platform, "team": team, "status": status, "reason": reason},
        )
    )


def last_attempts(session: Session, credential_id: int, most: int) -> list[TokenRefreshLog]:
    """Return the newest attempts to renew a grant, the newest first."""
    return list(
        session.scalars(
            select(TokenRefreshLog)
            .where(TokenRefreshLog.credential_id == credential_id)
            .order_by(TokenRefreshLog.id.desc())
            .limit(most)
        )
    )
