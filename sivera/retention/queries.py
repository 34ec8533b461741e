"""The cleanup's SQL; all times are the database's own. To add a kind: a row in TABLES, an option, and an index."""

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

    A row is deleted when `time` lies before the cutoff and `due` holds. If `time` is null, the row is still open. The
    row with the greatest `newest` was written last; it cannot have expired before `alive_until`. `fold` runs in the
    same statement and keeps what must stay of the rows that are `gone`.
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
    # Prometheus counters are sums over this table and must not go back, so deleted rows are added to one of no run.
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
    # RFC 6749 lets the code that follows a login live for ten minutes at most.
    Kind.OAUTH_STATES: CleanedTable("expires_at", alive_until="created_at + interval '5 minutes'"),
    # OWASP advises 15 to 30 minutes for idle sessions. The foreign key protects a session with a state.
    Kind.SESSIONS: CleanedTable(
        "expires_at",
        alive_until="created_at + interval '15 minutes'",
        due="""NOT EXISTS (SELECT FROM oauth_states AS child
                           WHERE child.session_id = old.id AND child.expires_at >= :children_from)""",
    ),
    # A doubt about the tokens that a grant still has decides how its next renewal may proceed.
    Kind.TOKEN_REFRESH_LOGS: CleanedTable(
        "started_at",
        alive_until="started_at",
        due="""(old.outcome <> 'in_doubt' OR NOT EXISTS (
                    SELECT FROM platform_credentials AS used
                    WHERE used.id = old.credential_id AND used.generation = old.generation))""",
    ),
}

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
    ){fold}
    SELECT count(*), max({time}) FROM gone
"""

_COUNT = "SELECT count(*) FROM {table} AS old WHERE {time} < :cutoff AND {due}"

_WOULD_EMPTY = """
    SELECT NOT EXISTS (SELECT FROM {table} WHERE {time} >= :cutoff)
       AND NOT EXISTS (SELECT FROM {table} WHERE {time} IS NULL)
       AND coalesce((SELECT {alive_until} > :cutoff FROM {table} ORDER BY {newest} DESC LIMIT 1), false)
"""


def _of_each_kind(statement: str) -> dict[Kind, TextClause]:
    return {kind: text(statement.format(table=kind.value, **asdict(table))) for kind, table in TABLES.items()}


_DELETE_OF, _COUNT_OF, _WOULD_EMPTY_OF = map(_of_each_kind, (_DELETE, _COUNT, _WOULD_EMPTY))


def prepare(session: Session, seconds: float) -> None:
    """Prepare the transaction for the cleanup's statements, each of which may take this many seconds."""
    session.execute(_PREPARE, {"milliseconds": str(round(seconds * 1000))})


def last_run(session: Session) -> datetime | None:
    """Return when the last run started that was not refused."""
    return session.scalar(select(func.max(CleanupRun.started_at)).where(CleanupRun.refused.is_(None)))


def would_empty(session: Session, kind: Kind, cutoff: datetime) -> bool:
    """Return whether no row of a kind would stay, although the newest cannot have expired yet."""
    return bool(session.scalar(_WOULD_EMPTY_OF[kind], {"cutoff": cutoff}))


def delete_batch(
    session: Session, kind: Kind, cutoff: datetime, after: datetime, size: int
) -> tuple[int, datetime | None]:
    """Delete the oldest expired rows of `after` or later, `size` at most; skip those that somebody has locked.

    Return how many, and the time of the newest one.
    """
    values = {"cutoff": cutoff, "after": after, "size": size, "children_from": EVER}
    deleted, newest = session.execute(_DELETE_OF[kind], values).one()
    return deleted, newest


def count_due(session: Session, kind: Kind, cutoff: datetime, children_from: datetime) -> int:
    """Count the rows that are due; only a child that expires at `children_from` or later protects its parent."""
    count: int = session.scalars(_COUNT_OF[kind], {"cutoff": cutoff, "children_from": children_from}).one()
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
    """Record what a run did with a kind; `deleted` is added to what the run has recorded before."""
    row = {"cutoff": plan.cutoffs[kind], "dry_run": plan.dry_run, "remaining": remaining, "refused": refused}
    statement = insert(CleanupRun).values(run_id=run_id, kind=kind.value, deleted=deleted, **row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id", "kind"], set_={"deleted": CleanupRun.deleted + deleted, **row}
        )
    )


def last_deletions(session: Session, most: int) -> Sequence[Row[tuple[Any, datetime, str, int]]]:
    """Return run, start, kind and deleted rows of the last records that are of no dry run, the oldest first."""
    columns = (CleanupRun.run_id, CleanupRun.started_at, CleanupRun.kind, CleanupRun.deleted)
    newest = select(*columns).where(~CleanupRun.dry_run).order_by(CleanupRun.started_at.desc()).limit(most)
    return session.execute(newest).all()[::-1]
