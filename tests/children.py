"""How tests start a process of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def take_interrupts() -> None:
    """Let a new process be interrupted, even if the one that runs the tests ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# Some images of Python forbid to write bytecode. Then each process compiles all of Prefect, which takes two seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

AT_START = dict(os.environ)
"""The environment before any test: Prefect's command line, called in this process, does not keep it."""


def ignore_interrupts() -> None:
    """Let a new process ignore SIGINT, as a shell does for what a script starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def start_sivera(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start a `sivera` command in a folder, in the background of a script: it can be ended, and not interrupted.

    Its standard output is a pipe; its errors go to the file `said`.
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
            preexec_fn=ignore_interrupts,  # noqa: PLW1509 - it calls nothing that takes a lock
        )


def environment() -> dict[str, str]:
    """Ours, without what names another server or database."""
    return {name: value for name, value in AT_START.items() if not name.startswith(("PREFECT_", "SIVERA_"))}
