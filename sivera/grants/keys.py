"""The keys that encrypt tokens: whether a keyring has the right ones, and their rotation.

For each key, `token_keys` holds a sentinel encrypted with it. So a missing or wrong key is noticed before a token is
read or spent.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.clock import read_clock
from sivera.crypto import Keyring, Place, UndecryptableError
from sivera.errors import ConfigurationError
from sivera.grants import queries
from sivera.grants.renewal import seal, unseal_tokens
from sivera.models import PlatformCredential, TokenKeyCheck
from sivera.units import counted
from sivera.values import Value

SENTINEL = "sivera"
BATCH = 100
"""Grants re-encrypted in one transaction, which locks their rows for milliseconds."""
POLL_SECONDS = 1.0


class Rotation(Value):
    """How many grants a rotation re-encrypted, and the ids of those that no key decrypts."""

    grants: int
    undecryptable: tuple[int, ...]


def check_keyring(engine: Engine, keyring: Keyring) -> None:
    """Check a keyring as `require_keys` does, and add its current key to the database."""
    with Session(engine) as session, session.begin():
        if keyring.current not in require_keys(session, keyring):
            queries.add_check(session, keyring.current, keyring.encrypt(SENTINEL, _place(keyring.current)))


def require_keys(session: Session, keyring: Keyring) -> frozenset[str]:
    """Return the ids of all keys in the database; ConfigurationError if the keyring lacks one or has a different one.

    A ciphertext that names a key unknown to the database is damaged, and must not block the other grants.
    """
    checks = {check.id: check for check in queries.list_checks(session)}
    for key_id in sorted(checks.keys() & queries.tokens_by_key(session).keys() - keyring.key_ids):
        raise ConfigurationError(
            f"the block token-key lacks the key '{key_id}', which tokens in the database are encrypted with: "
            "add it from your copy"
        )
    for key_id in sorted(checks.keys() & keyring.key_ids):
        try:
            decrypts(keyring, checks[key_id])
        except UndecryptableError:
            raise ConfigurationError(
                f"the key '{key_id}' in the block token-key is not the one that tokens in the database are "
                "encrypted with: restore it from your copy"
            ) from None
    return frozenset(checks)


def decrypts(keyring: Keyring, check: TokenKeyCheck) -> None:
    """Raise UndecryptableError if the keyring has a different key under this id."""
    keyring.decrypt(check.sentinel, _place(check.id))


@contextmanager
def only_rotation(engine: Engine) -> Iterator[None]:
    """Hold the right to rotate keys; ConfigurationError if another rotation is running.

    Otherwise the second rotation would overwrite the first one's new key in the block.
    """
    with Session(engine) as session, session.begin():
        if not queries.lock_keys(session):
            raise ConfigurationError("another rotation of the keys is running: wait until it ends")
        yield


def rotate(engine: Engine, keyring: Keyring, say: Callable[[str], None], batch: int = BATCH) -> Rotation:
    """Re-encrypt all tokens with the keyring's current key while jobs run, then retire the keys no longer needed.

    An interrupted rotation continues when it is started again. ConfigurationError if the keyring is not the database's.
    """
    check_keyring(engine, keyring)
    with Session(engine) as session:
        started_at = read_clock(session)
    done: set[int] = set()
    while True:
        changed, undecryptable = _pass(engine, keyring, batch, say)
        done |= changed
        with Session(engine) as session, session.begin():
            # Until its lease ends, a renewal that started earlier may still write with the old key.
            if not queries.leases_taken_before(session, started_at) and not changed:
                queries.put_in_use(session, keyring.current, retire_others=not undecryptable)
                return Rotation(grants=len(done), undecryptable=tuple(sorted(undecryptable)))
        time.sleep(POLL_SECONDS if not changed else 0)


def _pass(engine: Engine, keyring: Keyring, batch: int, say: Callable[[str], None]) -> tuple[set[int], set[int]]:
    """Go through all grants once. Return those that were re-encrypted, and those that no key decrypts."""
    changed: set[int] = set()
    undecryptable: set[int] = set()
    last = 0
    while True:
        with Session(engine) as session, session.begin():
            rows = queries.lock_grants_to_reseal(session, keyring.prefix, last, batch)
            for row in rows:
                (changed if _reseal(keyring, row) else undecryptable).add(row.id)
            last = rows[-1].id if rows else last
        if not rows:
            return changed, undecryptable
        say(f"{counted(len(changed), 'grant')} re-encrypted")


def _reseal(keyring: Keyring, row: PlatformCredential) -> bool:
    try:
        plain = unseal_tokens(keyring, row)
    except (UndecryptableError, ConfigurationError):
        return False
    for column, token in plain.items():
        setattr(row, column, seal(keyring, row.id, column, token))
    return True


def _place(key_id: str) -> Place:
    return Place("token_keys", "sentinel", key_id)
