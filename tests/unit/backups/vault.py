"""A database with something in it and a folder for its backups, for the tests of backups."""

import math
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import s3fs
from fsspec.implementations.dirfs import DirFileSystem
from pydantic import SecretStr
from sqlalchemy import Engine, text

from sivera.backups import backing_up
from sivera.backups.backing_up import BackupDependencies
from sivera.backups.catalog import Catalog, path_of
from sivera.backups.dumping import Tell
from sivera.backups.manifest import Manifest, Verdict
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.files import PrivateFileSystem
from sivera.grants.keys import check_keyring
from sivera.grants.renewal import seal
from tests.buckets import credentials

PLACE = "sivera/backups"
"""Where backups lie in a bucket."""

PART = 5 * 2**20
"""The smallest part of an upload that S3 takes."""

NEVER = math.inf
A_DAY = 86_400.0


def nothing(_: float) -> None:
    """Tell nobody."""


def catalog_in(folder: Path) -> Catalog:
    """The backups in a folder, as the storage block gives it."""
    return Catalog(DirFileSystem(path=str(folder), fs=PrivateFileSystem()))


@dataclass
class Vault:
    """Backs a database up into a folder."""

    engine: Engine
    keyring: Keyring
    folder: Path
    runs: list[UUID] = field(default_factory=list)

    @property
    def catalog(self) -> Catalog:
        return catalog_in(self.folder)

    def deps(self, keyring: Keyring | None = None) -> BackupDependencies:
        """What a new run has."""
        self.runs.append(uuid4())
        return BackupDependencies(
            self.engine, self.engine.url, self.catalog, lambda: keyring or self.keyring, self.runs[-1]
        )

    def execute(self, statement: str, **parameters: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def fill(self, sessions: int = 100) -> None:
        """Add a grant whose token is encrypted, and sessions that compress to about half a kilobyte each."""
        check_keyring(self.engine, self.keyring)
        self.execute("INSERT INTO teams (name) VALUES ('한옥')")
        self.execute(
            "INSERT INTO platform_credentials (team_id, platform, name, access_token) VALUES (1, 'google', 'Main', :t)",
            t=seal(self.keyring, 1, "access_token", SecretStr("ya29.token")),
        )
        self.execute(
            """INSERT INTO sessions (token_hash, expires_at)
               SELECT (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 30) WHERE n = n), now()
               FROM generate_series(1, :count) AS n""",
            count=sessions,
        )

    def back_up(self, tell: Tell = nothing, until: float = NEVER) -> Manifest | Verdict:
        """Make a backup; it is not checked."""
        deps = self.deps()
        return backing_up.dump(deps, backing_up.begin(deps), self.monotonic(until), tell)

    def backed_up(self) -> Manifest:
        """Make a backup that is whole."""
        made = self.back_up()
        assert isinstance(made, Manifest), made
        return made

    def check(self, made: Manifest, keyring: Keyring | None = None, tell: Tell = nothing) -> Verdict:
        """Check a backup that the last run made."""
        deps = BackupDependencies(
            self.engine, self.engine.url, self.catalog, lambda: keyring or self.keyring, self.runs[-1]
        )
        return backing_up.check(deps, made, self.monotonic(NEVER), tell).verdict

    def dump_file(self, made: Manifest) -> Path:
        return self.folder / path_of(made.name)

    def accounts(self) -> list[tuple[object, ...]]:
        """What the table of backups says, the oldest first."""
        return self.rows("SELECT outcome, path, reason FROM backups ORDER BY id")

    def scratches(self) -> list[str]:
        """The databases that were made to check a backup."""
        return [str(row[0]) for row in self.rows("SELECT datname FROM pg_database WHERE datname LIKE 'sivera_check%'")]

    @staticmethod
    def monotonic(until: float) -> float:
        return time.monotonic() + min(until, A_DAY)


def at(share: float, do: Callable[[], object]) -> Tell:
    """Do something once, when so much is done."""
    done: list[bool] = []

    def tell(reached: float) -> None:
        if reached >= share and not done:
            done.append(True)
            do()

    return tell


def dump_and_stop(url: str, folder: str, run_id: str) -> None:
    """Begin a backup in a process that is to be killed: it stops in the middle of the dump."""
    engine = open_engine(url)
    deps = BackupDependencies(engine, engine.url, catalog_in(Path(folder)), _no_keyring, UUID(run_id))
    backing_up.dump(deps, backing_up.begin(deps), Vault.monotonic(NEVER), lambda _: signal.pause())


def dump_on_full_disk(url: str, folder: str, run_id: str) -> None:
    """Begin a backup in a process of its own, none of whose files may grow to more than 20,000 bytes."""
    engine = open_engine(url)
    deps = BackupDependencies(engine, engine.url, catalog_in(Path(folder)), _no_keyring, UUID(run_id))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    backing_up.dump(deps, backing_up.begin(deps), Vault.monotonic(NEVER), nothing)


def dump_to_bucket_and_stop(url: str, server: str, run_id: str) -> None:
    """Begin a backup in a process that is to be killed: it stops when a part of the dump was uploaded."""
    there = s3fs.S3FileSystem(**credentials(server), default_block_size=PART, skip_instance_cache=True)
    engine = open_engine(url)
    catalog = Catalog(DirFileSystem(path=PLACE, fs=there))
    deps = BackupDependencies(engine, engine.url, catalog, _no_keyring, UUID(run_id))

    def stop(_: float) -> None:
        if there.list_multipart_uploads("sivera"):
            signal.pause()

    backing_up.dump(deps, backing_up.begin(deps), Vault.monotonic(NEVER), stop)


def _no_keyring() -> Keyring:
    raise AssertionError
