"""A database with rows of every kind, dead and alive, for the tests of the cleanup."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, event, text
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

KINDS = ("oauth_states", "sessions", "token_refresh_logs")
MICROSECOND = "interval '1 microsecond'"
NAMES = "md5(random()::text) || md5(random()::text)"


OPEN_TRANSACTIONS = """
    SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND xact_start IS NOT NULL"""


def be_patient(engine: Engine) -> None:
    """Let each statement take its time: how long one takes says how busy the machine is."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def unbound(*about: Any) -> tuple[str, Any]:
        statement, parameters = about[2:4]
        if isinstance(parameters, dict) and "milliseconds" in parameters:
            parameters = parameters | {"milliseconds": "0"}
        return statement, parameters


@dataclass(frozen=True)
class Attic:
    """Puts rows into a database, and looks at what is left."""

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
        """The database's time."""
        now: datetime = self.rows("SELECT clock_timestamp()")[0][0]
        return now

    def add_sessions(self, count: int, expired: str) -> list[int]:
        """Add sessions that expire(d) so long before now, an SQL interval, and were written a day before."""
        return self._ids(
            f"""INSERT INTO sessions (token_hash, created_at, expires_at)
                SELECT {NAMES}, now() - CAST(:ago AS interval) - interval '1 day', now() - CAST(:ago AS interval)
                FROM generate_series(1, :count) RETURNING id""",  # noqa: S608
            count=count,
            ago=expired,
        )

    def add_states(self, count: int, expired: str, session_id: int | None = None) -> list[int]:
        """Add OAuth states that expire(d) so long before now, and were written ten minutes before."""
        return self._ids(
            f"""INSERT INTO oauth_states (state_hash, session_id, platform, created_at, expires_at)
                SELECT {NAMES}, :session, 'meta', now() - CAST(:ago AS interval) - interval '10 minutes',
                       now() - CAST(:ago AS interval)
                FROM generate_series(1, :count) RETURNING id""",  # noqa: S608
            count=count,
            ago=expired,
            session=session_id,
        )

    def add_logs(self, count: int, started: str, outcome: str | None = "renewed") -> list[int]:
        """Add logs of renewals that began so long before now, of a grant whose access token has ended."""
        self.execute("INSERT INTO teams (name) VALUES ('Hanok') ON CONFLICT DO NOTHING")
        self.execute(
            """INSERT INTO platform_credentials (team_id, platform, name, access_token, refresh_token, expires_at)
               SELECT id, 'google', 'Main', '\\x01', '\\x02', now() - interval '90 days' FROM teams
               ON CONFLICT DO NOTHING"""
        )
        return self._ids(
            """INSERT INTO token_refresh_logs
                      (credential_id, platform, generation, token_fingerprint, owner, deadline, started_at, outcome)
               SELECT credential.id, 'google', number, 'print', 'owner', now() - CAST(:ago AS interval),
                      now() - CAST(:ago AS interval), :outcome
               FROM platform_credentials AS credential, generate_series(1, :count) AS number RETURNING id""",
            count=count,
            ago=started,
            outcome=outcome,
        )

    def fill(self) -> dict[str, list[int]]:
        """Add 6 states, 5 sessions and 4 logs that are dead, and some that are not; return the ids of the latter."""
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
        """The ids of what is there, by kind."""
        return {kind: [row.id for row in self.rows(f"SELECT id FROM {kind} ORDER BY id")] for kind in KINDS}  # noqa: S608

    def wait_for_rollbacks(self) -> None:
        """Wait until nobody has a transaction open: the server notices a moment later that a process was killed."""
        retrying = Retrying(stop=stop_after_delay(60), wait=wait_fixed(0.02), retry=retry_if_result(bool))
        retrying(lambda: self.rows(OPEN_TRANSACTIONS))

    def proofs(self) -> Sequence[Row[Any]]:
        """What the runs wrote down, the oldest first."""
        return self.rows("SELECT * FROM cleanup_runs ORDER BY started_at")

    def _ids(self, statement: str, **parameters: object) -> list[int]:
        with self.engine.begin() as connection:
            return sorted(connection.execute(text(statement), parameters).scalars())
