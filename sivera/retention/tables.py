"""How the rows of each kind of the cleanup are told: a kind more is a row here, an option, and an index on its time."""

from dataclasses import dataclass
from uuid import UUID

from sivera.retention.options import Kind


@dataclass(frozen=True)
class CleanedTable:
    """What the statements of the cleanup say of a table, in SQL; its row is `old`.

    `time` is by what a row goes; where it is null, the row is open and never does. `key` tells rows of one time apart.
    The row that was written last is that with the greatest `newest`, and was `written` then.

    `due` is what else must hold for a row to go, and `free` what the foreign key of a child sees to by itself.
    `fold` keeps what has to stay of the rows that are `gone`, in the statement that deletes them.
    """

    time: str
    written: str
    key: str = "id"
    key_type: str = "bigint"
    newest: str = "id"
    due: str = "TRUE"
    free: str = "TRUE"
    fold: str | None = None


NO_RUN = UUID(int=0)
"""The run of the rows of `platform_calls` that hold what runs have called whose rows are gone."""

TABLES = {
    Kind.ALERTS: CleanedTable(time="closed_at", written="opened_at"),
    Kind.BUDGET_ALERTS: CleanedTable(time="closed_at", written="opened_at"),
    Kind.PLATFORM_OUTAGES: CleanedTable(time="ended_at", written="began_at"),
    Kind.BACKUPS: CleanedTable(
        time="started_at",
        written="started_at",
        due="old.outcome <> 'running' AND (old.path IS NULL OR old.deleted_at IS NOT NULL)",
    ),
    Kind.CLEANUP_RUNS: CleanedTable(
        time="started_at", written="started_at", key="run_id || kind", key_type="text", newest="started_at"
    ),
    Kind.SYNC_RUNS: CleanedTable(time="started_at", written="finished_at", key_type="uuid", newest="started_at"),
    # The counters of Prometheus are sums over this table and must not go back: what goes is added to a row of no run.
    Kind.PLATFORM_CALLS: CleanedTable(
        time="at",
        written="at",
        key="run_id || platform",
        key_type="text",
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
    Kind.OUTBOX_EVENTS: CleanedTable(time="published_at", written="created_at", key_type="uuid", newest="published_at"),
    Kind.REPORTS: CleanedTable(
        time="created_at",
        written="created_at",
        key="concat_ws(' ', team_id, day, version)",
        key_type="text",
        newest="created_at",
    ),
    # Of one that is open nobody knows yet what became of it.
    Kind.JOB_OCCURRENCES: CleanedTable(
        time="scheduled_at",
        written="updated_at",
        key="deployment",
        key_type="text",
        newest="scheduled_at",
        due="(old.ended_at IS NOT NULL OR old.outcome = 'missed')",
    ),
    Kind.OAUTH_STATES: CleanedTable(time="expires_at", written="created_at"),
    Kind.SESSIONS: CleanedTable(
        time="expires_at",
        written="created_at",
        free="""NOT EXISTS (SELECT FROM oauth_states AS child
                            WHERE child.session_id = old.id AND child.expires_at >= :children_from)""",
    ),
    # A doubt about the tokens that a grant still has decides what the next renewal may do.
    Kind.TOKEN_REFRESH_LOGS: CleanedTable(
        time="started_at",
        written="started_at",
        due="""(old.outcome <> 'in_doubt' OR NOT EXISTS (
                    SELECT FROM platform_credentials AS used
                    WHERE used.id = old.credential_id AND used.generation = old.generation))""",
    ),
}
