"""A database with rows that the cleanup deletes, and rows that it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from sivera.retention.options import Kind
from tests.unit.tables import Tables

NAMES = "md5(random()::text) || md5(random()::text)"

OVER = {
    Kind.ALERTS: """
        INSERT INTO alerts (kind, subject, title, message, since, link, opened_at, closed_at)
        SELECT 'data-stale', gen_random_uuid(), 'old', 'old', at, '', at, at FROM times""",
    Kind.PLATFORM_OUTAGES: """
        INSERT INTO platform_outages (platform, began_at, ended_at) SELECT 'meta', at, at FROM times""",
    # Refused runs: a cleanup compares the clock with the last run that was not refused.
    Kind.CLEANUP_RUNS: """
        INSERT INTO cleanup_runs (run_id, kind, cutoff, dry_run, started_at, refused)
        SELECT gen_random_uuid(), 'sessions', at, false, at, 'refused' FROM times""",
    Kind.SYNC_RUNS: """
        INSERT INTO sync_runs (id, mode, started_at, finished_at, summary)
        SELECT gen_random_uuid(), 'incremental', at, at, '{}' FROM times""",
    Kind.PLATFORM_CALLS: """
        INSERT INTO platform_calls (run_id, platform, at, api, login, throttled, used_percent)
        SELECT gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'meta' ELSE 'google' END, at, n, 2, 1, 50 FROM times""",
    Kind.REPORTS: """
        INSERT INTO reports (team_id, day, digest, missing, written_at)
        SELECT (SELECT max(id) FROM teams), date '1900-01-01' + n::int + (SELECT count(*)::int FROM reports), '', 0, at
        FROM times""",
    Kind.OAUTH_STATES: f"""
        INSERT INTO oauth_states (state_hash, platform, created_at, expires_at)
        SELECT {NAMES}, 'meta', at - interval '10 minutes', at FROM times""",  # noqa: S608
    Kind.SESSIONS: f"""
        INSERT INTO sessions (token_hash, created_at, expires_at)
        SELECT {NAMES}, at - interval '1 day', at FROM times""",  # noqa: S608
    Kind.TOKEN_REFRESH_LOGS: """
        INSERT INTO token_refresh_logs
               (credential_id, platform, generation, token_fingerprint, owner, deadline, started_at, outcome)
        SELECT (SELECT max(id) FROM platform_credentials), 'google', n, 'f', 'o', at, at, 'renewed' FROM times""",
}
"""Adds rows of each kind, with the times and numbers in `times`."""

OPEN = {
    Kind.ALERTS: "UPDATE alerts SET closed_at = NULL",
    Kind.PLATFORM_OUTAGES: "UPDATE platform_outages SET ended_at = NULL",
    Kind.TOKEN_REFRESH_LOGS: "UPDATE token_refresh_logs SET outcome = 'in_doubt', generation = 0",
}
"""Makes rows that must stay however old they are."""


@dataclass
class CleanupTables(Tables):
    """Adds rows to a database with a grant, whose access token has expired, and reads which rows are left."""

    def __post_init__(self) -> None:
        self.execute(
            """INSERT INTO platform_credentials (team_id, platform, name, access_token, refresh_token, expires_at)
               VALUES (:team, 'google', 'Main', '\\x01', '\\x02', now() - interval '90 days')""",
            team=self.team(),
        )

    def add(self, kind: Kind, count: int, ago: str, *, is_open: bool = False) -> set[str]:
        """Add rows that are this old (an SQL interval), each a second older than the last; return their places."""
        before = self.places(kind)
        times = """WITH times AS (SELECT n, now() - CAST(:ago AS interval) - n * interval '1 second' AS at
                                  FROM generate_series(1, :count) AS n)"""
        self.execute(f"{times} {OVER[kind]}", ago=ago, count=count)
        if is_open:
            self.execute(f"{OPEN[kind]} WHERE ctid::text <> ALL(:before)", before=list(before))
        return self.places(kind) - before

    def places(self, kind: Kind) -> set[str]:
        """Return the places of the rows in the table. An update moves a row."""
        return {row[0] for row in self.rows(f"SELECT ctid::text FROM {kind.value}")}  # noqa: S608

    def add_ids(self, kind: Kind, count: int, ago: str) -> list[int]:
        """Add rows that are this old; return their ids."""
        before = self.ids(kind)
        self.add(kind, count, ago)
        return [id_ for id_ in self.ids(kind) if id_ not in before]

    def add_states(self, count: int, ago: str, session_id: int) -> None:
        """Add OAuth states of a session."""
        ids = self.add_ids(Kind.OAUTH_STATES, count, ago)
        self.execute("UPDATE oauth_states SET session_id = :id WHERE id = ANY(:ids)", id=session_id, ids=ids)

    def fill(self) -> dict[str, list[int]]:
        """Add 6 expired states, 5 sessions and 4 logs, and some that have not expired; return the ids of those."""
        alive = self.add_ids(Kind.SESSIONS, 2, "-1 hour")
        self.add_states(3, "-9 minutes", alive[0])
        self.add(Kind.TOKEN_REFRESH_LOGS, 3, "29 days")
        kept = self.contents()
        dead = self.add_ids(Kind.SESSIONS, 5, "1 hour")
        self.add_states(2, "1 minute", dead[0])
        self.add(Kind.OAUTH_STATES, 4, "2 days")
        self.add(Kind.TOKEN_REFRESH_LOGS, 4, "31 days")
        return kept

    def contents(self) -> dict[str, list[int]]:
        """Return the ids of the large tables' rows."""
        return {kind.value: self.ids(kind) for kind in (Kind.OAUTH_STATES, Kind.SESSIONS, Kind.TOKEN_REFRESH_LOGS)}

    def ids(self, kind: Kind) -> list[int]:
        return [row.id for row in self.rows(f"SELECT id FROM {kind.value} ORDER BY id")]  # noqa: S608

    def records(self) -> Sequence[Row[Any]]:
        """Return the records of the runs, oldest first."""
        return self.rows("SELECT * FROM cleanup_runs ORDER BY started_at")
