"""The keys of the stored tokens: whether a keyring has the right ones, and the change from one to the next.

A sentinel per key, encrypted with it and kept in `token_keys`, tells a missing or a wrong key before any token is read,
and so before any is spent.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.crypto import Keyring, Place, UndecryptableError
from sivera.errors import ConfigurationError
from sivera.grants import key_queries as queries
from sivera.grants.renewal import LEASE, seal, unseal
from sivera.models import PlatformCredential, TokenKeyCheck
from sivera.values import Value

SENTINEL = "sivera"
BATCH = 100
"""Grants that are re-encrypted in one transaction: it keeps their rows locked for milliseconds."""
POLL_SECONDS = 1.0


class Rotation(Value):
    """What a rotation did: how many grants it re-encrypted, and the ids of those that no key decrypts."""

    grants: int
    undecryptable: tuple[int, ...]


def check_keyring(engine: Engine, keyring: Keyring) -> None:
    """See that a keyring can decrypt what is stored, and make its current key known.

    Raises:
        ConfigurationError: A key that the database needs is missing, or another one has its id.
    """
    with Session(engine) as session, session.begin():
        if keyring.current not in require_keys(session, keyring):
            queries.add_check(session, keyring.current, keyring.encrypt(SENTINEL, _place(keyring.current)))


def require_keys(session: Session, keyring: Keyring) -> frozenset[str]:
    """Return the ids of the keys that the database knows, if the keyring has all that it needs; change nothing.

    A key that a ciphertext names, and that the database has never known, is a damaged row's: it must not keep all
    other grants from their tokens.

    Raises:
        ConfigurationError: A key that the database needs is missing, or another one has its id.
    """
    checks = {check.id: check for check in queries.list_checks(session)}
    for key_id in sorted(checks.keys() & queries.tokens_by_key(session).keys() - keyring.key_ids):
        raise ConfigurationError(
            f"the block token-key lacks the key '{key_id}', which tokens in the database are encrypted with: "
            "add it from where you keep a copy"
        )
    for key_id in sorted(checks.keys() & keyring.key_ids):
        try:
            decrypts(keyring, checks[key_id])
        except UndecryptableError:
            raise ConfigurationError(
                f"the key '{key_id}' in the block token-key is another one than tokens in the database are "
                "encrypted with: restore it from where you keep a copy"
            ) from None
    return frozenset(checks)


def decrypts(keyring: Keyring, check: TokenKeyCheck) -> None:
    """Raise UndecryptableError where the keyring's key of the check's id is another one; it has one of that id."""
    keyring.decrypt(check.sentinel, _place(check.id))


@contextmanager
def only_rotation(engine: Engine) -> Iterator[None]:
    """Hold the right to change keys; a second one would save its block over the first one's new key.

    Raises:
        ConfigurationError: Somebody else holds it.
    """
    with Session(engine) as session, session.begin():
        if not queries.lock_keys(session):
            raise ConfigurationError("the keys are being changed already: wait until that has ended")
        yield


def count_pending(engine: Engine, keyring: Keyring) -> int:
    """Count the grants that are encrypted with another key than the keyring's current one."""
    with Session(engine) as session:
        return queries.count_sealed_otherwise(session, keyring.prefix)


def rotate(engine: Engine, keyring: Keyring, say: Callable[[str], None], batch: int = BATCH) -> Rotation:
    """Re-encrypt all tokens with the keyring's current key, while jobs run.

    It may be interrupted and begun again. In the end, keys that nothing needs are retired.

    Args:
        engine: The database.
        keyring: All keys; the current one is that to change to.
        say: Told of the progress.
        batch: Grants in one transaction.

    Raises:
        ConfigurationError: The keyring is not the database's.
    """
    check_keyring(engine, keyring)
    with Session(engine) as session:
        begun_at = queries.now(session)
    done: set[int] = set()
    while True:
        changed, undecryptable = _pass(engine, keyring, batch, say)
        done |= changed
        with Session(engine) as session, session.begin():
            # Who began to renew before may still write with the key before: no longer than its lease.
            if not queries.leases_taken_before(session, begun_at, LEASE.total_seconds()) and not changed:
                queries.put_in_use(session, keyring.current)
                if not undecryptable:
                    queries.retire_others(session, keyring.current)
                return Rotation(grants=len(done), undecryptable=tuple(sorted(undecryptable)))
        time.sleep(POLL_SECONDS if not changed else 0)


def _pass(engine: Engine, keyring: Keyring, batch: int, say: Callable[[str], None]) -> tuple[set[int], set[int]]:
    """Go once through all grants; return the ids of those that were re-encrypted, and of those that cannot be."""
    changed: set[int] = set()
    undecryptable: set[int] = set()
    last = 0
    while True:
        with Session(engine) as session, session.begin():
            rows = queries.lock_sealed_otherwise(session, keyring.prefix, last, batch)
            for row in rows:
                (changed if _reseal(keyring, row) else undecryptable).add(row.id)
            last = rows[-1].id if rows else last
        if not rows:
            return changed, undecryptable
        say(f"{len(changed)} grants re-encrypted")


def _reseal(keyring: Keyring, row: PlatformCredential) -> bool:
    try:
        access = unseal(keyring, row.id, "access_token", row.access_token)
        refresh = unseal(keyring, row.id, "refresh_token", row.refresh_token)
    except (UndecryptableError, ConfigurationError):
        return False
    row.access_token = seal(keyring, row.id, "access_token", access)
    row.refresh_token = seal(keyring, row.id, "refresh_token", refresh)
    return True


def _place(key_id: str) -> Place:
    return Place("token_keys", "sentinel", key_id)
