"""The keys that encrypt tokens: does a keyring have the right ones, and the change from one key to the next.

`token_keys` holds a sentinel for each key, encrypted with it. A missing or wrong key shows before a token is read, and
so before one is spent.
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
from sivera.values import Value

SENTINEL = "sivera"
BATCH = 100
"""Grants that are re-encrypted in one transaction, which locks their rows for milliseconds."""
POLL_SECONDS = 1.0


class Rotation(Value):
    """What a rotation did: the number of grants it re-encrypted, and the ids of those that no key decrypts."""

    grants: int
    undecryptable: tuple[int, ...]


def check_keyring(engine: Engine, keyring: Keyring) -> None:
    """Do as `require_keys`, and make the current key known."""
    with Session(engine) as session, session.begin():
        if keyring.current not in require_keys(session, keyring):
            queries.add_check(session, keyring.current, keyring.encrypt(SENTINEL, _place(keyring.current)))


def require_keys(session: Session, keyring: Keyring) -> frozenset[str]:
    """Check that a keyring has all the keys that the database needs; return the ids of all that it knows.

    A ciphertext that names a key which the database has never known is damaged. It must not block the other grants.

    Raises:
        ConfigurationError: A key that the database needs is missing, or its id belongs to a different key.
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
    """Raise UndecryptableError if the keyring's key of that id is a different one."""
    keyring.decrypt(check.sentinel, _place(check.id))


@contextmanager
def only_rotation(engine: Engine) -> Iterator[None]:
    """Hold the right to change keys; ConfigurationError if somebody else does.

    A second rotation would overwrite the first one's new key in the block.
    """
    with Session(engine) as session, session.begin():
        if not queries.lock_keys(session):
            raise ConfigurationError("the keys are being changed already: wait until that ends")
        yield


def rotate(engine: Engine, keyring: Keyring, say: Callable[[str], None], batch: int = BATCH) -> Rotation:
    """Re-encrypt all tokens with the keyring's current key, while jobs run; then retire the keys that nothing needs.

    It can be interrupted and started again.

    Raises:
        ConfigurationError: The keyring is not the database's.
    """
    check_keyring(engine, keyring)
    with Session(engine) as session:
        begun_at = read_clock(session)
    done: set[int] = set()
    while True:
        changed, undecryptable = _pass(engine, keyring, batch, say)
        done |= changed
        with Session(engine) as session, session.begin():
            # A renewal that began earlier may still write with the old key, until its lease ends.
            if not queries.leases_taken_before(session, begun_at) and not changed:
                queries.put_in_use(session, keyring.current, retire_others=not undecryptable)
                return Rotation(grants=len(done), undecryptable=tuple(sorted(undecryptable)))
        time.sleep(POLL_SECONDS if not changed else 0)


def _pass(engine: Engine, keyring: Keyring, batch: int, say: Callable[[str], None]) -> tuple[set[int], set[int]]:
    """Go through all grants once; return those that were re-encrypted, and those that cannot be."""
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
        plain = unseal_tokens(keyring, row)
    except (UndecryptableError, ConfigurationError):
        return False
    for column, token in plain.items():
        setattr(row, column, seal(keyring, row.id, column, token))
    return True


def _place(key_id: str) -> Place:
    return Place("token_keys", "sentinel", key_id)
