"""What the cleanup knows of each table. To add a kind: a row here, an option, and an index on its time."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sivera.retention.options import Kind


@dataclass(frozen=True)
class CleanedTable:
    """Parts of the SQL for one table, where a row is called `old`.

    A row is deleted when `time` lies before the cutoff and `due` holds. Where `time` is null, the row is still open.
    The row with the greatest `newest` was written last, at `written`; no row expires sooner than `shortest_life` after
    that. `fold` runs in the same statement and keeps what must stay of the rows that are `gone`.
    """

    time: str
    written: str
    newest: str = "id"
    shortest_life: timedelta = timedelta(0)
    due: str = "TRUE"
    fold: str | None = None


NO_RUN = UUID(int=0)
"""The `run_id` of the rows in `platform_calls` that hold the sums of deleted rows."""

TABLES = {
    Kind.ALERTS: CleanedTable(time="closed_at", written="opened_at"),
    Kind.PLATFORM_OUTAGES: CleanedTable(time="ended_at", written="began_at"),
    Kind.CLEANUP_RUNS: CleanedTable(time="started_at", written="started_at", newest="started_at"),
    Kind.SYNC_RUNS: CleanedTable(time="started_at", written="finished_at", newest="started_at"),
    # Prometheus counters are sums over this table and must not go back, so deleted rows are added to one of no run.
    Kind.PLATFORM_CALLS: CleanedTable(
        time="at",
        written="at",
        newest="at",
        due=f"old.run_id <> '{NO_RUN}'",
        fold=f"""
            INSERT INTO platform_calls AS kept (run_id, platform, at, api, login, throttled)
            SELECT CAST('{NO_RUN}' AS uuid), platform, max(at), sum(api), sum(login), sum(throttled)
            FROM gone GROUP BY platform
            ON CONFLICT (run_id, platform) DO UPDATE
            SET at = excluded.at, api = kept.api + excluded.api, login = kept.login + excluded.login,
                throttled = kept.throttled + excluded.throttled""",  # noqa: S608 - a constant
    ),
    Kind.REPORTS: CleanedTable(time="written_at", written="written_at", newest="written_at"),
    # RFC 6749 lets the code that follows a login live for ten minutes at most.
    Kind.OAUTH_STATES: CleanedTable(time="expires_at", written="created_at", shortest_life=timedelta(minutes=5)),
    # OWASP advises 15 to 30 minutes for idle sessions. The foreign key protects a session with a state.
    Kind.SESSIONS: CleanedTable(
        time="expires_at",
        written="created_at",
        shortest_life=timedelta(minutes=15),
        due="""NOT EXISTS (SELECT FROM oauth_states AS child
                           WHERE child.session_id = old.id AND child.expires_at >= :children_from)""",
    ),
    # A doubt about the tokens that a grant still has decides how its next renewal may proceed.
    Kind.TOKEN_REFRESH_LOGS: CleanedTable(
        time="started_at",
        written="started_at",
        due="""(old.outcome <> 'in_doubt' OR NOT EXISTS (
                    SELECT FROM platform_credentials AS used
                    WHERE used.id = old.credential_id AND used.generation = old.generation))""",
    ),
}
