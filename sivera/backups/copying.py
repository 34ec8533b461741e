"""What a backup, its check and a restore share: sessions with a deadline, progress, and reading a table."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

from sqlalchemy import URL
from sqlalchemy.orm import Session

from sivera.backups import queries
from sivera.backups.manifest import TableCopy
from sivera.database import check, engine_on
from sivera.errors import SiveraError

Progress = Callable[[float], None]
"""Called with the completed share, from 0 to 1."""

OUT_OF_TIME = "the deadline passed before it was done: allow more time, or see what the database is waiting for"


class Pace:
    """Reports progress through a number of bytes, and raises SiveraError after a monotonic deadline."""

    def __init__(self, size: int, until: float, progress: Progress = lambda _: None) -> None:
        self._size, self._done = max(size, 1), 0
        self._until = until
        self._progress = progress

    def advance(self, size: int) -> None:
        """Count processed bytes."""
        if time.monotonic() >= self._until:
            raise SiveraError(OUT_OF_TIME)
        self._done += size
        self._progress(min(self._done / self._size, 0.99))


@contextmanager
def open_session(url: URL, until: float) -> Iterator[Session]:
    """Yield a session whose statements end by a deadline; ConfigurationError if the database does not answer."""
    with engine_on(url, statement_seconds=max(int(until - time.monotonic()), 0) + 1) as engine:
        check(engine)
        with Session(engine) as session:
            yield session


def read_table(
    session: Session, name: str, columns: Sequence[str], pace: Pace, write: Callable[[bytes], object] = lambda _: None
) -> TableCopy:
    """Pass a table's text to `write`, and return a description of it."""
    digest, size = sha256(), 0

    def take(piece: bytes) -> None:
        nonlocal size
        digest.update(piece)
        size += len(piece)
        write(piece)
        pace.advance(len(piece))

    rows = queries.copy_out(session, name, columns, take)
    return TableCopy(name=name, columns=tuple(columns), rows=rows, size=size, sha256=digest.hexdigest())
