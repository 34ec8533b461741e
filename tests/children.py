"""Start processes, and find those that are left of a folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil


def take_interrupts() -> None:
    """Let a new process react to SIGINT, even if the tests ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# Some images of Python write no bytecode. Then each process takes two seconds to compile all of Prefect.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

AT_START = dict(os.environ)
"""The environment before any test: Prefect's command line changes it when it is called in this process."""


def ignore_interrupts() -> None:
    """Make a new process ignore SIGINT, as a shell does for what a script starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def start_sivera(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start a `sivera` command in a folder, like a script that starts it in the background.

    Its standard output is a pipe, and its errors go to the file `said`.
    """
    with (folder / "said").open("a") as said:
        return subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-P", "-m", "ops.cli", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            preexec_fn=ignore_interrupts,  # noqa: PLW1509 - it takes no lock
        )


def environment() -> dict[str, str]:
    """Our environment, without variables that name a server or a database."""
    return {name: value for name, value in AT_START.items() if not name.startswith(("PREFECT_", "SIVERA_"))}


def processes_of(folder: Path) -> list[psutil.Process]:
    """The other processes that work in a folder, or have it in their command line or environment."""
    own = psutil.Process().pid
    return [process for process in psutil.process_iter() if process.pid != own and _is_of(process, folder)]


def still_alive(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """The processes that have not ended after this time."""
    return psutil.wait_procs(processes, timeout=seconds)[1]


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        marks = [*process.cmdline(), *process.environ().values(), process.cwd()]
    except psutil.Error:
        return False  # it has just ended, or belongs to another user
    return any(str(folder) in mark for mark in marks)
