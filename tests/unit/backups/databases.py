"""A database with rows and a storage for its backups."""

import base64
import gzip
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self
from uuid import uuid4

from fsspec.implementations.dirfs import DirFileSystem
from pydantic import SecretStr
from sqlalchemy import make_url

from sivera.backups import backing_up
from sivera.backups.backing_up import BackupDependencies
from sivera.backups.catalog import Catalog
from sivera.backups.checking import check_backup
from sivera.backups.copying import Progress
from sivera.backups.manifest import Manifest, Outcome, Verdict
from sivera.backups.options import BackupOptions
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.grants.keys import check_keyring
from sivera.grants.renewal import seal
from sivera.migrating import migrate
from sivera.private_files import PrivateFileSystem
from tests.conftest import run_alone
from tests.unit.tables import Tables

A_DAY = 86_400.0
BIG = 10_000
"""Sessions with ten megabytes of text: many pieces of a COPY."""
FEWEST = BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0)


def nothing(_: float) -> None:
    """Ignore the progress."""


def deadline(seconds: float = A_DAY) -> float:
    return time.monotonic() + seconds


def other_keyring(key_id: str) -> Keyring:
    return Keyring({key_id: base64.b64decode("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=")}, current=key_id)


def reason(verdict: Verdict, outcome: Outcome) -> str:
    assert verdict.outcome is outcome, verdict
    return verdict.reason


@dataclass
class Database(Tables):
    """A database that is backed up to a folder, or to a remote file system."""

    keyring: Keyring
    folder: Path
    remote: DirFileSystem | None = None

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.remote or DirFileSystem(path=str(self.folder), fs=PrivateFileSystem()))

    def deps(self) -> BackupDependencies:
        return BackupDependencies(self.engine.url, self.catalog, lambda: self.keyring, uuid4())

    def filled(self) -> Self:
        """Create the tables, and add a grant with an encrypted token and a hundred sessions."""
        migrate(self.engine)
        check_keyring(self.engine, self.keyring)
        self.execute("INSERT INTO teams (name) VALUES ('한옥')")
        self.execute(
            "INSERT INTO platform_credentials (team_id, platform, name, access_token) VALUES (1, 'google', 'Main', :t)",
            t=seal(self.keyring, 1, "access_token", SecretStr("ya29.token")),
        )
        self.add_sessions(100)
        return self

    def add_sessions(self, count: int) -> None:
        """Add sessions that compress to about half a kilobyte each."""
        self.execute(
            """INSERT INTO sessions (token_hash, expires_at)
               SELECT (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 30) WHERE n = n), now()
               FROM generate_series(1, :count) AS n""",
            count=count,
        )

    def back_up(self, progress: Progress = nothing, seconds: float = A_DAY) -> Manifest | Verdict:
        """Make a backup, and do not check it."""
        return backing_up.dump(self.deps(), deadline(seconds), progress)

    def make_backup(self) -> Manifest:
        """Make a backup, which must succeed."""
        made = self.back_up()
        assert isinstance(made, Manifest), made
        return made

    def check(
        self, made: Manifest, seconds: float = A_DAY, progress: Progress = nothing, keyring: Keyring | None = None
    ) -> Verdict:
        """Check a backup without storing the verdict."""
        return check_backup(
            made, self.catalog, self.engine.url, lambda: keyring or self.keyring, deadline(seconds), progress
        )

    def dump_file(self, made: Manifest) -> Path:
        return self.folder / made.path

    def rewrite(self, made: Manifest, name: str, change: Callable[[list[bytes]], list[bytes]]) -> Manifest:
        """Change the lines of a table in a dump, and return a valid manifest for the result."""
        dump = io.BytesIO(gzip.decompress(self.dump_file(made).read_bytes()))
        texts, tables = [], []
        for table in made.tables:
            lines = dump.read(table.size).splitlines(keepends=True)
            texts.append(b"".join(lines := change(lines) if table.name == name else lines))
            facts = {"rows": len(lines), "size": len(texts[-1]), "sha256": sha256(texts[-1]).hexdigest()}
            tables.append(table.model_copy(update=facts))
        self.dump_file(made).write_bytes(gzip.compress(b"".join(texts)))
        return made.model_copy(update={"tables": tuple(tables)}).signed(self.keyring)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def disconnect_at(self, share: float) -> Progress:
        """Return a progress that ends the connections of backups once this share is done."""
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %'"

        def progress(reached: float) -> None:
            if reached >= share:
                self.rows(f"{end} AND pid <> pg_backend_pid()")

        return progress

    def scratch_databases(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT datname FROM pg_database WHERE datname LIKE 'sivera_check%'")]


@contextmanager
def empty_database(postgres: str, name: str) -> Iterator[str]:
    """Yield the URL of an empty database."""
    engine = open_engine(postgres)
    run_alone(engine, f"CREATE DATABASE {name}")
    try:
        yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    finally:
        run_alone(engine, f"DROP DATABASE {name} WITH (FORCE)")
        engine.dispose()
