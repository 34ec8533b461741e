"""Make a backup: read a consistent snapshot of our tables, and stream it to the storage."""

from gzip import GzipFile
from uuid import UUID

from sqlalchemy import URL
from sqlalchemy.orm import Session

from sivera.backups import queries
from sivera.backups.catalog import Catalog, name_of
from sivera.backups.copying import Pace, Progress, open_session, read_table
from sivera.backups.manifest import Manifest
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.errors import ConfigurationError

COMPRESSION = 1
"""The default, 9, takes many times longer and makes a dump only a fifth smaller."""


def dump(
    run_id: UUID, url: URL, catalog: Catalog, keyring: Keyring, until: float, progress: Progress = lambda _: None
) -> Manifest:
    """Back up our tables until a monotonic deadline, and write the manifest; a failure leaves nothing behind."""
    with open_session(url, until) as session:
        queries.begin_reading(session)
        started_at = read_clock(session)
        revision = require_newest_revision(session)
        key_ids = tuple(queries.keys_needed(session))
        pace = Pace(queries.size_of_tables(session), until, progress)
        name = name_of(run_id, started_at)
        with catalog.new_dump(name) as file:
            with GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=file) as packed:
                tables = tuple(
                    read_table(session, table, columns, pace, packed.write) for table, columns in queries.TABLES.items()
                )
            size = file.tell()
        finished_at = read_clock(session)
    manifest = Manifest(
        name=name,
        run_id=run_id,
        started_at=started_at,
        finished_at=finished_at,
        size=size,
        revision=revision,
        tables=tables,
        key_ids=key_ids,
    ).signed(keyring)
    catalog.write(manifest)
    progress(1.0)
    return manifest


def require_newest_revision(session: Session) -> str:
    """Return the database's revision; ConfigurationError if it is not this version's."""
    from sivera.migrating import revisions_in  # noqa: PLC0415 - Alembic

    revisions = revisions_in(session.connection())
    if revisions.current is None:
        raise ConfigurationError("the database has no tables of ours: run `sivera migrate`")
    if revisions.current != revisions.newest:
        remedy = "run `sivera migrate`" if revisions.is_known else "install the newer version that migrated it"
        raise ConfigurationError(
            f"the database is at revision {revisions.current}, and this version backs up {revisions.newest}: {remedy}"
        )
    return revisions.current
