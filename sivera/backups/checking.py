"""Prove a backup: restore it into a scratch database, and compare that with the manifest."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.backups import queries
from sivera.backups.catalog import Catalog
from sivera.backups.copying import OutOfTime, Progress
from sivera.backups.manifest import Manifest, Mismatch, Outcome, Verdict
from sivera.backups.restoring import prove
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.database import engine_on
from sivera.database_errors import quoted, sentence, state_of
from sivera.errors import ConfigurationError, SiveraError

logger = logging.getLogger("sivera.backups")

SDKS = ("botocore", "aiobotocore", "aiohttp")
"""Packages that fsspec uses without wrapping their errors."""

QUERY_CANCELED = "57014"

SCRATCH = "sivera_check_"
MOST_OF_A_NAME = 63
"""Bytes of a database's name."""


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
        manifest.require_ours(keyring := get_keyring())
        with scratch_database(url) as scratch:
            prove(manifest, catalog, scratch, keyring, until, progress)
    except Mismatch as error:
        return Verdict(outcome=Outcome.MISMATCH, reason=str(error))
    except Exception as error:  # noqa: BLE001 - whatever failed, the backup is not proven
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=f"it could not be checked: {explain(error)}")
    progress(1.0)
    return Verdict(outcome=Outcome.VERIFIED)


def checked(manifest: Manifest, verdict: Verdict, url: URL) -> Manifest:
    """Return a backup after a check. The time is the database's, as those of the dump are; none if it is away."""
    at = None
    with suppress(SQLAlchemyError), engine_on(url) as engine, Session(engine) as session:
        at = read_clock(session)
    return manifest.checked(verdict, at)


@contextmanager
def scratch_database(url: URL) -> Iterator[URL]:
    """Yield a database on the same server for a check, which leaves nothing in it.

    It is created and dropped. A user who may not do that uses the one of its name that an administrator has made.

    Raises:
        ConfigurationError: The user may not create databases and there is none, or another check is under way.
        DBAPIError: The database failed.
    """
    name = f"{SCRATCH}{url.database}"
    if len(name.encode()) > MOST_OF_A_NAME:  # PostgreSQL would cut it off, and maybe within a letter
        name = f"{SCRATCH}{sha256(name.encode()).hexdigest()[:32]}"
    scratch = url.set(database=name)
    with engine_on(url, pool_size=2) as engine, engine.begin() as holder:
        if not queries.lock_scratch(holder):
            raise ConfigurationError("another check of a backup is under way here: wait until it has ended")
        if queries.may_create_databases(holder):
            queries.drop_database(engine, name)  # of a check that was killed
            queries.create_database(engine, name)
            try:
                yield scratch
            finally:
                queries.drop_database(engine, name)
        elif queries.has_database(holder, name):
            yield scratch
        else:
            role = quoted(url.username or "")
            raise ConfigurationError(
                f"the database's user may not create databases: allow it with ALTER ROLE {role} CREATEDB, or make the "
                f"database for checks with CREATE DATABASE {quoted(name)} OWNER {role}"
            )


def explain(error: Exception) -> str:
    """Return what went wrong, without the values that errors of a database hold."""
    if isinstance(error, DBAPIError):
        # Statements are cancelled at the deadline.
        return str(OutOfTime()) if state_of(error) == QUERY_CANCELED else sentence(error)
    if is_of_storage(error):
        why = getattr(error, "strerror", None) or type(error).__name__
        return f"the storage failed ({why}): see that it answers, has room, and takes its keys"
    if isinstance(error, SiveraError):
        return str(error)
    logger.error("Unexpected", exc_info=error)
    return f"unexpected {type(error).__name__}; the task run's log has the traceback"


def is_of_storage(error: Exception) -> bool:
    """Return whether an error is one of a file or of an object store."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in SDKS
