"""The folder `.sivera`: everything that the local stack makes, for one stack at a time."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import URL

from ops.stack.processes import Child, StackError, child_process

FOLDER = Path(".sivera")
DEMO_FOLDER = FOLDER / "demo"
"""The demo's own, so that its data never meets real credentials."""

CRON_SECRET_FILE = "cron-secret"  # noqa: S105 - the name of a file
"""The file in a stack's folder with the secret of the HTTP API, for callers on this machine."""

DATABASE_URL_FILE = "database-url"
"""The file in a stack's folder with the URL of the block, for commands that need nothing else of Prefect."""

PUBLIC_URL_FILE = "public-url"
"""The file in a stack's folder with the address of its HTTP API, to which links for teams lead."""

ENDING_SECONDS = 20
"""How long the children of a stack that was killed may take to end: their grace, and some."""


@dataclass(frozen=True)
class Folder:
    """A `.sivera` folder that is ours alone until `lock`, a file descriptor, is closed by all who hold it."""

    path: Path
    lock: int

    def run(self, name: str, log: str, command: Sequence[str | Path], **more: Any) -> AbstractContextManager[Child]:
        """Run a command, with its output in this log, that holds the lock until its end; see `child_process`."""
        return child_process(name, command, self.path / "logs" / f"{log}.log", held=[self.lock], **more)

    def secret(self, name: str, make: Callable[[], str]) -> tuple[str, bool]:
        """Return a secret that only the owner can read, and whether it was made just now."""
        path = self.path / name
        if path.exists():
            return path.read_text("utf-8"), False
        secret = make()
        write_private(path, secret)
        return secret, True


@contextmanager
def own_folder(path: Path = FOLDER) -> Iterator[Folder]:
    """Make the folder and keep every other stack out; StackError if one is in it, or it cannot be made."""
    path = path.absolute()
    try:
        for folder in (*reversed(path.parents), path, path / "logs", path / "prefect"):
            folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StackError(
            f"{path} cannot be made ({error.strerror}): run this in a folder that you can write to"
        ) from None
    try:
        _lock(path, lock)
        yield Folder(path, lock)
    finally:
        os.close(lock)


def is_running(path: Path = FOLDER) -> bool:
    """Say whether a stack runs in the folder."""
    try:
        with (path / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def keep_database_url(folder: Path, url: URL) -> None:
    """Keep the URL of the database in a stack's folder, for commands that need nothing of Prefect."""
    write_private(folder / DATABASE_URL_FILE, url.render_as_string(hide_password=False))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _lock(path: Path, lock: int) -> None:
    until = time.monotonic() + ENDING_SECONDS
    while time.monotonic() < until:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = int(os.pread(lock, 20, 0) or b"0")
            if owner and psutil.pid_exists(owner):
                raise StackError(
                    f"a stack is already running in {path} (process {owner}): end it, or use another folder"
                ) from None
            # Its owner is gone, and its children are about to follow.
            time.sleep(0.1)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return
    raise StackError(f"processes of an earlier stack in {path} do not end: find them with `ps` and end them")
