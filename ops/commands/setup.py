"""`sivera setup`: saves the secrets of the jobs as blocks of the Prefect server. It imports prefect."""

import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from prefect.blocks.core import Block

from blocks.names import CRON_SECRET
from blocks.secrets import read_environment, read_text
from blocks.setup import Change, save_secrets
from ops.stack.folder import CRON_SECRET_FILE, write_private
from ops.timetable import find_timetable, read_timetable
from sivera.errors import ConfigurationError

STANDARD_INPUT = "-"

Say = Callable[[str], None]


def setup(source: str | None, folder: Path | None, say: Say) -> None:
    """Save secrets as blocks, and print what changed.

    Args:
        source: A file, `-` for standard input, or None for the environment.
        folder: The folder of the stack that runs here, which keeps a copy of the secret of its HTTP API.
        say: Prints a line.

    Raises:
        ConfigurationError: Something does not fit (a line for each thing), or the server does not answer; nothing was
            saved.
    """
    jobs = job_names()
    blocks = read_environment(os.environ, jobs) if source is None else read_text(_text_of(source), jobs)
    if not blocks:
        raise ConfigurationError(
            "there is nothing to save: set variables such as SIVERA_DATABASE_URL, or name a file by --from; "
            "with --from, the environment is not read"
        )
    _save(blocks, folder, say)


def save_environment(folder: Path | None, say: Say) -> None:
    """Save the secrets that the environment gives, if any.

    Raises:
        ConfigurationError: As `setup`.
    """
    if blocks := read_environment(os.environ, job_names()):
        _save(blocks, folder, say)


def job_names() -> set[str]:
    """Return the jobs and their deployments, these as 'job/name'."""
    timetable, flows = read_timetable(find_timetable())
    jobs = {flow.name for flow in flows.values()}
    return jobs | {f"{flows[each.entrypoint].name}/{each.name}" for each in timetable.deployments}


def _save(blocks: Mapping[str, Block], folder: Path | None, say: Say) -> None:
    changes = save_secrets(blocks)
    for kind in Change:
        if names := [name for name, change in changes.items() if change is kind]:
            say(f"{kind.value}: {', '.join(names)}")
    if folder and changes.get(f"cron-secret/{CRON_SECRET}", Change.UNCHANGED) is not Change.UNCHANGED:
        write_private(folder / CRON_SECRET_FILE, blocks[CRON_SECRET].current.get_secret_value())  # type: ignore[attr-defined]


def _text_of(source: str) -> str:
    try:
        return _read_standard_input() if source == STANDARD_INPUT else _read_private(Path(source))
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read ({error.strerror}): see that it is there") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{source} is not text in UTF-8: save it as UTF-8") from None


def _read_standard_input() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigurationError("standard input is a terminal, which shows what is typed: pass the secrets by a pipe")
    return sys.stdin.read()


def _read_private(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            raise ConfigurationError(f"others can read {path} (mode {mode & 0o777:o}): run `chmod 600 {path}`")
        return file.read()
