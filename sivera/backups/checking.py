"""Prove a backup: restore it into a scratch database with its checksum, and compare that with the manifest."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from secrets import token_hex

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from sivera.backups import programs, queries
from sivera.backups.catalog import Catalog
from sivera.backups.dumping import Checksum, Progress, open_session, read_shape
from sivera.backups.manifest import Manifest, Outcome, ShapeOfData, Verdict
from sivera.backups.programs import OutOfTime, ProgramFailed
from sivera.crypto import Keyring, UndecryptableError
from sivera.database import open_engine
from sivera.errors import ConfigurationError, SiveraError
from sivera.grants.keys import decrypts
from sivera.models import TokenKeyCheck

logger = logging.getLogger("sivera.backups")

SHOWN = 5
"""Differences that the reason names."""

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
"""Errors of pg_restore that say nothing about the backup."""

SDKS = ("botocore", "aiobotocore", "aiohttp")
"""Packages that fsspec uses, and whose errors it does not wrap."""

QUERY_CANCELED, INSUFFICIENT_PRIVILEGE = "57014", "42501"


class Mismatch(SiveraError):
    """A backup is not what its manifest says."""


def check_backup(
    manifest: Manifest,
    catalog: Catalog,
    url: URL,
    get_keyring: Callable[[], Keyring],
    until: float,
    progress: Progress = lambda _: None,
) -> Verdict:
    """Restore a backup into a scratch database, and compare that with the manifest.

    Args:
        manifest: The backup.
        catalog: Where it is.
        url: Any database of the server to use.
        get_keyring: Returns the keys to the stored tokens.
        until: The monotonic deadline.
        progress: Is called with the share that is done.
    """
    try:
        require_dump(manifest, catalog)
        with scratch_database(url) as scratch:
            restore_into(scratch, manifest, catalog, until, progress)
            compare(scratch, manifest, get_keyring, until)
    except Mismatch as error:
        return Verdict(outcome=Outcome.MISMATCH, reason=str(error))
    except Exception as error:  # noqa: BLE001 - whatever failed, the backup is not proven
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=f"it could not be checked: {explain(error)}")
    progress(1.0)
    return Verdict(outcome=Outcome.VERIFIED)


@contextmanager
def scratch_database(url: URL) -> Iterator[URL]:
    """Yield an empty database on the same server, and drop it at the end; first drop those of killed checks.

    Raises:
        ConfigurationError: The user may not create databases.
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
                queries.create_database(holder, name)
                yield url.set(database=name)
            finally:
                # This connection may be lost by now.
                with engine.connect() as connection:
                    queries.drop_database(connection, name)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
            raise
        raise ConfigurationError(
            f"the database's user may not create databases: allow it with ALTER ROLE {url.username} CREATEDB"
        ) from None
    finally:
        engine.dispose()


def restore_into(
    url: URL, manifest: Manifest, catalog: Catalog, until: float, progress: Progress = lambda _: None
) -> None:
    """Restore a backup into an empty database, all or nothing.

    Raises:
        Mismatch: Its bytes are not those that were written, or cannot be restored.
        SiveraError: The restore failed, but not because of the backup.
        OSError: The storage failed.
    """
    checksum = Checksum()

    def look(chunk: bytes) -> None:
        checksum.update(chunk)
        progress(min(checksum.size / max(manifest.size, 1), 0.99))

    with open_session(url, until) as session:
        _, major = queries.server_version(session)
    failure: ProgramFailed | None = None
    try:
        with catalog.open_dump(manifest) as file:
            programs.restore(programs.find_programs(max(manifest.dump_version, major)), url, file, until, look)
    except ProgramFailed as error:
        failure = error
    # First: a damaged file can make a restore fail in any way.
    require_checksum(manifest, checksum)
    if failure and any(part in str(failure) for part in NOT_ITS_FAULT):
        raise failure
    if failure:
        raise Mismatch(str(failure)) from failure


def require_dump(manifest: Manifest, catalog: Catalog) -> None:
    """Raise Mismatch if the dump of a manifest is missing."""
    if not catalog.holds(manifest):
        raise Mismatch(f"{manifest.path} is gone from the storage")


def require_checksum(manifest: Manifest, found: Checksum) -> None:
    """Raise Mismatch if a dump is not what was written."""
    if found.size != manifest.size:
        raise Mismatch(f"{manifest.path} has {found.size} bytes, but {manifest.size} were written")
    if found.sha256 != manifest.sha256:
        raise Mismatch(f"{manifest.path} is damaged: its SHA-256 has changed since it was written")


def compare(url: URL, manifest: Manifest, get_keyring: Callable[[], Keyring] | None, until: float) -> None:
    """Compare a restored database with the manifest, and decrypt with each key what is in it, if there are keys.

    Raises:
        Mismatch: They differ, or a key has changed.
        ConfigurationError: A key is missing.
        DBAPIError: The database failed.
    """
    with open_session(url, until) as session:
        if differences := list(differing(manifest.shape, read_shape(session))):
            more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
            raise Mismatch(f"what was restored is not what was backed up: {'; '.join(differences[:SHOWN])}{more}")
        if get_keyring and manifest.key_ids:
            require_keys(queries.sentinels(session), get_keyring(), manifest.key_ids)


def differing(wanted: ShapeOfData, found: ShapeOfData) -> Iterator[str]:
    """Yield a sentence for each difference between what was backed up and what was restored."""
    for name in sorted(wanted.rows.keys() | found.rows.keys()):
        before, after = wanted.rows.get(name), found.rows.get(name)
        if before != after:
            yield f"{name} has {_rows(after)}, and had {_rows(before)}"
    for what in ("constraints", "indexes", "revision"):
        if getattr(wanted, what) != getattr(found, what):
            yield f"{what}: {getattr(found, what)}, and before {getattr(wanted, what)}"


def require_keys(sentinels: Mapping[str, str], keyring: Keyring, key_ids: Sequence[str]) -> None:
    """Check that a keyring has the keys of a backup, by decrypting the sentinel of each.

    Raises:
        Mismatch: A key has changed.
        ConfigurationError: A key is missing.
    """
    for key_id in sorted(set(key_ids) & keyring.key_ids & sentinels.keys()):
        try:
            decrypts(keyring, TokenKeyCheck(id=key_id, sentinel=bytes.fromhex(sentinels[key_id])))
        except UndecryptableError:
            raise Mismatch(
                f"the key '{key_id}' in the block token-key does not decrypt the backup: it is another key of that id"
            ) from None
    if missing := sorted(set(key_ids) - keyring.key_ids):
        names = ", ".join(f"'{each}'" for each in missing)
        raise ConfigurationError(
            f"the block token-key lacks {names}, which tokens in the backup are encrypted with: add it from your copy"
        )


def explain(error: Exception) -> str:
    """Return what went wrong, without the values that errors of a database hold."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        # Statements are cancelled at the deadline.
        if state == QUERY_CANCELED:
            return str(OutOfTime())
        return f"the database failed ({type(error.orig).__name__}{f', {state}' if state else ''})"
    if is_of_storage(error):
        return f"the storage failed ({getattr(error, 'strerror', None) or type(error).__name__})"
    if isinstance(error, SiveraError):
        return str(error)
    logger.error("Unexpected", exc_info=error)
    return f"unexpected {type(error).__name__}; the task run's log has the traceback"


def is_of_storage(error: Exception) -> bool:
    """Return whether an error is one of a file or of an object store."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in SDKS


def _rows(count: int | None) -> str:
    return "no such table" if count is None else f"{count} rows"
