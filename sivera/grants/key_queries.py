"""Questions about the keys that tokens are encrypted with."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, LargeBinary, and_, case, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from sivera.crypto import VERSION as CIPHERTEXT_VERSION
from sivera.models import PlatformCredential, TokenKeyCheck

KEYS_LOCK = 0x51_0E_4B
"""An advisory lock's number."""

SEALED = (PlatformCredential.access_token, PlatformCredential.refresh_token)


def list_checks(session: Session) -> Sequence[TokenKeyCheck]:
    """Return every key that the database knows of, the oldest first."""
    return session.scalars(select(TokenKeyCheck).order_by(TokenKeyCheck.created_at)).all()


def add_check(session: Session, key_id: str, sentinel: bytes) -> None:
    """Make a key known, if it is not."""
    session.execute(insert(TokenKeyCheck).values(id=key_id, sentinel=sentinel).on_conflict_do_nothing())


def tokens_by_key(session: Session) -> Counter[str]:
    """Count the tokens of all grants by the id of the key that each is encrypted with, as its ciphertext names it.

    What is no ciphertext of ours is left out.
    """
    found: Counter[str] = Counter()
    for column in SEALED:
        # CASE: the bytes that it reads are there only where the condition holds.
        is_ours = and_(func.length(column) > 2, func.get_byte(column, 0) == CIPHERTEXT_VERSION)
        name = case((is_ours, func.substring(column, 3, func.get_byte(column, 1))))
        for raw, count in session.execute(select(name, func.count()).group_by(name)).all():
            if raw is not None:
                found[raw.decode(errors="replace")] += count
    return found


def now(session: Session) -> datetime:
    """Return the database's time."""
    moment: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def count_sealed_otherwise(session: Session, prefix: bytes) -> int:
    """Count the grants that have a token whose ciphertext does not begin with the prefix, which names its key."""
    return session.execute(
        select(func.count()).select_from(PlatformCredential).where(_sealed_otherwise(prefix))
    ).scalar_one()


def lock_sealed_otherwise(session: Session, prefix: bytes, after: int, most: int) -> Sequence[PlatformCredential]:
    """Return such grants with an id above `after`, in the order of ids, locked."""
    return session.scalars(
        select(PlatformCredential)
        .where(PlatformCredential.id > after, _sealed_otherwise(prefix))
        .order_by(PlatformCredential.id)
        .limit(most)
        .with_for_update(of=PlatformCredential)
    ).all()


def leases_taken_before(session: Session, moment: datetime, longest: float) -> int:
    """Count the renewals under way that began before a moment; a lease lasts `longest` seconds."""
    begun = PlatformCredential.lease_until - func.make_interval(0, 0, 0, 0, 0, 0, longest)
    return session.execute(
        select(func.count())
        .select_from(PlatformCredential)
        .where(PlatformCredential.lease_until > func.clock_timestamp(), begun <= moment)
    ).scalar_one()


def lock_keys(session: Session) -> bool:
    """Take the right to change keys until the transaction ends; False where it is taken."""
    taken: bool = session.execute(select(func.pg_try_advisory_xact_lock(KEYS_LOCK))).scalar_one()
    return taken


def put_in_use(session: Session, key_id: str) -> None:
    """Note that a key is needed, which may have been retired."""
    session.execute(update(TokenKeyCheck).where(TokenKeyCheck.id == key_id).values(retired_at=None))


def retire_others(session: Session, key_id: str) -> None:
    """Note that nothing in the database needs another key than this one any more."""
    session.execute(
        update(TokenKeyCheck)
        .where(TokenKeyCheck.id != key_id, TokenKeyCheck.retired_at.is_(None))
        .values(retired_at=func.now())
    )


def _sealed_otherwise(prefix: bytes) -> ColumnElement[bool]:
    def otherwise(column: InstrumentedAttribute[bytes | None]) -> ColumnElement[bool]:
        begins = func.substring(column, 1, len(prefix))
        return and_(column.is_not(None), begins != literal(prefix, LargeBinary))

    return or_(*map(otherwise, SEALED))
