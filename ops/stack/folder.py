"""The folder `.sivera`, which holds everything that a local stack makes. One stack at a time can use it."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import URL

from ops.stack.processes import Child, StackError, child_process

FOLDER = Path(".sivera")
DEMO_FOLDER = FOLDER / "demo"
"""The demo has its own folder, so its data never mixes with real credentials."""

CRON_SECRET_FILE = "cron-secret"  # noqa: S105 - the name of a file
"""Holds the secret of the HTTP API, for callers on this machine."""

DATABASE_URL_FILE = "database-url"
"""Holds the URL of the database, for commands that need nothing else from Prefect."""

PUBLIC_URL_FILE = "public-url"
"""Holds the address of the HTTP API, to which links for teams lead."""

ENDING_SECONDS = 20
"""How long the children of a killed stack may take to end: their grace, and a bit more."""


@dataclass(frozen=True)
class Folder:
    """A `.sivera` folder that is locked until every process that holds the file descriptor `lock` has closed it."""

    path: Path
    lock: int
    children: list[Child] = field(default_factory=list)

    @contextmanager
    def run(self, name: str, log: str, command: Sequence[str | Path], **more: Any) -> Iterator[Child]:
        """Run a command that logs to `log` and holds the lock until it ends; see `child_process`."""
        with child_process(name, command, self.path / "logs" / f"{log}.log", held=[self.lock], **more) as child:
            self.children.append(child)
            yield child

    def secret(self, name: str, make: Callable[[], str]) -> tuple[str, bool]:
        """Return the secret in a private file, and whether it was just created."""
        path = self.path / name
        if path.exists():
            return path.read_text("utf-8"), False
        secret = make()
        write_private(path, secret)
        return secret, True


@contextmanager
def own_folder(path: Path = FOLDER) -> Iterator[Folder]:
    """Make and lock the folder; StackError if it cannot be made or another stack uses it."""
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
    """Whether a stack runs in the folder."""
    try:
        with (path / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def keep_database_url(folder: Path, url: URL) -> None:
    """Save the URL of the database in a stack's folder; see `DATABASE_URL_FILE`."""
    write_private(folder / DATABASE_URL_FILE, url.render_as_string(hide_password=False))


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that only its owner can read."""
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
            # Its owner is gone, and its children are about to end.
            time.sleep(0.1)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return
    raise StackError(f"processes of an earlier stack in {path} do not end: find them with `ps` and end them")
