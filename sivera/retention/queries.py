"""Questions about what has expired, and the proof of what went.

The statements are written out, since their shape is what they are about: docs/decisions/0018 says what was measured.
Times are the database's own.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import CursorResult, TextClause, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.models import CleanupRun
from sivera.retention.options import Kind
from sivera.retention.rules import Freshness
from sivera.retention.tables import TABLES


class Key(NamedTuple):
    """Where a row stands in the order in which rows go; `id` is what tells rows of one time apart."""

    time: datetime
    id: object

    def __str__(self) -> str:
        return f"{self.time.isoformat()} {self.id}"


START = Key(datetime.min.replace(tzinfo=UTC), None)
"""Before every row."""


class Window(NamedTuple):
    """The next expired rows, in so many chunks of them that lie together in the table."""

    first: Key
    last: Key
    chunks: int


_BOUND = text("SELECT set_config('statement_timeout', :milliseconds, true)")  # as SET LOCAL, which takes no parameters

# The planner goes by statistics of before the dead rows went, and then sorts whole tables for each batch: it is to go
# by the indexes, whatever it thinks of them. A lost batch is deleted again, so nobody waits for the disk.
_PREPARE = text("""
    SELECT set_config('statement_timeout', :milliseconds, true), set_config('lock_timeout', :lock_milliseconds, true),
           set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true), set_config('synchronous_commit', 'off', true)
""")

_MAKE_WINDOW = text("CREATE TEMPORARY TABLE IF NOT EXISTS cleanup_window (number bigint, places tid[])")
_EMPTY_WINDOW = text("TRUNCATE cleanup_window")

_FILL_WINDOW = """
    WITH next AS MATERIALIZED (
        SELECT ctid AS place, {time} AS time, {key} AS id FROM {table} AS old
        WHERE ({time}, {key}) > (:time, CAST(:id AS {key_type})) AND {time} < :cutoff AND {due}
        ORDER BY {time}, {key}
        LIMIT :size
    ), chunks AS (
        INSERT INTO cleanup_window (number, places)
        SELECT (rank + :chunk_size - 1) / :chunk_size, array_agg(place)
        FROM (SELECT row_number() OVER (ORDER BY place) AS rank, place FROM next) AS ranked
        GROUP BY 1
        RETURNING 1
    )
    SELECT first.time AS first_time, first.id AS first_id, last.time AS last_time, last.id AS last_id,
           (SELECT count(*) FROM chunks) AS chunks
    FROM (SELECT time, id FROM next ORDER BY time, id LIMIT 1) AS first,
         (SELECT time, id FROM next ORDER BY time DESC, id DESC LIMIT 1) AS last
"""

# A place may have been given to another row since: one that is due is deleted as well, and no other is.
_EXPIRED_AT = """
    old.ctid = ANY(ARRAY(SELECT unnest(places) FROM cleanup_window WHERE number > :after AND number <= :upto))
    AND old.{time} < :cutoff AND {due}
"""

_DELETE = f"DELETE FROM {{table}} AS old WHERE {_EXPIRED_AT}"  # noqa: S608 - the names are ours

_DELETE_FREE = f"""
    DELETE FROM {{table}} WHERE {{time}} < :cutoff AND ctid = ANY(ARRAY(
        SELECT ctid FROM {{table}} AS old WHERE {_EXPIRED_AT} AND {{free}} FOR UPDATE OF old SKIP LOCKED
    ))
"""  # noqa: S608 - the names are ours

_FOLD = "WITH gone AS ({delete} RETURNING *), folded AS ({fold}) SELECT count(*) FROM gone"

_COUNT_AT = f"SELECT count(*) FROM {{table}} AS old WHERE {_EXPIRED_AT} AND {{free}}"  # noqa: S608 - the names are ours

_COUNT = """
    SELECT count(*) FROM {table} AS old
    WHERE ({time}, {key}) > (:time, CAST(:id AS {key_type})) AND {time} < :cutoff AND {due} AND {free}
"""

# Both from the end of an index: EXISTS would read the dead rows from the start of the table until it meets a live one.
# What is open stays as well.
_FRESHNESS = """
    SELECT (SELECT {written} FROM {table} WHERE {time} IS NOT NULL ORDER BY {newest} DESC LIMIT 1) AS written_at,
           coalesce((SELECT max({time}) FROM {table}) >= :cutoff, false)
        OR EXISTS (SELECT FROM {table} WHERE {time} IS NULL) AS keeps_any
"""


def _for_each_kind(statement: str, *, deletes: bool = False) -> dict[Kind, TextClause]:
    found = {}
    for kind, table in TABLES.items():
        of_kind = statement.format(table=kind.value, **asdict(table))
        if deletes and table.fold:
            of_kind = _FOLD.format(delete=of_kind, fold=table.fold)
        found[kind] = text(of_kind)
    return found


_FILL_WINDOW_OF, _COUNT_AT_OF, _COUNT_OF, _FRESHNESS_OF = (
    _for_each_kind(statement) for statement in (_FILL_WINDOW, _COUNT_AT, _COUNT, _FRESHNESS)
)
_DELETE_OF, _DELETE_FREE_OF = (_for_each_kind(statement, deletes=True) for statement in (_DELETE, _DELETE_FREE))


def bound(session: Session, seconds: float) -> None:
    """Let each further statement of the transaction take so many seconds at most."""
    session.execute(_BOUND, {"milliseconds": _milliseconds(seconds)})


def prepare(session: Session, seconds: float, lock_seconds: float = 0.0) -> None:
    """Prepare a transaction for reading or deleting in key order.

    Args:
        session: Its session.
        seconds: What each statement may take at most.
        lock_seconds: What it may wait for a lock at most; 0: as long as the statement may take.
    """
    values = {"milliseconds": _milliseconds(seconds), "lock_milliseconds": _milliseconds(lock_seconds)}
    session.execute(_PREPARE, values)


def read_clock(session: Session) -> tuple[datetime, datetime | None]:
    """Return the database's time, and when the last run was that was not refused."""
    last_run = select(func.max(CleanupRun.started_at)).where(CleanupRun.refused.is_(None)).scalar_subquery()
    now, last = session.execute(select(func.clock_timestamp(), last_run)).one()
    return now, last


def read_freshness(session: Session, kind: Kind, cutoff: datetime) -> Freshness:
    """Return when the newest row was written, and whether a cutoff leaves any."""
    row = session.execute(_FRESHNESS_OF[kind], {"cutoff": cutoff}).one()
    return Freshness(written_at=row.written_at, keeps_any=row.keeps_any)


def count_due(
    session: Session, kind: Kind, cutoff: datetime, after: Key = START, children_from: datetime | None = None
) -> int:
    """Count the rows that are due after a key.

    Args:
        session: In whose transaction.
        kind: Of which kind.
        cutoff: Rows of before it are due.
        after: Only rows after this key.
        children_from: Children of before this time do not hold their parent; None: all do.
    """
    parameters = {"cutoff": cutoff, "time": after.time, "id": after.id}
    count: int = session.scalars(_COUNT_OF[kind], parameters | _children(kind, children_from)).one()
    return count


def read_window(
    session: Session, kind: Kind, cutoff: datetime, after: Key, *, size: int, chunk_size: int
) -> Window | None:
    """Read the next expired rows after a key, `size` at most; None where there is none.

    Their places stay in a temporary table of the session's connection, until the next window is read.
    """
    session.execute(_MAKE_WINDOW)
    session.execute(_EMPTY_WINDOW)
    parameters = {"cutoff": cutoff, "time": after.time, "id": after.id, "size": size, "chunk_size": chunk_size}
    row = session.execute(_FILL_WINDOW_OF[kind], parameters).one_or_none()
    if row is None:
        return None
    return Window(Key(row.first_time, row.first_id), Key(row.last_time, row.last_id), row.chunks)


def delete_batch(session: Session, kind: Kind, cutoff: datetime, after: int, upto: int) -> int:
    """Delete what has expired of the chunks after the one until the other, and return how many rows that were.

    Waits for rows that somebody has locked, and fails at one that a child holds.
    """
    return _rowcount(session, _DELETE_OF[kind], {"cutoff": cutoff, "after": after, "upto": upto})


def delete_free(session: Session, kind: Kind, cutoff: datetime, after: int, upto: int) -> tuple[int, int]:
    """Delete like `delete_batch`, but pass over what a child holds or somebody has locked.

    Returns how many rows went, and how many were locked.
    """
    parameters = {"cutoff": cutoff, "after": after, "upto": upto} | _children(kind, None)
    deleted = _rowcount(session, _DELETE_FREE_OF[kind], parameters)
    return deleted, session.scalars(_COUNT_AT_OF[kind], parameters).one()


def begin_proof(
    session: Session, run_id: UUID, kind: Kind, cutoff: datetime, *, dry_run: bool, refused: str | None
) -> None:
    """Write that a run turns to a kind, or why it does not; a second time for the run goes on with the same row."""
    row = {"cutoff": cutoff, "dry_run": dry_run, "refused": refused, "remaining": None}
    session.execute(
        insert(CleanupRun)
        .values(run_id=run_id, kind=kind.value, **row)
        .on_conflict_do_update(index_elements=["run_id", "kind"], set_=row)
    )


def prove_batch(session: Session, run_id: UUID, kind: Kind, window: Window, *, deleted: int, duration_ms: int) -> None:
    """Write down what went of a window, in the transaction in which it goes."""
    session.execute(
        update(CleanupRun)
        .where(CleanupRun.run_id == run_id, CleanupRun.kind == kind.value)
        .values(
            deleted=CleanupRun.deleted + deleted,
            first_key=func.coalesce(CleanupRun.first_key, str(window.first)),
            last_key=str(window.last),
            duration_ms=duration_ms,
        )
    )


def end_proof(session: Session, run_id: UUID, kind: Kind, *, remaining: int | None, duration_ms: int) -> None:
    """Write down how a run left a kind."""
    session.execute(
        update(CleanupRun)
        .where(CleanupRun.run_id == run_id, CleanupRun.kind == kind.value)
        .values(remaining=remaining, duration_ms=duration_ms)
    )


def _milliseconds(seconds: float) -> str:
    return str(max(0, round(seconds * 1000)))


def _rowcount(session: Session, statement: TextClause, parameters: Mapping[str, object]) -> int:
    result = session.execute(statement, parameters)
    assert isinstance(result, CursorResult)  # noqa: S101 - tells the type checker what a statement gives
    # One that folds has deleted in a part of it, and says itself how many.
    return result.scalar_one() if result.returns_rows else result.rowcount


def _children(kind: Kind, since: datetime | None) -> dict[str, datetime]:
    return {"children_from": since or START.time} if kind is Kind.SESSIONS else {}
