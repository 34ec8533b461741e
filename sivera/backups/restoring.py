"""Restore a backup into an empty database."""

from collections.abc import Callable

from sqlalchemy import URL

from sivera.backups import queries
from sivera.backups.catalog import Catalog
from sivera.backups.checking import compare, require_checksum, require_dump, require_keys, restore_into
from sivera.backups.dumping import Checksum, Progress, open_session
from sivera.backups.manifest import Manifest
from sivera.backups.programs import CHUNK
from sivera.crypto import Keyring
from sivera.errors import ConfigurationError

SHOWN = 3


def restore(
    manifest: Manifest,
    catalog: Catalog,
    url: URL,
    get_keyring: Callable[[], Keyring] | None,
    until: float,
    progress: Progress = lambda _: None,
) -> None:
    """Restore a backup into an empty database, all or nothing, and compare that with the manifest.

    Args:
        manifest: The backup.
        catalog: Where it is.
        url: The database.
        get_keyring: Returns the keys to the stored tokens; None to restore without them.
        until: The monotonic deadline.
        progress: Is called with the share that is done.

    Raises:
        ConfigurationError: The database is not empty or does not answer, or a key is missing. Nothing was changed.
        Mismatch: The backup is damaged, or a key has changed, and nothing was changed; or the restored database differs
            from what was backed up.
        SiveraError: The restore failed and was rolled back.
    """
    if get_keyring:
        require_keys(manifest.sentinels, get_keyring(), manifest.key_ids)
    require_empty(url, until)
    verify_checksum(manifest, catalog)
    restore_into(url, manifest, catalog, until, progress)
    compare(url, manifest, get_keyring, until)
    with open_session(url, until) as session, session.begin():
        queries.analyze(session)


def require_empty(url: URL, until: float) -> None:
    """Check that a database has no tables.

    Raises:
        ConfigurationError: It has tables, or does not answer.
    """
    with open_session(url, until) as session:
        found = queries.tables(session)
    if found:
        names = ", ".join(f"{schema}.{name}" for schema, name in found[:SHOWN])
        raise ConfigurationError(
            f"the database {url.database} is not empty: it has {len(found)} tables, such as {names}. "
            "Create a new one and name that; nothing was changed"
        )


def verify_checksum(manifest: Manifest, catalog: Catalog) -> None:
    """Read a dump from end to end, before a byte of it is restored.

    Raises:
        Mismatch: It is missing or damaged.
    """
    require_dump(manifest, catalog)
    found = Checksum()
    with catalog.open_dump(manifest) as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    require_checksum(manifest, found)
