"""A database with something in it and a folder for its backups, for the tests of backups."""

import base64
import gzip
import io
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

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
from sivera.crypto import KEY_BYTES, Keyring
from sivera.database import open_engine
from sivera.grants.keys import check_keyring
from sivera.grants.renewal import seal
from sivera.private_files import PrivateFileSystem
from tests.conftest import run_alone
from tests.unit.tables import Tables

A_DAY = 86_400.0
BIG = 10_000
"""Sessions with ten megabytes of text: many pieces of a COPY."""
FEWEST = BackupOptions(keep_daily=1, keep_weekly=0, keep_monthly=0)

END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND pid <> pg_backend_pid()"


def nothing(_: float) -> None:
    """Ignore the progress."""


def deadline(seconds: float = A_DAY) -> float:
    return time.monotonic() + seconds


def catalog_in(folder: Path) -> Catalog:
    """Return the backups in a folder, as the storage block opens it."""
    return Catalog(DirFileSystem(path=str(folder), fs=PrivateFileSystem()))


def another(key_id: str) -> Keyring:
    return Keyring({key_id: base64.b64decode("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=")}, current=key_id)


def reason(verdict: Verdict, outcome: Outcome) -> str:
    assert verdict.outcome is outcome, verdict
    return verdict.reason


def flipped(raw: bytes, at: int) -> bytes:
    changed = bytearray(raw)
    changed[at] ^= 1
    return bytes(changed)


@dataclass
class Vault(Tables):
    """Backs a database up, into a folder or into another file system."""

    keyring: Keyring
    folder: Path
    remote: DirFileSystem | None = None

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.remote) if self.remote else catalog_in(self.folder)

    def deps(self) -> BackupDependencies:
        """Return what a new run has."""
        return BackupDependencies(self.engine.url, self.catalog, lambda: self.keyring, uuid4())

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

    def back_up(self, progress: Progress = nothing, seconds: float = A_DAY) -> Manifest | Verdict:
        """Make a backup, without its check."""
        return backing_up.dump(self.deps(), deadline(seconds), progress)

    def backed_up(self) -> Manifest:
        """Make a backup that succeeds."""
        made = self.back_up()
        assert isinstance(made, Manifest), made
        return made

    def judge(
        self, made: Manifest, seconds: float = A_DAY, progress: Progress = nothing, keyring: Keyring | None = None
    ) -> Verdict:
        """Check a backup without writing the verdict."""
        return check_backup(
            made, self.catalog, self.engine.url, lambda: keyring or self.keyring, deadline(seconds), progress
        )

    def dump_file(self, made: Manifest) -> Path:
        return self.folder / made.path

    def rewrite(self, made: Manifest, name: str, change: Callable[[list[bytes]], list[bytes]]) -> Manifest:
        """Change the lines of a table in a dump, and return the manifest for that, as if we had made it."""
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

    def scratches(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT datname FROM pg_database WHERE datname LIKE 'sivera_check%'")]


def at(share: float, do: Callable[[], object]) -> Progress:
    """Do something once, when this share is done."""
    done: list[bool] = []

    def progress(reached: float) -> None:
        if reached >= share and not done:
            done.append(True)
            do()

    return progress


@contextmanager
def beside(postgres: str, name: str) -> Iterator[str]:
    """Yield the URL of an empty database."""
    engine = open_engine(postgres)
    run_alone(engine, f"CREATE DATABASE {name}")
    try:
        yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    finally:
        run_alone(engine, f"DROP DATABASE {name} WITH (FORCE)")
        engine.dispose()


def dump_and_stop(url: str, folder: str) -> None:
    """Start a backup in a process that is to be killed, and stop in the middle of the dump."""
    backing_up.dump(_deps(url, folder), deadline(), lambda _: signal.pause())


def dump_on_full_disk(url: str, folder: str) -> None:
    """Make a backup in a process that may write 20,000 bytes to a file at most; say which verdict came of it."""
    deps = _deps(url, folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    verdict = backing_up.dump(deps, deadline(), nothing)
    assert verdict.reason.startswith("the storage failed (File too large): check that it")


def _deps(url: str, folder: str) -> BackupDependencies:
    keyring = Keyring({"k1": bytes(KEY_BYTES)}, "k1")
    return BackupDependencies(open_engine(url).url, catalog_in(Path(folder)), lambda: keyring, UUID(int=0))
