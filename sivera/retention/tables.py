"""SQL fragments for each cleaned table. To add a kind: a row here, an option, and an index on its time."""

from dataclasses import dataclass
from uuid import UUID

from sivera.retention.options import Kind


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
