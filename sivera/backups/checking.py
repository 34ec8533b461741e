"""Prove a backup: restore it into a scratch database with its checksum, and compare that with the manifest."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from sivera.backups import queries
from sivera.backups.catalog import Catalog
from sivera.backups.dumping import Progress
from sivera.backups.manifest import Manifest, Outcome, Verdict
from sivera.backups.programs import OutOfTime
from sivera.backups.restoring import Mismatch, restore_and_compare
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.errors import ConfigurationError, SiveraError

logger = logging.getLogger("sivera.backups")

SDKS = ("botocore", "aiobotocore", "aiohttp")
"""Packages that fsspec uses without wrapping their errors."""

QUERY_CANCELED, INSUFFICIENT_PRIVILEGE = "57014", "42501"


def check_backup(
    manifest: Manifest,
    catalog: Catalog,
    url: URL,
    get_keyring: Callable[[], Keyring],
    until: float,
    progress: Progress = lambda _: None,
) -> Verdict:
    """Restore a backup into a scratch database on the server of `url`, and compare that with the manifest."""
    try:
        with scratch_database(url) as scratch:
            restore_and_compare(manifest, catalog, scratch, get_keyring, until, progress)
    except Mismatch as error:
        return Verdict(outcome=Outcome.MISMATCH, reason=str(error))
    except Exception as error:  # noqa: BLE001 - whatever failed, the backup is not proven
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=f"it could not be checked: {explain(error)}")
    progress(1.0)
    return Verdict(outcome=Outcome.VERIFIED)


@contextmanager
def scratch_database(url: URL) -> Iterator[URL]:
    """Yield an empty database on the same server, and drop it at the end; first drop that of a killed check.

    Raises:
        ConfigurationError: The user may not create databases, or another check is under way.
        DBAPIError: The database failed.
    """
    name = f"sivera_check_{url.database}"
    engine = open_engine(url, pool_size=2).execution_options(isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as holder:
            if not queries.lock_scratch(holder):
                raise ConfigurationError("another check of a backup is under way here: try again when it has ended")
            queries.drop_database(holder, name)
            try:
                queries.create_database(holder, name)
                yield url.set(database=name)
            finally:
                # The other connection may be lost by now.
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
