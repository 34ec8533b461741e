"""`python -m benchmarks.backup --rows N`: backup-data beside a bare `COPY ... TO STDOUT | COPY ... FROM STDIN`.

The database has N daily metrics, on a PostgreSQL with default settings. The bare pipe copies our tables into those of
another migrated database; it sorts, compresses, keeps and checks nothing. The job's own code, without Prefect, dumps to
a file with checksums, restores the file, reads it back and compares. The last line is JSON.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec.implementations.dirfs import DirFileSystem
from sqlalchemy import URL, text
from sqlalchemy.orm import Session

from benchmarks.bench import alone, load, open_database, say, tell
from sivera.backups import backing_up, queries
from sivera.backups.backing_up import BackupDependencies
from sivera.backups.catalog import Catalog
from sivera.backups.manifest import Manifest, Outcome
from sivera.crypto import Keyring
from sivera.database import engine_on, open_engine
from sivera.grants.keys import check_keyring
from sivera.migrating import migrate
from sivera.private_files import PrivateFileSystem

SECONDS = 7200

LOAD = (
    "INSERT INTO teams (name) VALUES ('Hanok')",
    "INSERT INTO platform_credentials (team_id, platform, name) VALUES (1, 'google', 'main')",
    """INSERT INTO ad_accounts (team_id, credential_id, platform, external_id, name, timezone, currency)
       SELECT 1, 1, 'google', n::text, 'account ' || n, 'Asia/Seoul', 'KRW' FROM generate_series(1, 1000) AS n""",
    """INSERT INTO campaign_daily_metrics (account_id, campaign_id, day, impressions, clicks, spend, conversions,
                                           conversion_value, currency)
       SELECT 1 + n % 1000, (n % 20000)::text, date '2026-01-01' + n / 20000, random() * 10000, random() * 100,
              (random() * 1000)::numeric(12, 6), (random() * 10)::numeric(6, 3), (random() * 100)::numeric(8, 3), 'KRW'
       FROM generate_series(0, :rows - 1) AS n""",
)


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backup", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="daily metrics in the database")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure each; the fastest counts")
    options = parser.parse_args()
    with open_database() as (url, folder):
        result = Benchmark(url, folder).run(options.rows, options.rounds)
    tell(result)


class Benchmark:
    """A database, and a folder for its backups."""

    def __init__(self, url: URL, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.engine = open_engine(url)
        self.keyring = Keyring({"k1": bytes(32)}, "k1")

    def run(self, rows: int, rounds: int) -> dict[str, Any]:
        """Measure the pipe and the job in turns; return the figures."""
        check_keyring(self.engine, self.keyring)
        with alone(self.engine) as connection:
            load(connection, LOAD, rows=rows)
            size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        say(f"a database of {size / 2**20:.0f} MiB")
        measured = [(self._bare(), self._job()) for _ in range(rounds)]
        bare = min(seconds for seconds, _ in measured)
        ours = min((job for _, job in measured), key=lambda job: float(job["seconds"]))
        self.engine.dispose()
        return {
            "rows": rows,
            "database_mib": round(size / 2**20),
            "ratio": round(ours["seconds"] / bare, 2),
            "bare_s": round(bare, 2),
            "job": ours,
        }

    def _bare(self) -> float:
        with self._database("bare") as target, engine_on(target) as engine:
            migrate(engine)
            start = time.monotonic()
            with Session(self.engine) as source, Session(engine) as filled:
                for table in queries.TABLES:
                    with (
                        queries.driver_cursor(source) as reader,
                        queries.driver_cursor(filled) as writer,
                        reader.copy(f"COPY {table} TO STDOUT".encode()) as text_out,
                        writer.copy(f"COPY {table} FROM STDIN".encode()) as text_in,
                    ):
                        for row in text_out:
                            text_in.write(row)
                filled.commit()
            return time.monotonic() - start

    def _job(self) -> dict[str, Any]:
        catalog = Catalog(DirFileSystem(path=str(self.folder / "backups"), fs=PrivateFileSystem()))
        deps = BackupDependencies(self.url, catalog, lambda: self.keyring, uuid4())
        start = time.monotonic()
        until = start + SECONDS
        made = backing_up.dump(deps, until, lambda _: None)
        assert isinstance(made, Manifest), made
        dumped = time.monotonic()
        checked = backing_up.check(deps, made, until, lambda _: None)
        ended = time.monotonic()
        assert checked.outcome is Outcome.VERIFIED, checked.reason
        catalog.remove(made.name)
        return {
            "seconds": round(ended - start, 2),
            "dump_s": round(dumped - start, 2),
            "check_s": round(ended - dumped, 2),
            "dump_mib": round(made.size / 2**20, 1),
        }

    @contextmanager
    def _database(self, name: str) -> Iterator[URL]:
        with alone(self.engine) as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
            yield self.url.set(database=name)
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


if __name__ == "__main__":
    main()
