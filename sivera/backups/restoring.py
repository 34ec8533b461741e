"""Restoring a backup into an empty database."""

import time
from collections.abc import Callable

from sqlalchemy import URL
from sqlalchemy.orm import Session

from sivera.backups import queries
from sivera.backups.catalog import Catalog
from sivera.backups.checking import compare, require_checksum, require_dump, require_keys, restore_into
from sivera.backups.dumping import Checksum, Tell
from sivera.backups.manifest import Manifest
from sivera.backups.programs import CHUNK
from sivera.crypto import Keyring
from sivera.database import check, open_engine
from sivera.errors import ConfigurationError

SHOWN = 3


def restore(
    manifest: Manifest,
    catalog: Catalog,
    url: URL,
    get_keyring: Callable[[], Keyring] | None,
    until: float,
    tell: Tell = lambda _: None,
) -> None:
    """Restore a backup into an empty database, all or nothing, and compare it with the manifest.

    Args:
        manifest: The backup.
        catalog: Where it is.
        url: The database.
        get_keyring: Gives the keys to the stored tokens; None to do without.
        until: The monotonic time at which it is broken off.
        tell: Is told how far it is.

    Raises:
        ConfigurationError: The database is not empty, does not answer, or a key is missing; nothing was changed.
        Mismatch: The backup is damaged, or a key is another one, and nothing was changed; or, after the restore, the
            database is not what was backed up.
        SiveraError: The restore failed; nothing stays of it.
    """
    if get_keyring:
        require_keys(manifest.sentinels, get_keyring(), manifest.key_ids)
    require_empty(url)
    digest(manifest, catalog)
    restore_into(url, manifest, catalog, until, tell)
    known = manifest if get_keyring else manifest.model_copy(update={"key_ids": ()})
    compare(url, known, get_keyring or _no_keyring, until)
    engine = open_engine(url, pool_size=1, statement_seconds=max(int(until - time.monotonic()), 1))
    try:
        with Session(engine) as session, session.begin():
            queries.analyze(session)
    finally:
        engine.dispose()


def require_empty(url: URL) -> None:
    """See that a database has no tables.

    Raises:
        ConfigurationError: It has, or it does not answer.
    """
    engine = open_engine(url, pool_size=1)
    try:
        check(engine)
        with Session(engine) as session:
            found = queries.tables(session)
    finally:
        engine.dispose()
    if found:
        names = ", ".join(f"{schema}.{name}" for schema, name in found[:SHOWN])
        raise ConfigurationError(
            f"the database {url.database} is not empty: it has {len(found)} tables, such as {names}. "
            "Make a new one, and name that: nothing was changed"
        )


def digest(manifest: Manifest, catalog: Catalog) -> None:
    """Read a dump from end to end, before a byte of it is restored.

    Raises:
        Mismatch: It is gone or damaged.
    """
    require_dump(manifest, catalog)
    found = Checksum()
    with catalog.open_dump(manifest.name) as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    require_checksum(manifest, found)


def _no_keyring() -> Keyring:
    raise AssertionError("not asked for without key ids")
