"""`python -m benchmarks.cleanup --dead N --live N`: cleanup-expired-tokens beside one plain DELETE for each table.

Expired rows of three kinds lie among live ones, in two copies of a database on one PostgreSQL with default settings.
One copy is cleaned by plain DELETEs, the other by the job's own code, without Prefect, until nothing is left. Meanwhile
a writer adds and changes rows of the same tables, and its waits are measured. The last line is JSON.
"""

import argparse
import itertools
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import URL, Connection, Engine, text

from benchmarks.bench import say, tell
from ops.stack.stack import open_stack, prepare_database
from sivera.database import open_engine
from sivera.retention.cleaning import CleanupDependencies, clean, plan_cleanup
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.rules import KindResult

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
"""Rows are in the order of time, one of `nth` alive. Sessions expire in no order, since use extends them."""

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
ALONE_SECONDS = 15
LEAST = 2
"""Quantiles need this many transactions."""


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cleanup", description=__doc__)
    parser.add_argument("--dead", type=int, default=500_000, help="dead rows, in equal parts of the three kinds")
    parser.add_argument("--live", type=int, default=100_000, help="live rows among them")
    options = parser.parse_args()
    # A short folder: PostgreSQL's socket lies in it.
    with tempfile.TemporaryDirectory(prefix="sivera-bench-") as folder, open_stack(Path(folder), say) as stack:
        url = stack.start_postgres()
        prepare_database(url)
        result = Benchmark(url, options.dead, options.live).run()
    tell(result)


class Benchmark:
    """Two copies of one database: for the plain DELETEs and for the job."""

    def __init__(self, url: URL, dead: int, live: int) -> None:
        self.url, self.nth = url, (dead + live) // live
        self.rows = (dead + live) // len(PLAIN)
        self.dead = (self.rows - self.rows // self.nth) * len(PLAIN)

    def run(self) -> dict[str, Any]:
        """Measure one, then the other; return the figures."""
        say(f"writing {self.rows * len(PLAIN)} rows, {self.dead} of them dead")
        with opened(self.url) as connection:
            # The rows fit each other: checking each foreign key would take minutes.
            connection.execute(text("SET session_replication_role = replica"))
            connection.execute(text("SET maintenance_work_mem = '512MB'"))
            for statement in LOAD:
                connection.execute(text(statement), {"rows": self.rows, "nth": self.nth})
            connection.execute(text("VACUUM (ANALYZE)"))
        with opened(self.url.set(database="postgres")) as connection:
            connection.execute(text("CREATE DATABASE plain TEMPLATE sivera STRATEGY file_copy"))
        plain = self._measure(self.url.set(database="plain"), self._plain)
        alone = self._alone(self.url.set(database="plain"))
        with opened(self.url.set(database="postgres")) as connection:
            connection.execute(text("DROP DATABASE plain"))
        job = self._measure(self.url, self._job)
        ratio = round(job["rows_per_s"] / plain["rows_per_s"], 2)
        return {"dead": self.dead, "nth_is_live": self.nth, "ratio": ratio, "alone": alone, "plain": plain, "job": job}

    def _alone(self, url: URL) -> dict[str, float]:
        with Writer(url, self.rows, self.nth) as writer:
            time.sleep(ALONE_SECONDS)
        return writer.waits()

    def _measure(self, url: URL, delete: Callable[[Engine], dict[str, Any]]) -> dict[str, Any]:
        engine = open_engine(url)
        with opened(url) as connection:
            connection.execute(text("CHECKPOINT"))
            size, wal = _state(connection)
            with Writer(url, self.rows, self.nth) as writer:
                begun = time.monotonic()
                figures = delete(engine)
                seconds = time.monotonic() - begun
            size_after, wal_after = _state(connection)
            left = sum(connection.execute(text(f"SELECT count(*) FROM {kind.value}")).scalar_one() for kind in PLAIN)  # noqa: S608
        engine.dispose()
        written = writer.count * len(PLAIN)
        assert left == self.rows * len(PLAIN) - self.dead + written, "exactly the dead rows went"
        return {
            "rows_per_s": round(self.dead / seconds),
            "seconds": round(seconds, 1),
            **figures,
            "writer": writer.waits(),
            "table_growth_mib": round((size_after - size) / 2**20, 1),
            "wal_mib": round((wal_after - wal) / 2**20, 1),
        }

    def _plain(self, engine: Engine) -> dict[str, Any]:
        seconds = {}
        cutoffs = plan_cleanup(CleanupDependencies(engine, uuid4()), CleanupOptions()).cutoffs
        for kind, statement in PLAIN.items():
            begun = time.monotonic()
            with engine.begin() as connection:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text(statement), {"cutoff": cutoffs[kind]})
            seconds[kind.value] = round(time.monotonic() - begun, 1)
            say(f"plain DELETE: {kind.value} in {seconds[kind.value]} s")
        return {"kinds": seconds}

    def _job(self, engine: Engine) -> dict[str, Any]:
        """Run the job until nothing is left; return what the first run did, and the total seconds of each kind."""
        options, seconds = CleanupOptions(dry_run=False), dict.fromkeys(PLAIN, 0.0)
        runs: list[list[KindResult]] = []
        for _ in itertools.count():
            deps = CleanupDependencies(engine, uuid4())
            until = time.monotonic() + options.deadline_seconds
            plan = plan_cleanup(deps, options)
            runs.append([])
            for kind in PLAIN:
                begun = time.monotonic()
                runs[-1].append(clean(deps, plan, kind, until))
                seconds[kind] += time.monotonic() - begun
            say(f"job: {[(one.kind.value, one.deleted, one.remaining) for one in runs[-1]]}")
            assert not any(one.failed or one.refused for one in runs[-1])
            if not any(one.remaining for one in runs[-1]) and None not in [one.remaining for one in runs[-1]]:
                break
        return {
            "kinds": {kind.value: round(value, 1) for kind, value in seconds.items()},
            "runs": len(runs),
            "first_run_deleted": sum(one.deleted for one in runs[0]),
            "first_run_left": [one.remaining for one in runs[0]],
        }


class Writer:
    """Adds and changes live rows in a thread, as fast as it can, within the context."""

    def __init__(self, url: URL, rows: int, nth: int) -> None:
        self._engine, self._rows, self._nth = open_engine(url), rows, nth
        self._seconds: list[float] = []
        self._stop, self._writes = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def count(self) -> int:
        """How many transactions it made; each adds a row of each kind."""
        return len(self._seconds)

    def waits(self) -> dict[str, float]:
        """What its transactions took, in milliseconds."""
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
        # A small table is cleaned before the thread has connected.
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
                begun = time.monotonic()
                connection.execute(text(WRITE), values)
                self._seconds.append(time.monotonic() - begun)
                if len(self._seconds) == LEAST:
                    self._writes.set()


@contextmanager
def opened(url: URL) -> Iterator[Connection]:
    """Yield a connection in autocommit mode, without a statement timeout."""
    engine = open_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        yield connection
    engine.dispose()


def _state(connection: Connection) -> tuple[int, int]:
    """The bytes of the three tables with their indexes, and those of the write-ahead log so far."""
    sizes = " + ".join(f"pg_total_relation_size('{kind.value}')" for kind in PLAIN)
    row = connection.execute(text(f"SELECT {sizes}, pg_current_wal_insert_lsn() - '0/0'")).one()
    return int(row[0]), int(row[1])


if __name__ == "__main__":
    main()
