"""`python -m benchmarks.cleanup --dead N --live N`: cleanup-expired-tokens beside one plain DELETE for each table.

Expired rows of three kinds are spread among live ones, in two copies of a database on a PostgreSQL with default
settings. Plain DELETEs clean one copy. The job's own code, without Prefect, cleans the other until nothing is left.
Meanwhile a writer adds and changes rows of the same tables, and its waits are measured. The last line is JSON.
"""

import argparse
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import URL, Engine, text

from benchmarks.bench import alone, load, open_database, say, tell
from sivera.database import open_engine
from sivera.retention.cleaning import CleanupDependencies, clean, plan_cleanup
from sivera.retention.options import CleanupOptions, Kind

LOAD = (
    "ALTER TABLE sessions DROP CONSTRAINT uq_sessions_token_hash",
    "ALTER TABLE oauth_states DROP CONSTRAINT uq_oauth_states_state_hash",
    """INSERT INTO sessions (token_hash, created_at, expires_at)
       SELECT md5('s' || n) || md5('t' || n), at, CASE WHEN n % :nth = 0 THEN now() + interval '1 day' * (1 + random())
              ELSE at + interval '7 days' * random() END
       FROM (SELECT n, now() - interval '90 days' + n * interval '80 days' / :rows AS at
             FROM generate_series(1, :rows) AS n) AS row""",
    """INSERT INTO oauth_states (state_hash, session_id, platform, created_at, expires_at)
       SELECT md5('o' || n) || md5('p' || n), n, 'google', at, CASE WHEN n % :nth = 0 THEN now() + interval '1 day'
              ELSE at + interval '10 minutes' END
       FROM (SELECT n, now() - interval '90 days' + n * interval '80 days' / :rows AS at
             FROM generate_series(1, :rows) AS n) AS row""",
    "INSERT INTO teams (name) VALUES ('Hanok')",
    "INSERT INTO platform_credentials (team_id, platform, name) SELECT id, 'google', 'Main' FROM teams",
    """INSERT INTO token_refresh_logs
              (credential_id, platform, generation, token_fingerprint, owner, deadline, started_at, outcome)
       SELECT 1, 'google', n, md5('f' || n), md5('o' || n), at, at, 'renewed'
       FROM (SELECT n, CASE WHEN n % :nth = 0 THEN now() - interval '20 days'
                       ELSE now() - interval '90 days' + n * interval '50 days' / :rows END AS at
             FROM generate_series(1, :rows) AS n) AS row""",
    "ALTER TABLE sessions ADD CONSTRAINT uq_sessions_token_hash UNIQUE (token_hash)",
    "ALTER TABLE oauth_states ADD CONSTRAINT uq_oauth_states_state_hash UNIQUE (state_hash)",
)
"""Rows are in the order of time, and every `nth` is alive. Sessions expire in no order, since use extends them."""

PLAIN = {
    Kind.OAUTH_STATES: "DELETE FROM oauth_states WHERE expires_at < :cutoff",
    Kind.SESSIONS: """DELETE FROM sessions WHERE expires_at < :cutoff
                      AND NOT EXISTS (SELECT FROM oauth_states WHERE session_id = sessions.id)""",
    Kind.TOKEN_REFRESH_LOGS: "DELETE FROM token_refresh_logs WHERE started_at < :cutoff",
}
"""The kinds that may have millions of rows a day."""

WRITE = """
    WITH login AS (
        INSERT INTO sessions (token_hash, expires_at)
        VALUES (:hash, now() + interval '7 days') RETURNING id
    ), used AS (
        UPDATE sessions SET expires_at = now() + interval '7 days' WHERE id = :used
    ), begun AS (
        INSERT INTO oauth_states (state_hash, session_id, platform, expires_at)
        SELECT :hash, id, 'meta', now() + interval '1 day' FROM login
    ), renewing AS (
        INSERT INTO token_refresh_logs (credential_id, platform, generation, token_fingerprint, owner, deadline)
        VALUES (1, 'google', 0, 'f', 'o', now())
    )
    UPDATE oauth_states SET platform = 'google' WHERE id = :used
"""

WAIT_MS = 100
LEAST = 2
"""The number of transactions that quantiles need."""


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cleanup", description=__doc__)
    parser.add_argument("--dead", type=int, default=500_000, help="dead rows, a third of each kind")
    parser.add_argument("--live", type=int, default=100_000, help="live rows among them")
    options = parser.parse_args()
    with open_database() as (url, _):
        result = Benchmark(url, options.dead, options.live).run()
    tell(result)


class Benchmark:
    """Two copies of a database, one for the plain DELETEs and one for the job."""

    def __init__(self, url: URL, dead: int, live: int) -> None:
        self.url, self.nth = url, (dead + live) // live
        self.rows = (dead + live) // len(PLAIN)
        self.dead = (self.rows - self.rows // self.nth) * len(PLAIN)

    def run(self) -> dict[str, Any]:
        """Measure both; return the figures."""
        say(f"writing {self.rows * len(PLAIN)} rows, {self.dead} of them dead")
        with opened(self.url) as engine, alone(engine) as connection:
            load(connection, [*LOAD, "VACUUM (ANALYZE)"], rows=self.rows, nth=self.nth)
        with opened(self.url.set(database="postgres")) as engine, alone(engine) as connection:
            connection.execute(text("CREATE DATABASE plain TEMPLATE sivera STRATEGY file_copy"))
        plain = self._measure(self.url.set(database="plain"), self._plain)
        job = self._measure(self.url, self._job)
        ratio = round(job["rows_per_s"] / plain["rows_per_s"], 2)
        return {"dead": self.dead, "nth_is_live": self.nth, "ratio": ratio, "plain": plain, "job": job}

    def _measure(self, url: URL, delete: Callable[[Engine], dict[str, Any]]) -> dict[str, Any]:
        with opened(url) as engine, alone(engine) as connection:
            connection.execute(text("CHECKPOINT"))
            with Writer(url, self.rows, self.nth) as writer:
                start = time.monotonic()
                figures = delete(engine)
                seconds = time.monotonic() - start
            left = sum(connection.execute(text(f"SELECT count(*) FROM {kind.value}")).scalar_one() for kind in PLAIN)  # noqa: S608
        written = writer.count * len(PLAIN)
        assert left == self.rows * len(PLAIN) - self.dead + written, "exactly the dead rows are gone"
        return {
            "rows_per_s": round(self.dead / seconds),
            "seconds": round(seconds, 1),
            **figures,
            "writer": writer.waits(),
        }

    def _plain(self, engine: Engine) -> dict[str, Any]:
        seconds = {}
        cutoffs = plan_cleanup(CleanupDependencies(engine, uuid4()), CleanupOptions()).cutoffs
        for kind, statement in PLAIN.items():
            start = time.monotonic()
            with engine.begin() as connection:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text(statement), {"cutoff": cutoffs[kind]})
            seconds[kind.value] = round(time.monotonic() - start, 1)
            say(f"plain DELETE: {kind.value} in {seconds[kind.value]} s")
        return {"kinds": seconds}

    def _job(self, engine: Engine) -> dict[str, Any]:
        """Run the job until nothing is left; return the number of runs, and the total seconds of each kind."""
        options, seconds = CleanupOptions(dry_run=False), dict.fromkeys(PLAIN, 0.0)
        runs, is_done = 0, False
        while not is_done:
            deps = CleanupDependencies(engine, uuid4())
            until = time.monotonic() + options.deadline_seconds
            plan, results = plan_cleanup(deps, options), []
            for kind in PLAIN:
                start = time.monotonic()
                results.append(clean(deps, plan, kind, until))
                seconds[kind] += time.monotonic() - start
            say(f"job: {[(result.kind.value, result.deleted, result.remaining) for result in results]}")
            assert not any(result.failed or result.refused for result in results)
            runs, is_done = runs + 1, all(result.remaining == 0 for result in results)
        return {"kinds": {kind.value: round(value, 1) for kind, value in seconds.items()}, "runs": runs}


class Writer:
    """Adds and changes live rows in a thread as fast as it can, within the context."""

    def __init__(self, url: URL, rows: int, nth: int) -> None:
        self._engine, self._rows, self._nth = open_engine(url), rows, nth
        self._seconds: list[float] = []
        self._stop, self._writes = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def count(self) -> int:
        """The number of its transactions; each adds a row of each kind."""
        return len(self._seconds)

    def waits(self) -> dict[str, float]:
        """How long its transactions took, in milliseconds."""
        milliseconds = [1000 * seconds for seconds in self._seconds]
        return {
            "transactions": len(milliseconds),
            "median_ms": round(quantiles(milliseconds)[1], 1),
            "p99_9_ms": round(quantiles(milliseconds, n=1000)[-1], 1),
            "longest_ms": round(max(milliseconds), 1),
            "over_100_ms": sum(one > WAIT_MS for one in milliseconds),
        }

    def __enter__(self) -> Self:
        self._thread.start()
        # Otherwise a small table would be clean before the thread has connected.
        while not self._writes.wait(1):
            assert self._thread.is_alive(), "the writer failed"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        pick = random.Random(7)
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not self._stop.is_set():
                used = self._nth * pick.randint(1, self._rows // self._nth)
                values = {"hash": uuid4().hex, "used": used}
                start = time.monotonic()
                connection.execute(text(WRITE), values)
                self._seconds.append(time.monotonic() - start)
                if len(self._seconds) == LEAST:
                    self._writes.set()


@contextmanager
def opened(url: URL) -> Iterator[Engine]:
    """Yield an engine, and close its connections."""
    engine = open_engine(url)
    yield engine
    engine.dispose()


if __name__ == "__main__":
    main()
