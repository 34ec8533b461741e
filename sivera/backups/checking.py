"""The proof of a backup: its bytes are digested while they are restored into a database beside, which is compared."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from secrets import token_hex

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sivera.backups import programs, queries
from sivera.backups.catalog import Catalog, path_of
from sivera.backups.dumping import Checksum, Tell, read_shape
from sivera.backups.manifest import Manifest, Outcome, ShapeOfData, Verdict
from sivera.backups.programs import ProgramFailed
from sivera.crypto import Keyring, UndecryptableError
from sivera.database import open_engine
from sivera.errors import ConfigurationError, SiveraError
from sivera.grants.keys import decrypts
from sivera.models import TokenKeyCheck

logger = logging.getLogger("sivera.backups")

SHOWN = 5
"""Of more tables that differ, the reason says only how many."""

NOT_ITS_FAULT = (
    "No space left on device",
    "could not extend file",
    "could not write",
    "out of memory",
    "permission denied",
    "must be superuser",
    "must be owner",
    "is not available",  # an extension that this server lacks
    "connection to server",
    "server closed the connection",
    "terminating connection",
    "canceling statement",
    "unrecognized configuration parameter",
    "unsupported version",
    "was ended by signal",
)
"""What a restore fails with, in PostgreSQL's words, although the backup may be right."""


SDKS = ("botocore", "aiobotocore", "aiohttp")
"""Packages whose errors fsspec hands on as they are, such as that S3 does not answer; we need none of them."""


class Mismatch(SiveraError):
    """A backup is not what its manifest says."""


def check_backup(
    manifest: Manifest,
    catalog: Catalog,
    url: URL,
    get_keyring: Callable[[], Keyring],
    until: float,
    tell: Tell = lambda _: None,
) -> Verdict:
    """Restore a backup into a database beside, which is dropped afterwards, and compare it with the manifest.

    Args:
        manifest: The backup.
        catalog: Where it is.
        url: Of any database of the server to do it on.
        get_keyring: Gives the keys to the stored tokens.
        until: The monotonic time at which it is broken off.
        tell: Is told how far it is.
    """
    try:
        require_dump(manifest, catalog)
        with scratch_database(url) as scratch:
            restore_into(scratch, manifest, catalog, until, tell)
            compare(scratch, manifest, get_keyring, until)
    except Mismatch as error:
        return Verdict(outcome=Outcome.MISMATCH, reason=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody may take the backup for a good one
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=f"it could not be checked: {explain(error)}")
    tell(1.0)
    return Verdict(outcome=Outcome.VERIFIED)


@contextmanager
def scratch_database(url: URL) -> Iterator[URL]:
    """Yield an empty database beside one, and drop it in the end; those of checks that were killed are dropped first.

    Raises:
        ConfigurationError: The user may not make databases.
        DBAPIError: The database failed.
    """
    name = f"{queries.SCRATCH}{token_hex(4)}"
    engine = open_engine(url, pool_size=2).execution_options(isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as holder:
            queries.announce_scratch(holder, name)
            for each in queries.abandoned_scratches(holder):
                queries.drop_database(holder, each)
            try:
                with _needing_the_right(url):
                    queries.create_database(holder, name)
                yield url.set(database=name)
            finally:
                # Over another connection: this one may have been lost.
                with engine.connect() as connection:
                    queries.drop_database(connection, name)
    finally:
        engine.dispose()


def restore_into(url: URL, manifest: Manifest, catalog: Catalog, until: float, tell: Tell = lambda _: None) -> None:
    """Restore a backup into an empty database, all or nothing.

    Raises:
        Mismatch: Its bytes are not those that were written, or do not restore.
        SiveraError: It could not be restored, for a reason that is not of the backup.
        OSError: The storage does not give it.
    """
    checksum = Checksum()

    def look(chunk: bytes) -> None:
        checksum.update(chunk)
        tell(min(checksum.size / max(manifest.size, 1), 0.99))

    chosen = programs.find_programs(max(manifest.dump_version, _major(url)))
    failure: ProgramFailed | None = None
    try:
        with catalog.open_dump(manifest.name) as file:
            programs.restore(chosen, url, file, until, look)
    except ProgramFailed as error:
        failure = error
    # First, because what a damaged file does to a restore may look like anything.
    require_checksum(manifest, checksum)
    if failure and any(part in str(failure) for part in NOT_ITS_FAULT):
        raise failure
    if failure:
        raise Mismatch(str(failure)) from failure


def require_dump(manifest: Manifest, catalog: Catalog) -> None:
    """See that the dump of a manifest is there.

    Raises:
        Mismatch: It is not.
    """
    if not catalog.holds(manifest.name):
        raise Mismatch(f"{path_of(manifest.name)} is gone from the storage")


def require_checksum(manifest: Manifest, found: Checksum) -> None:
    """See that all bytes of a dump are those that were written.

    Raises:
        Mismatch: They are not.
    """
    if found.size != manifest.size:
        raise Mismatch(f"{path_of(manifest.name)} has {found.size} bytes, and was written with {manifest.size}")
    if found.sha256 != manifest.sha256:
        raise Mismatch(f"{path_of(manifest.name)} is damaged: its SHA-256 is not the one it was written with")


def compare(url: URL, manifest: Manifest, get_keyring: Callable[[], Keyring], until: float) -> None:
    """See that a restored database holds what the manifest says, and that the keys decrypt what is in it.

    Raises:
        Mismatch: It does not, or a key is another one.
        ConfigurationError: A key is missing.
        DBAPIError: The database failed.
    """
    engine = open_engine(url, pool_size=1, statement_seconds=max(int(until - time.monotonic()), 1))
    try:
        with Session(engine) as session:
            if differences := list(differing(manifest.shape, read_shape(session))):
                more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
                raise Mismatch(f"what was restored is not what was backed up: {'; '.join(differences[:SHOWN])}{more}")
            if manifest.key_ids:
                require_keys(queries.sentinels(session), get_keyring(), manifest.key_ids)
    finally:
        engine.dispose()


def differing(wanted: ShapeOfData, found: ShapeOfData) -> Iterator[str]:
    """Yield a sentence for each thing in which a restored database is not what was backed up."""
    for name in sorted(wanted.rows.keys() | found.rows.keys()):
        before, after = wanted.rows.get(name), found.rows.get(name)
        if before != after:
            yield f"{name} has {_rows(after)}, and had {_rows(before)}"
    for what in ("constraints", "indexes", "revision"):
        if getattr(wanted, what) != getattr(found, what):
            yield f"{what}: {getattr(found, what)}, and before {getattr(wanted, what)}"


def missing_keys(keyring: Keyring, key_ids: Sequence[str]) -> str | None:
    """Return a sentence on the keys that a backup needs and that are not there, or None."""
    missing = sorted(set(key_ids) - keyring.key_ids)
    if not missing:
        return None
    names = ", ".join(f"'{each}'" for each in missing)
    return f"the block token-key lacks {names}, which tokens in the backup are encrypted with: add it from your copy"


def require_keys(sentinels: Mapping[str, str], keyring: Keyring, key_ids: Sequence[str]) -> None:
    """Decrypt the sentinels, which are by key id, of the keys that a backup needs.

    Raises:
        Mismatch: A key is another one than it was.
        ConfigurationError: A key is missing.
    """
    for key_id in sorted(set(key_ids) & keyring.key_ids & sentinels.keys()):
        try:
            decrypts(keyring, TokenKeyCheck(id=key_id, sentinel=bytes.fromhex(sentinels[key_id])))
        except UndecryptableError:
            raise Mismatch(
                f"the key '{key_id}' in the block token-key does not decrypt what the backup has of that key: it is "
                "another one"
            ) from None
    if sentence := missing_keys(keyring, key_ids):
        raise ConfigurationError(sentence)


def explain(error: Exception) -> str:
    """Say what went wrong, without the values that a database's errors hold."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        return f"the database failed ({type(error.orig).__name__}{f', {state}' if state else ''})"
    if is_of_storage(error):
        return f"the storage failed ({getattr(error, 'strerror', None) or type(error).__name__})"
    if isinstance(error, SiveraError):
        return str(error)
    logger.error("Unexpected", exc_info=error)
    return f"unexpected {type(error).__name__}; the task run's log has the traceback"


def is_of_storage(error: Exception) -> bool:
    """Whether an error is that of a file or of an object store."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in SDKS


@contextmanager
def _needing_the_right(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":  # insufficient_privilege
            raise
        raise ConfigurationError(
            f"the database's user may not make databases: give it the right with ALTER ROLE {url.username} CREATEDB"
        ) from None


def _major(url: URL) -> int:
    engine = open_engine(url, pool_size=1)
    try:
        with Session(engine) as session:
            return queries.server_version(session)[1]
    finally:
        engine.dispose()


def _rows(count: int | None) -> str:
    return "no such table" if count is None else f"{count} rows"
