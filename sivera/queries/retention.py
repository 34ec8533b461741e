"""Questions about what has expired, and the proof of what went.

The statements are written out, since their shape is what they are about: docs/decisions/0015 says what was measured.
Times are the database's own.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.models import CleanupRun
from sivera.retention.options import Kind
from sivera.retention.rules import Freshness


class Key(NamedTuple):
    """Where a row stands in the order in which rows go."""

    time: datetime
    id: int

    def __str__(self) -> str:
        return f"{self.time.isoformat()} {self.id}"


START = Key(datetime.min.replace(tzinfo=UTC), 0)
"""Before every row."""


class Batch(NamedTuple):
    """How many expired rows a batch read, how many of them nothing holds back, and how many of those went.

    The rest is locked by somebody, or has changed. `first` and `last` are of what was read.
    """

    read: int
    due: int
    deleted: int
    first: Key
    last: Key


@dataclass(frozen=True)
class _Table:
    """How rows of a kind are told: the time by which they go, when they were written, and what holds one back."""

    time: str
    written: str
    free: str = "TRUE"


_TABLES = {
    Kind.OAUTH_STATES: _Table(time="expires_at", written="created_at"),
    Kind.SESSIONS: _Table(
        time="expires_at",
        written="created_at",
        free="""NOT EXISTS (SELECT FROM oauth_states AS child
                            WHERE child.session_id = old.id AND child.expires_at >= :children_from)""",
    ),
    Kind.TOKEN_REFRESH_LOGS: _Table(time="started_at", written="started_at"),
}

_BOUND = text("SELECT set_config('statement_timeout', :milliseconds, true)")

# A lost batch is deleted again, so nobody waits for the disk. The planner goes by statistics of before the dead rows
# went, and then sorts whole tables for each batch: it is to go by the indexes, whatever it thinks of them.
_PREPARE = text("""
    SET LOCAL synchronous_commit = off;
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off
""")

# Rows that somebody has locked are passed over. By their place (ctid) the rows of a batch are found page after page;
# one that was changed meanwhile has another place, and stays. What holds a row back is looked up for the rows of the
# batch alone: as a condition on the table it hides from the planner that the index has the rows in order.
_DELETE = """
    WITH next AS MATERIALIZED (
        SELECT ctid AS place, {time} AS time, id FROM {table}
        WHERE ({time}, id) > (:time, :id) AND {time} < :cutoff
        ORDER BY {time}, id
        LIMIT :size
    ), due AS MATERIALIZED (
        SELECT place FROM next AS old WHERE {free}
    ), gone AS (
        DELETE FROM {table}
        WHERE {time} < :cutoff AND ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE ctid = ANY(ARRAY(SELECT place FROM due)) FOR UPDATE SKIP LOCKED
        ))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM next) AS read, (SELECT count(*) FROM due) AS due,
           (SELECT count(*) FROM gone) AS deleted,
           first.time AS first_time, first.id AS first_id, last.time AS last_time, last.id AS last_id
    FROM (SELECT time, id FROM next ORDER BY time, id LIMIT 1) AS first,
         (SELECT time, id FROM next ORDER BY time DESC, id DESC LIMIT 1) AS last
"""

_COUNT = """
    SELECT count(*) FROM {table} AS old
    WHERE ({time}, id) > (:time, :id) AND {time} < :cutoff AND {free}
"""

_FRESHNESS = """
    SELECT (SELECT {written} FROM {table} ORDER BY id DESC LIMIT 1) AS written_at,
           EXISTS (SELECT FROM {table} WHERE {time} >= :cutoff) AS keeps_any
"""


def _for_each_kind(statement: str) -> dict[Kind, TextClause]:
    return {
        kind: text(statement.format(table=kind.value, time=of.time, written=of.written, free=of.free))
        for kind, of in _TABLES.items()
    }


_DELETE_OF, _COUNT_OF, _FRESHNESS_OF = (_for_each_kind(statement) for statement in (_DELETE, _COUNT, _FRESHNESS))


def bound(session: Session, seconds: float) -> None:
    """Let each further statement of the transaction take so many seconds at most."""
    session.execute(_BOUND, {"milliseconds": str(max(1, round(seconds * 1000)))})


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


def delete_batch(session: Session, kind: Kind, cutoff: datetime, after: Key, size: int) -> Batch | None:
    """Delete what is due of the next expired rows after a key, `size` at most; None where there is none.

    Parents of remaining children and rows that somebody has locked stay.
    """
    session.execute(_PREPARE)
    parameters = {"cutoff": cutoff, "time": after.time, "id": after.id, "size": size}
    row = session.execute(_DELETE_OF[kind], parameters | _children(kind, None)).one_or_none()
    if row is None:
        return None
    first, last = Key(row.first_time, row.first_id), Key(row.last_time, row.last_id)
    return Batch(row.read, row.due, row.deleted, first, last)


def begin_proof(session: Session, run_id: UUID, kind: Kind, cutoff: datetime, *, dry_run: bool) -> None:
    """Write that a run turns to a kind; a second time for the same run goes on with the same row."""
    row = {"cutoff": cutoff, "dry_run": dry_run, "refused": None, "remaining": None}
    session.execute(
        insert(CleanupRun)
        .values(run_id=run_id, kind=kind.value, **row)
        .on_conflict_do_update(index_elements=["run_id", "kind"], set_=row)
    )


def prove_batch(session: Session, run_id: UUID, kind: Kind, batch: Batch, duration_ms: int) -> None:
    """Write down what went, in the transaction in which it goes."""
    session.execute(
        update(CleanupRun)
        .where(CleanupRun.run_id == run_id, CleanupRun.kind == kind.value)
        .values(
            deleted=CleanupRun.deleted + batch.deleted,
            first_key=func.coalesce(CleanupRun.first_key, str(batch.first)),
            last_key=str(batch.last),
            duration_ms=duration_ms,
        )
    )


def end_proof(
    session: Session, run_id: UUID, kind: Kind, *, remaining: int | None, duration_ms: int, refused: str | None
) -> None:
    """Write down how a run left a kind."""
    session.execute(
        update(CleanupRun)
        .where(CleanupRun.run_id == run_id, CleanupRun.kind == kind.value)
        .values(remaining=remaining, duration_ms=duration_ms, refused=refused)
    )


def _children(kind: Kind, since: datetime | None) -> dict[str, datetime]:
    return {"children_from": since or START.time} if kind is Kind.SESSIONS else {}
