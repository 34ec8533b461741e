"""The making of a backup: one snapshot, counted and dumped, and streamed to the storage with its checksum."""

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sivera.backups import programs, queries
from sivera.backups.catalog import Catalog
from sivera.backups.manifest import Manifest, ShapeOfData
from sivera.clock import utc_now
from sivera.database import open_engine
from sivera.errors import ConfigurationError
from sivera.values import Value

TYPICAL_COMPRESSION = 5
"""How many bytes of a database, its indexes among them, make one of a dump, before there is one to go by."""

Tell = Callable[[float], None]
"""Is told how much is done, from 0 to 1."""


class Origin(Value):
    """Where a backup comes from: the run that makes it, its name, and when that began.

    `replaced` is the path of what an earlier attempt of the same run began; None where this is the first.
    """

    run_id: UUID
    name: str
    started_at: datetime
    replaced: str | None = None


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
        """The digest of all so far, in hexadecimal."""
        return self._digest.hexdigest()


def dump(origin: Origin, url: URL, catalog: Catalog, until: float, tell: Tell = lambda _: None) -> Manifest:
    """Make a backup and write its manifest; nothing of it stays where that fails.

    Args:
        origin: The run that makes it.
        url: The database.
        catalog: Where it goes.
        until: The monotonic time at which it is broken off.
        tell: Is told how far it is, roughly.

    Raises:
        ConfigurationError: The database is not migrated, or newer than pg_dump.
        ProgramFailed: pg_dump failed or was killed.
        OutOfTime: The deadline came.
        OSError: The storage does not take it, such as when it is full.
        SQLAlchemyError: The database failed.
    """
    engine = open_engine(url, pool_size=1, statement_seconds=max(int(until - time.monotonic()), 0) + 1)
    try:
        # All of the transaction sees one moment, and so does whoever takes up its snapshot while it is open.
        repeatable = engine.execution_options(isolation_level="REPEATABLE READ")
        with _ended_by(until), repeatable.connect() as connection:
            session = Session(connection)
            snapshot = queries.export_snapshot(session)
            written, major = queries.server_version(session)
            chosen = programs.find_programs(major)
            require_tables(session)
            key_ids, sentinels = tuple(queries.keys_needed(session)), queries.sentinels(session)
            expected = _expected_size(catalog, session)
            checksum = Checksum()
            # A dump without its counts is none.
            with catalog.new_dump(origin.name) as file, _counting(session) as counted:
                programs.read_dump(chosen, url, snapshot, until, _Sink(file, checksum, expected, tell).take)
                if not wait([counted], max(until - time.monotonic(), 0)).done:
                    raise programs.OutOfTime
                shape = counted.result()
    finally:
        engine.dispose()
    manifest = Manifest(
        name=origin.name,
        run_id=origin.run_id,
        started_at=origin.started_at,
        finished_at=utc_now(),
        size=checksum.size,
        sha256=checksum.sha256,
        server_version=written,
        dump_version=chosen.version,
        key_ids=key_ids,
        sentinels={key_id: each for key_id, each in sentinels.items() if key_id in key_ids},
        shape=shape,
    )
    catalog.write(manifest)
    tell(1.0)
    return manifest


def require_tables(session: Session) -> None:
    """Raise ConfigurationError where the database has no tables of ours."""
    if queries.revision(session) is None:
        raise ConfigurationError("the database has no tables of ours: run `sivera migrate`")


def read_shape(session: Session) -> ShapeOfData:
    """Return what a database holds: the rows of all its tables are counted."""
    return ShapeOfData(
        rows={
            f"{schema}.{name}": queries.count_rows(session, schema, name) for schema, name in queries.tables(session)
        },
        constraints=queries.count_constraints(session),
        indexes=queries.count_indexes(session),
        revision=queries.revision(session),
    )


@contextmanager
def _ended_by(until: float) -> Iterator[None]:
    """Tell of a statement that was cancelled after the deadline, which is no failure of the database, as of that."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == "57014" and time.monotonic() >= until:  # query_canceled
            raise programs.OutOfTime from error
        raise


@contextmanager
def _counting(session: Session) -> Iterator[Future[ShapeOfData]]:
    """Count while the body dumps, in the same snapshot; where the body fails, the counting is broken off."""
    cancel = queries.canceller(session)
    with ThreadPoolExecutor(1) as beside:
        counted = beside.submit(read_shape, session)
        try:
            yield counted
        except BaseException:
            # Again, should the first have come between two statements.
            while not counted.done():
                cancel()
                wait([counted], 1)
            raise


class _Sink:
    def __init__(self, file: BinaryIO, checksum: Checksum, expected: int, tell: Tell) -> None:
        self._file, self._checksum, self._expected, self._tell = file, checksum, expected, tell

    def take(self, chunk: bytes) -> None:
        self._checksum.update(chunk)
        self._file.write(chunk)
        self._tell(min(self._checksum.size / self._expected, 0.99))


def _expected_size(catalog: Catalog, session: Session) -> int:
    made, _ = catalog.list()
    return max(made[-1].size if made else queries.database_size(session) // TYPICAL_COMPRESSION, 1)
