"""The cleanup's SQL. To add a kind: a row in TABLES, an option, and an index. All times are the database's."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.models import CleanupRun
from sivera.retention.options import Kind
from sivera.retention.rules import CleanupPlan

EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class CleanedTable:
    """SQL for one table, in which a row is called `old`.

    A row is deleted if `time` is before the cutoff and `due` holds; it is still open if `time` is null. The row with
    the greatest `newest` was written last, and cannot have expired before `alive_until`. `fold` runs in the same
    statement and saves what must be kept of the rows that are `gone`.
    """

    time: str
    alive_until: str
    newest: str = "id"
    due: str = "TRUE"
    fold: str = ""


NO_RUN = UUID(int=0)
"""The `run_id` of the rows in `platform_calls` that hold the sums of deleted rows."""

TABLES = {
    Kind.ALERTS: CleanedTable("closed_at", alive_until="opened_at"),
    Kind.PLATFORM_OUTAGES: CleanedTable("ended_at", alive_until="began_at"),
    Kind.CLEANUP_RUNS: CleanedTable("started_at", alive_until="started_at", newest="started_at"),
    Kind.SYNC_RUNS: CleanedTable("started_at", alive_until="finished_at", newest="started_at"),
    # Prometheus counters are sums over this table and must not decrease, so deleted rows are added to NO_RUN.
    Kind.PLATFORM_CALLS: CleanedTable(
        "at",
        alive_until="at",
        newest="at",
        due=f"old.run_id <> '{NO_RUN}'",
        fold=f""", folded AS (
            INSERT INTO platform_calls AS kept (run_id, platform, at, api, login, throttled)
            SELECT CAST('{NO_RUN}' AS uuid), platform, max(at), sum(api), sum(login), sum(throttled)
            FROM gone GROUP BY platform
            ON CONFLICT (run_id, platform) DO UPDATE
            SET at = excluded.at, api = kept.api + excluded.api, login = kept.login + excluded.login,
                throttled = kept.throttled + excluded.throttled)""",  # noqa: S608 - a constant
    ),
    Kind.REPORTS: CleanedTable("written_at", alive_until="written_at", newest="written_at"),
    # RFC 6749, section 4.1.2: the code that follows a login should expire within ten minutes.
    Kind.OAUTH_STATES: CleanedTable("expires_at", alive_until="created_at + interval '5 minutes'"),
    # OWASP advises 15 to 30 minutes for idle sessions. A state's foreign key protects its session.
    Kind.SESSIONS: CleanedTable(
        "expires_at",
        alive_until="created_at + interval '15 minutes'",
        due="""NOT EXISTS (SELECT FROM oauth_states AS child
                           WHERE child.session_id = old.id AND child.expires_at >= :children_from)""",
    ),
    # If it is in doubt whether a grant's current tokens are still good, its next renewal needs the row.
    Kind.TOKEN_REFRESH_LOGS: CleanedTable(
        "started_at",
        alive_until="started_at",
        due="""(old.outcome <> 'in_doubt' OR NOT EXISTS (
                    SELECT FROM platform_credentials AS used
                    WHERE used.id = old.credential_id AND used.generation = old.generation))""",
    ),
}

# SET LOCAL accepts no parameters. The planner must use the indexes: with statistics from before the deletions it would
# sort the whole table for each batch. A commit need not wait for the disk: what a crash undoes is deleted again.
_PREPARE = text("""
    SELECT set_config('statement_timeout', :milliseconds, true), set_config('synchronous_commit', 'off', true),
           set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true)
""")

# By ctid, because the keys differ from table to table. It cannot change while the row is locked.
_DELETE = """
    WITH gone AS (
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} AS old WHERE {time} >= :after AND {time} < :cutoff AND {due}
            ORDER BY {time} LIMIT :size FOR UPDATE OF old SKIP LOCKED))
        RETURNING *
    ){fold}
    SELECT count(*), max({time}) FROM gone
"""

_COUNT = "SELECT count(*) FROM {table} AS old WHERE {time} < :cutoff AND {due}"

_WOULD_EMPTY = """
    SELECT NOT EXISTS (SELECT FROM {table} WHERE {time} >= :cutoff)
       AND NOT EXISTS (SELECT FROM {table} WHERE {time} IS NULL)
       AND coalesce((SELECT {alive_until} > :cutoff FROM {table} ORDER BY {newest} DESC LIMIT 1), false)
"""


def _for(kind: Kind, statement: str) -> TextClause:
    return text(statement.format(table=kind.value, **asdict(TABLES[kind])))


def prepare(session: Session, seconds: float) -> None:
    """Prepare the transaction for the cleanup's statements, and limit the time of each."""
    session.execute(_PREPARE, {"milliseconds": str(round(seconds * 1000))})


def last_run(session: Session) -> datetime | None:
    """Return when the last run that was not refused started."""
    return session.scalar(select(func.max(CleanupRun.started_at)).where(CleanupRun.refused.is_(None)))


def would_empty(session: Session, kind: Kind, cutoff: datetime) -> bool:
    """Return whether every row of a kind would be deleted, although the newest cannot have expired yet."""
    return bool(session.scalar(_for(kind, _WOULD_EMPTY), {"cutoff": cutoff}))


def delete_batch(
    session: Session, kind: Kind, cutoff: datetime, after: datetime, size: int
) -> tuple[int, datetime | None]:
    """Delete up to `size` expired rows from `after` on, skipping locked ones; return how many, and the newest time."""
    values = {"cutoff": cutoff, "after": after, "size": size, "children_from": EVER}
    deleted, newest = session.execute(_for(kind, _DELETE), values).one()
    return deleted, newest


def count_due(session: Session, kind: Kind, cutoff: datetime, children_from: datetime) -> int:
    """Count the rows that are due. A session is not due if one of its states expires at `children_from` or later."""
    count: int = session.scalars(_for(kind, _COUNT), {"cutoff": cutoff, "children_from": children_from}).one()
    return count


def record(
    session: Session,
    run_id: UUID,
    plan: CleanupPlan,
    kind: Kind,
    *,
    deleted: int = 0,
    remaining: int | None = None,
    refused: str | None = None,
) -> None:
    """Record what a run did with a kind; `deleted` is added to what it has recorded before."""
    row = {"cutoff": plan.cutoffs[kind], "dry_run": plan.dry_run, "remaining": remaining, "refused": refused}
    statement = insert(CleanupRun).values(run_id=run_id, kind=kind.value, deleted=deleted, **row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id", "kind"], set_={"deleted": CleanupRun.deleted + deleted, **row}
        )
    )


def last_deletions(session: Session, most: int) -> Sequence[Row[tuple[Any, datetime, str, int]]]:
    """Return run, start, kind and deleted rows of the last records, oldest first, without those of dry runs."""
    columns = (CleanupRun.run_id, CleanupRun.started_at, CleanupRun.kind, CleanupRun.deleted)
    newest = select(*columns).where(~CleanupRun.dry_run).order_by(CleanupRun.started_at.desc()).limit(most)
    return session.execute(newest).all()[::-1]
