"""Make a backup: read one snapshot, count it, and stream its dump with a checksum to the storage."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from uuid import UUID

from sqlalchemy import URL
from sqlalchemy.orm import Session

from sivera.backups import programs, queries
from sivera.backups.catalog import Catalog, name_of
from sivera.backups.manifest import Manifest, ShapeOfData
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.database import check, engine_on
from sivera.errors import ConfigurationError

TYPICAL_COMPRESSION = 5
"""Bytes of a database, with its indexes, for one byte of its dump."""

Progress = Callable[[float], None]
"""Is called with the share that is done, from 0 to 1."""


@contextmanager
def open_session(url: URL, until: float) -> Iterator[Session]:
    """Yield a session on a database until a deadline; ConfigurationError if the database is away."""
    with engine_on(url, statement_seconds=max(int(until - time.monotonic()), 0) + 1) as engine:
        check(engine)
        with Session(engine) as session:
            yield session


def find_programs(url: URL) -> programs.Programs:
    """Return programs that reach the database; ConfigurationError if there are none, or it is away."""
    with open_session(url, time.monotonic() + programs.TRY_SECONDS) as session:
        return programs.find_programs(url, queries.server_version(session))


def dump(
    run_id: UUID, url: URL, catalog: Catalog, keyring: Keyring, until: float, progress: Progress = lambda _: None
) -> Manifest:
    """Back our tables up until a monotonic deadline, and write the manifest. If that fails, nothing of it stays."""
    with open_session(url, until) as session:
        # The whole transaction sees one moment, and pg_dump takes up its snapshot.
        snapshot = queries.export_snapshot(session, programs.LOCK_WAIT)
        started_at = read_clock(session)
        name = name_of(run_id, started_at)
        shape = read_shape(session)
        tables = shape.tables
        if shape.revision is None:
            raise ConfigurationError("the database has no tables of ours: run `sivera migrate`")
        chosen = programs.find_programs(url, queries.server_version(session))
        key_ids = tuple(queries.keys_needed(session))
        expected = max(queries.size_of(session, tables) // TYPICAL_COMPRESSION, 1)
        size, digests = 0, []
        chunks = programs.dump(chosen, url, tables, snapshot, until)
        with catalog.new_dump(name) as file, closing(chunks):
            for chunk in chunks:
                size += len(chunk)
                digests.append(sha256(chunk).hexdigest())
                file.write(chunk)
                progress(min(size / expected, 0.99))
        finished_at = read_clock(session)
    manifest = Manifest(
        name=name,
        run_id=run_id,
        started_at=started_at,
        finished_at=finished_at,
        size=size,
        chunk_size=programs.CHUNK,
        chunks=tuple(digests),
        dump_version=chosen.version,
        key_ids=key_ids,
        shape=shape,
    ).signed(keyring)
    catalog.write(manifest)
    progress(1.0)
    return manifest


def read_shape(session: Session, tables: Iterable[queries.Table] | None = None) -> ShapeOfData:
    """Return what these tables or, by default, ours hold; this counts the rows of those that there are."""
    found = queries.find_tables(session, tables)
    rows = {f"{schema}.{name}": queries.count_rows(session, schema, name) for schema, name in found}
    return ShapeOfData(rows=rows, revision=queries.revision(session, found))
