"""The cleanup's SQL. All times are the database's own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, TextClause, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.models import CleanupRun
from sivera.retention.options import Kind
from sivera.retention.tables import TABLES

EVER = datetime.min.replace(tzinfo=UTC)


class Batch(NamedTuple):
    """How many rows a batch deleted, and the time of the newest one."""

    deleted: int
    last: datetime | None


# SET LOCAL takes no parameters. The planner must use the indexes: its statistics are from before rows were deleted, and
# it would sort the whole table for each batch. Nobody waits for the disk: what a crash undoes is deleted again.
_PREPARE = text("""
    SELECT set_config('statement_timeout', :milliseconds, true), set_config('synchronous_commit', 'off', true),
           set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true)
""")

# By ctid, which cannot change while the row is locked: keys differ from table to table.
_DELETE = """
    WITH gone AS (
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} AS old WHERE {time} >= :after AND {time} < :cutoff AND {due}
            ORDER BY {time} LIMIT :size FOR UPDATE OF old SKIP LOCKED))
        RETURNING *
    ){also}
    SELECT count(*) AS deleted, max({time}) AS last FROM gone
"""

_COUNT = "SELECT count(*) FROM {table} AS old WHERE {time} < :cutoff AND {due}"

# Both from the end of an index: EXISTS would read all expired rows before it finds a live one.
_FRESHNESS = """
    SELECT (SELECT {written} FROM {table} WHERE {time} IS NOT NULL ORDER BY {newest} DESC LIMIT 1) AS written_at,
           coalesce((SELECT max({time}) FROM {table}) >= :cutoff, false)
        OR EXISTS (SELECT FROM {table} WHERE {time} IS NULL) AS keeps_any
"""


def _for_each_kind(statement: str) -> dict[Kind, TextClause]:
    return {
        kind: text(
            statement.format(
                table=kind.value, also=f", folded AS ({table.fold})" if table.fold else "", **asdict(table)
            )
        )
        for kind, table in TABLES.items()
    }


_DELETE_OF, _COUNT_OF, _FRESHNESS_OF = map(_for_each_kind, (_DELETE, _COUNT, _FRESHNESS))


def prepare(session: Session, seconds: float) -> None:
    """Prepare the transaction for the cleanup's statements, each of which may take this many seconds."""
    session.execute(_PREPARE, {"milliseconds": str(round(seconds * 1000))})


def last_run(session: Session) -> datetime | None:
    """Return when the last run started that was not refused."""
    return session.scalar(select(func.max(CleanupRun.started_at)).where(CleanupRun.refused.is_(None)))


def read_freshness(session: Session, kind: Kind, cutoff: datetime) -> tuple[datetime | None, bool]:
    """Return when the newest row of a kind was written, and whether any row stays."""
    row = session.execute(_FRESHNESS_OF[kind], {"cutoff": cutoff}).one()
    return row.written_at, row.keeps_any


def delete_batch(session: Session, kind: Kind, cutoff: datetime, after: datetime, size: int) -> Batch:
    """Delete the oldest expired rows of `after` or later, `size` at most; skip those that somebody has locked."""
    row = session.execute(
        _DELETE_OF[kind], {"cutoff": cutoff, "after": after, "size": size, **_children(kind, EVER)}
    ).one()
    return Batch(row.deleted, row.last)


def count_due(session: Session, kind: Kind, cutoff: datetime, children_from: datetime = EVER) -> int:
    """Count the rows that are due; only a child that expires at `children_from` or later protects its parent."""
    count: int = session.scalars(_COUNT_OF[kind], {"cutoff": cutoff, **_children(kind, children_from)}).one()
    return count


def record(
    session: Session,
    run_id: UUID,
    kind: Kind,
    cutoff: datetime,
    *,
    dry_run: bool,
    deleted: int = 0,
    remaining: int | None = None,
    refused: str | None = None,
) -> None:
    """Record what a run did with a kind; `deleted` is added to what the run has recorded before."""
    row = {"cutoff": cutoff, "dry_run": dry_run, "remaining": remaining, "refused": refused}
    statement = insert(CleanupRun).values(run_id=run_id, kind=kind.value, deleted=deleted, **row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id", "kind"], set_={"deleted": CleanupRun.deleted + deleted, **row}
        )
    )


def recent_runs(session: Session, limit: int) -> Sequence[Row[tuple[Any, datetime, str, int]]]:
    """Return run, start, kind and deleted rows of the last runs that were no dry runs, the oldest first."""
    begun = func.min(CleanupRun.started_at)
    runs = (
        select(CleanupRun.run_id, begun.label("begun"))
        .where(~CleanupRun.dry_run)
        .group_by(CleanupRun.run_id)
        .order_by(begun.desc())
        .limit(limit)
        .subquery()
    )
    return session.execute(
        select(CleanupRun.run_id, runs.c.begun, CleanupRun.kind, CleanupRun.deleted)
        .join(runs, runs.c.run_id == CleanupRun.run_id)
        .order_by(runs.c.begun, CleanupRun.kind)
    ).all()


def _children(kind: Kind, since: datetime) -> Mapping[str, datetime]:
    return {"children_from": since} if kind is Kind.SESSIONS else {}
