"""`sivera setup` and `sivera deploy`: they bring a Prefect server up to date."""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from prefect.blocks.core import Block

from blocks.cron_secret import load_cron_secret
from blocks.database import load_database_url
from blocks.names import CRON_SECRET, DATABASE
from blocks.secrets import read_environment, read_text
from blocks.setup import Change, save_secrets
from ops import deploy as deploying
from ops.commands.tables import say
from ops.stack.folder import CRON_SECRET_FILE, keep_database_url, write_private
from ops.stack.prefect_server import use_running_stack
from ops.timetable import full_names, read_timetable
from sivera.errors import ConfigurationError


def setup(*, source: Annotated[str | None, Parameter(name="--from", allow_leading_hyphen=True)] = None) -> None:
    """Save secrets as blocks, and print what changed. If anything is invalid, nothing is saved.

    Args:
        source: A file of such variables that only its owner can read; - means standard input.
    """
    jobs = job_names()
    blocks = read_environment(os.environ, jobs) if source is None else read_text(_text_of(source), jobs)
    if not blocks:
        raise ConfigurationError(
            "there is nothing to save: set variables such as SIVERA_DATABASE_URL, or name a file with --from; "
            "with --from, the environment is not read"
        )
    _save(blocks, use_running_stack())


def deploy() -> None:
    """Bring the Prefect server up to date, and print what changed."""
    folder = use_running_stack()
    save_environment(folder)
    summary = deploying.deploy()
    if folder and not any(name.endswith(f"/{DATABASE}") for name in summary.missing):
        keep_database_url(folder, load_database_url())  # somebody may have changed the block in the UI
    for what, names in summary:
        if names:
            say(f"{what.replace('_', ' ')}: {', '.join(names)}")


def save_environment(folder: Path | None) -> None:
    """Save the secrets of the environment, if any, with the copies that a stack's folder keeps."""
    if blocks := read_environment(os.environ, job_names()):
        _save(blocks, folder)


def job_names() -> set[str]:
    """Return the names of the jobs, and those of their deployments as 'job/name'."""
    timetable, flows = read_timetable()
    return {flow.name for flow in flows.values()} | full_names(timetable, flows).keys()


def _save(blocks: Mapping[str, Block], folder: Path | None) -> None:
    changes = save_secrets(blocks)
    for kind in Change:
        if names := [name for name, change in changes.items() if change is kind]:
            say(f"{kind.value}: {', '.join(names)}")
    if folder and DATABASE in blocks:
        keep_database_url(folder, load_database_url())
    if folder and CRON_SECRET in blocks:
        write_private(folder / CRON_SECRET_FILE, load_cron_secret().current.get_secret_value())


def _text_of(source: str) -> str:
    try:
        return _read_standard_input() if source == "-" else _read_private(Path(source))
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read ({error.strerror}): check its path and mode") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{source} is not text in UTF-8: save it as UTF-8") from None


def _read_standard_input() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigurationError("standard input is a terminal, which shows what is typed: pipe the secrets in")
    return sys.stdin.read()


def _read_private(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            raise ConfigurationError(f"others can read {path} (mode {mode & 0o777:o}): run `chmod 600 {path}`")
        return file.read()
