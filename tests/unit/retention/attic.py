"""A database with rows of every kind, expired and alive, for the tests of the cleanup."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, event, text
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sivera.retention.options import Kind

KINDS = ("oauth_states", "sessions", "token_refresh_logs")
NAMES = "md5(random()::text) || md5(random()::text)"

OPEN_TRANSACTIONS = """
    SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND xact_start IS NOT NULL"""

OVER = {
    Kind.ALERTS: """
        INSERT INTO alerts (kind, subject, title, message, since, link, opened_at, closed_at)
        SELECT 'data-stale', gen_random_uuid(), 'old', 'old', at, '', at, at FROM times""",
    Kind.PLATFORM_OUTAGES: """
        INSERT INTO platform_outages (platform, began_at, ended_at) SELECT 'meta', at, at FROM times""",
    # Of runs that were refused: the next run compares the clock with the others.
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
        SELECT (SELECT max(id) FROM teams), date '1900-01-01' + (extract(epoch FROM at)::bigint % 60000)::int, '', 0, at
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
"""Adds rows of each kind: `times` has the time and the number of each."""

OPEN = {
    Kind.ALERTS: "UPDATE alerts SET closed_at = NULL",
    Kind.PLATFORM_OUTAGES: "UPDATE platform_outages SET ended_at = NULL",
    Kind.TOKEN_REFRESH_LOGS: "UPDATE token_refresh_logs SET outcome = 'in_doubt', generation = 0",
}
"""Makes a row one that must stay however old it is."""


def be_patient(engine: Engine) -> None:
    """Let each statement take its time: on a busy machine the cleanup's own limits are too short."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def unbound(*about: Any) -> tuple[str, Any]:
        statement, parameters = about[2:4]
        if isinstance(parameters, dict) and "milliseconds" in parameters:
            parameters = parameters | {"milliseconds": "0"}
        return statement, parameters


@dataclass(frozen=True)
class Attic:
    """Puts rows into a database, and reads which are left."""

    engine: Engine

    def execute(self, statement: str, **parameters: object) -> None:
        """Change something."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def rows(self, query: str, **parameters: object) -> Sequence[Row[Any]]:
        """Ask the database."""
        with self.engine.connect() as connection:
            return connection.execute(text(query), parameters).all()

    def now(self) -> datetime:
        """Return the database's time."""
        now: datetime = self.rows("SELECT clock_timestamp()")[0][0]
        return now

    def add_team(self) -> None:
        """Add a team and a grant of it, whose access token has ended."""
        self.execute("INSERT INTO teams (name) VALUES ('Hanok') ON CONFLICT DO NOTHING")
        self.execute(
            """INSERT INTO platform_credentials (team_id, platform, name, access_token, refresh_token, expires_at)
               SELECT id, 'google', 'Main', '\\x01', '\\x02', now() - interval '90 days' FROM teams
               ON CONFLICT DO NOTHING"""
        )

    def add(self, kind: Kind, count: int, ago: str, *, is_open: bool = False) -> set[str]:
        """Add rows of some time ago (an SQL interval), each a second older than the one before; return their places."""
        before = self.places(kind)
        times = """WITH times AS (SELECT n, now() - CAST(:ago AS interval) - n * interval '1 second' AS at
                                  FROM generate_series(1, :count) AS n)"""
        self.execute(f"{times} {OVER[kind]}", ago=ago, count=count)
        if is_open:
            self.execute(f"{OPEN[kind]} WHERE ctid::text <> ALL(:before)", before=list(before))
        return self.places(kind) - before

    def places(self, kind: Kind) -> set[str]:
        """Return where the rows of a table are; it changes when a row is updated."""
        return {row[0] for row in self.rows(f"SELECT ctid::text FROM {kind.value}")}  # noqa: S608

    def add_sessions(self, count: int, expired: str) -> list[int]:
        """Add sessions that expire(d) this long before now, and were written a day before."""
        return self._added("sessions", count, expired)

    def add_states(self, count: int, expired: str, session_id: int | None = None) -> list[int]:
        """Add OAuth states that expire(d) this long before now, and were written ten minutes before."""
        ids = self._added("oauth_states", count, expired)
        self.execute("UPDATE oauth_states SET session_id = :session WHERE id = ANY(:ids)", session=session_id, ids=ids)
        return ids

    def add_logs(self, count: int, started: str, outcome: str | None = "renewed") -> list[int]:
        """Add logs of renewals that started this long before now."""
        self.add_team()
        ids = self._added("token_refresh_logs", count, started)
        self.execute("UPDATE token_refresh_logs SET outcome = :outcome WHERE id = ANY(:ids)", outcome=outcome, ids=ids)
        return ids

    def fill(self) -> dict[str, list[int]]:
        """Add 6 states, 5 sessions and 4 logs that have expired, and some that have not; return the latter's ids."""
        before = self.contents()
        dead = self.add_sessions(5, "1 hour")
        self.add_states(2, "1 minute", dead[0])
        self.add_states(4, "2 days")
        self.add_logs(3, "31 days")
        self.add_logs(1, "40 days", outcome=None)
        alive = self.add_sessions(2, "-1 hour")
        return {
            "oauth_states": before["oauth_states"] + self.add_states(3, "-9 minutes", alive[0]),
            "sessions": before["sessions"] + alive,
            "token_refresh_logs": before["token_refresh_logs"]
            + self.add_logs(2, "29 days")
            + self.add_logs(1, "1 hour", outcome=None),
        }

    def contents(self) -> dict[str, list[int]]:
        """Return the ids of the rows that are there."""
        return {kind: self._ids(kind) for kind in KINDS}

    def wait_for_rollbacks(self) -> None:
        """Wait until no transaction is open: the server notices a moment later that a process was killed."""
        retrying = Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.02), retry=retry_if_result(bool))
        retrying(lambda: self.rows(OPEN_TRANSACTIONS))

    def proofs(self) -> Sequence[Row[Any]]:
        """Return what the runs recorded, the oldest first."""
        return self.rows("SELECT * FROM cleanup_runs ORDER BY started_at")

    def _ids(self, kind: str) -> list[int]:
        return [row.id for row in self.rows(f"SELECT id FROM {kind} ORDER BY id")]  # noqa: S608

    def _added(self, kind: str, count: int, ago: str) -> list[int]:
        before = set(self._ids(kind))
        self.add(Kind(kind), count, ago)
        return [id_ for id_ in self._ids(kind) if id_ not in before]
