"""Prove a backup: restore it into a scratch database and compare the result with the manifest."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.backups import queries
from sivera.backups.catalog import Catalog
from sivera.backups.copying import OUT_OF_TIME, Progress
from sivera.backups.manifest import Manifest, Mismatch, Outcome, Verdict
from sivera.backups.restoring import prove
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.database import engine_on
from sivera.database_errors import quoted, sentence, state_of
from sivera.errors import ConfigurationError, SiveraError

logger = logging.getLogger("sivera.backups")

SDKS = ("botocore", "aiobotocore", "aiohttp")
"""Packages whose errors fsspec passes through."""

QUERY_CANCELED = "57014"

SCRATCH = "sivera_check_"
MOST_OF_A_NAME = 63
"""The limit of a database's name, in bytes."""


def check_backup(
    manifest: Manifest,
    catalog: Catalog,
    url: URL,
    get_keyring: Callable[[], Keyring],
    until: float,
    progress: Progress = lambda _: None,
) -> Manifest:
    """Restore a backup into a scratch database on the server of `url`, and compare it with the manifest.

    Return the manifest with the verdict and, if the database answers, its time.
    """
    verdict, at = Verdict(outcome=Outcome.VERIFIED), None
    try:
        manifest.require_ours(keyring := get_keyring())
        with scratch_database(url) as scratch:
            prove(manifest, catalog, scratch, keyring, until, progress)
        progress(1.0)
    except Mismatch as error:
        verdict = Verdict(outcome=Outcome.MISMATCH, reason=str(error))
    except Exception as error:  # noqa: BLE001 - the verdict says what failed
        verdict = Verdict(outcome=Outcome.INCONCLUSIVE, reason=f"it could not be checked: {explain(error)}")
    with suppress(SQLAlchemyError), engine_on(url) as engine, Session(engine) as session:
        at = read_clock(session)
    return manifest.checked(verdict, at)


@contextmanager
def scratch_database(url: URL) -> Iterator[URL]:
    """Yield a database for a check on the same server, and drop it afterwards.

    A user who may not create databases needs one of that name from an administrator; ConfigurationError if there is
    none, or if another check is running.
    """
    name = f"{SCRATCH}{url.database}"
    if len(name.encode()) > MOST_OF_A_NAME:  # PostgreSQL would truncate it
        name = f"{SCRATCH}{sha256(name.encode()).hexdigest()[:32]}"
    scratch = url.set(database=name)
    with engine_on(url, pool_size=2) as engine, engine.begin() as holder:
        if not queries.lock_scratch(holder):
            raise ConfigurationError("another check of a backup is running on this database: wait until it has ended")
        if queries.may_create_databases(holder):
            queries.drop_database(engine, name)  # left behind by a check that was killed
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
    """Return what went wrong, without values from the database."""
    if isinstance(error, DBAPIError):
        # Statements are cancelled at the deadline.
        return OUT_OF_TIME if state_of(error) == QUERY_CANCELED else sentence(error)
    if is_of_storage(error):
        why = getattr(error, "strerror", None) or type(error).__name__
        return f"the storage failed ({why}): check that it is reachable, has free space and accepts its keys"
    if isinstance(error, SiveraError):
        return str(error)
    logger.error("Unexpected", exc_info=error)
    return f"unexpected {type(error).__name__}; the task run's log has the traceback"


def is_of_storage(error: Exception) -> bool:
    """Return whether an error comes from a file or an object store."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in SDKS
