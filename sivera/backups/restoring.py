"""Restore a backup in one transaction, and prove a backup by restoring it."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from hashlib import sha256

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sivera.backups import queries
from sivera.backups.catalog import Catalog
from sivera.backups.copying import Pace, Progress, open_session, read_table
from sivera.backups.manifest import Manifest, Mismatch, TableCopy
from sivera.crypto import Keyring
from sivera.database import VERSION_TABLE
from sivera.errors import ConfigurationError
from sivera.grants.keys import require_keys
from sivera.units import counted

SHOWN = 5
"""How many tables a message names."""


def restore(
    manifest: Manifest, catalog: Catalog, url: URL, keyring: Keyring | None, until: float, *, without_keys: bool = False
) -> None:
    """Restore a backup into a database without our tables until a monotonic deadline. A failure changes nothing.

    Without a keyring, nothing proves that the backup is ours. `without_keys` restores although keys of the stored
    tokens are missing. Either way the missing keys are forgotten, because no job would run while they are missing.

    Raises:
        ConfigurationError: The database is unsuitable or does not answer, a key is missing, or a newer version made the
            backup.
        Mismatch: The backup is damaged or not ours, or the keyring has a different key of the same id.
        SQLAlchemyError: The database failed.
    """
    if keyring:
        manifest.require_ours(keyring, without_keys=without_keys)
    with open_session(url, until) as session, session.begin():
        queries.begin_writing(session)
        if found := sorted(queries.OURS & queries.find_tables(session)):
            raise ConfigurationError(
                f"the database {url.database} is not empty: it has {counted(len(found), 'table')} of ours, such as "
                f"{', '.join(found[:SHOWN])}. Create a new one and name that; nothing was changed"
            )
        _fill(session, manifest, catalog, Pace(manifest.text_size, until))
        if without_keys or keyring is None:
            queries.forget_keys(session, keyring.key_ids if keyring else frozenset())
        else:
            _check_keys(session, keyring)


def prove(manifest: Manifest, catalog: Catalog, url: URL, keyring: Keyring, until: float, progress: Progress) -> None:
    """Restore a backup without committing it; Mismatch if the dump is damaged or a table differs from the manifest."""
    pace = Pace(2 * manifest.text_size, until, progress)
    with open_session(url, until) as session:
        queries.begin_writing(session)
        queries.use_scratch_schema(session)
        _fill(session, manifest, catalog, pace)
        for table in manifest.tables:
            if read_table(session, table.name, table.columns, pace) != table:
                raise Mismatch(f"what was restored is not what was backed up ({table.name}): use another backup")
        _check_keys(session, keyring)


def _fill(session: Session, manifest: Manifest, catalog: Catalog, pace: Pace) -> None:
    from sivera.migrating import make_tables  # noqa: PLC0415 - Alembic

    others = queries.find_tables(session)
    make_tables(session.connection(), manifest.revision)
    made = queries.find_tables(session) - others - {VERSION_TABLE}
    if differing := sorted(made ^ {each.name for each in manifest.tables}):
        raise Mismatch(
            f"{manifest.path} does not have the tables of revision {manifest.revision} (it differs in "
            f"{', '.join(differing[:SHOWN])}): use another backup"
        )
    with _open_dump(manifest, catalog) as text:
        for table in manifest.tables:
            _fill_table(session, manifest, table, text, pace)
    queries.advance_identities(session)


@contextmanager
def _open_dump(manifest: Manifest, catalog: Catalog) -> Iterator[GzipFile]:
    """Yield the text of all tables. The caller must read all of it; Mismatch if the dump is missing or damaged."""
    try:
        file = catalog.open_dump(manifest)
    except FileNotFoundError:
        raise Mismatch(f"{manifest.path} is gone from the storage: use another backup") from None
    with file, GzipFile(fileobj=file, mode="rb") as text:
        try:
            yield text
            is_damaged = bool(text.read(1))
        except (BadGzipFile, EOFError, zlib.error):
            is_damaged = True
        if is_damaged:
            raise _damaged(manifest)


def _fill_table(session: Session, manifest: Manifest, table: TableCopy, text: GzipFile, pace: Pace) -> None:
    pieces = _proven(manifest, table, text, pace)
    try:
        rows = queries.copy_in(session, table.name, table.columns, pieces)
    except DBAPIError:
        # The database may have refused damaged text: reading the rest shows whether it is.
        for _ in pieces:
            pass
        raise
    if rows != table.rows:
        raise Mismatch(
            f"{manifest.path} has {counted(rows, 'row')} of {table.name} instead of {table.rows}: use another backup"
        )


def _proven(manifest: Manifest, table: TableCopy, text: GzipFile, pace: Pace) -> Iterator[bytes]:
    """Yield the text of a table; Mismatch at its end if the checksum is wrong."""
    digest, left = sha256(), table.size
    while piece := text.read(min(left, queries.PIECE)):
        digest.update(piece)
        left -= len(piece)
        yield piece
        pace.advance(len(piece))
    if digest.hexdigest() != table.sha256:
        raise _damaged(manifest)


def _damaged(manifest: Manifest) -> Mismatch:
    return Mismatch(f"{manifest.path} is damaged (its SHA-256 has changed): use another backup")


def _check_keys(session: Session, keyring: Keyring) -> None:
    try:
        require_keys(session, keyring)
    except ConfigurationError as error:
        raise Mismatch(str(error)) from None
