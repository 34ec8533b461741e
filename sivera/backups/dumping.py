"""Make a backup: read one snapshot, count it, and stream its dump with a checksum to the storage."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import URL
from sqlalchemy.orm import Session

from sivera.backups import programs, queries
from sivera.backups.catalog import Catalog, name_of
from sivera.backups.manifest import Manifest, ShapeOfData
from sivera.clock import read_clock
from sivera.database import check, open_engine
from sivera.errors import ConfigurationError

TYPICAL_COMPRESSION = 5
"""Bytes of a database, with its indexes, for one byte of its dump."""

Progress = Callable[[float], None]
"""Is called with the share that is done, from 0 to 1."""


class Checksum:
    """Counts and digests what passes."""

    def __init__(self) -> None:
        self.size, self._digest = 0, hashlib.sha256()

    def update(self, chunk: bytes) -> None:
        """Add a chunk."""
        self.size += len(chunk)
        self._digest.update(chunk)

    @property
    def sha256(self) -> str:
        """The digest of all chunks, in hexadecimal."""
        return self._digest.hexdigest()


@contextmanager
def open_session(url: URL, until: float) -> Iterator[Session]:
    """Yield a session on a database that has answered; its statements end at the deadline.

    Raises:
        ConfigurationError: The database does not answer.
    """
    engine = open_engine(url, pool_size=1, statement_seconds=max(int(until - time.monotonic()), 0) + 1)
    try:
        check(engine)
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def dump(run_id: UUID, url: URL, catalog: Catalog, until: float, progress: Progress = lambda _: None) -> Manifest:
    """Make a backup and write its manifest. If that fails, nothing of it stays.

    Args:
        run_id: The run that makes it.
        url: The database.
        catalog: Where it goes.
        until: The monotonic deadline.
        progress: Is called with the share that is done, roughly.

    Raises:
        ConfigurationError: The database does not answer, is not migrated, or is newer than pg_dump.
        ProgramFailed: pg_dump failed or was killed.
        OutOfTime: The deadline came.
        OSError: The storage failed; it may be full.
        SQLAlchemyError: The database failed.
    """
    with open_session(url, until) as session:
        # The whole transaction sees one moment, and pg_dump takes up its snapshot.
        snapshot = queries.export_snapshot(session)
        started_at = read_clock(session)
        name = name_of(run_id, started_at)
        server_version, major = queries.server_version(session)
        chosen = programs.find_programs(major)
        shape = read_shape(session)
        if shape.revision is None:
            raise ConfigurationError("the database has no tables of ours: run `sivera migrate`")
        key_ids, sentinels = tuple(queries.keys_needed(session)), queries.sentinels(session)
        expected = max(queries.database_size(session) // TYPICAL_COMPRESSION, 1)
        checksum = Checksum()
        with catalog.new_dump(name) as file:

            def take(chunk: bytes) -> None:
                checksum.update(chunk)
                file.write(chunk)
                progress(min(checksum.size / expected, 0.99))

            programs.read_dump(chosen, url, snapshot, until, take)
        finished_at = read_clock(session)
    manifest = Manifest(
        name=name,
        run_id=run_id,
        started_at=started_at,
        finished_at=finished_at,
        size=checksum.size,
        sha256=checksum.sha256,
        server_version=server_version,
        dump_version=chosen.version,
        key_ids=key_ids,
        sentinels={key_id: each for key_id, each in sentinels.items() if key_id in key_ids},
        shape=shape,
    )
    catalog.write(manifest)
    progress(1.0)
    return manifest


def read_shape(session: Session) -> ShapeOfData:
    """Return what a database holds; this counts the rows of all tables."""
    return ShapeOfData(
        rows={
            f"{schema}.{name}": queries.count_rows(session, schema, name) for schema, name in queries.tables(session)
        },
        constraints=queries.count_constraints(session),
        indexes=queries.count_indexes(session),
        revision=queries.revision(session),
    )
