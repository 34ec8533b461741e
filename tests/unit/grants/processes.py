"""Processes that start in milliseconds, because they are forked from the test and have imported everything already.

A target must open its own connections, or call `of_its_own` on a stage, since it cannot share the test's sockets.
"""

import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx

from tests.stage import Stage

CONTEXT: ForkContext = multiprocessing.get_context("fork")


@contextmanager
def running(target: Callable[..., None], count: int, *arguments: object) -> Iterator[list[BaseProcess]]:
    """Start processes, and kill those that are still running when the context ends."""
    processes: list[BaseProcess] = [CONTEXT.Process(target=target, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def run(target: Callable[..., None], *arguments: object) -> int:
    """Run a process to its end and return its exit code, -n if signal n ended it."""
    with running(target, 1, *arguments) as (process,):
        process.join(100)
        assert process.exitcode is not None, "it did not end within 100 seconds"
        return process.exitcode


def killed_at(last: int) -> Callable[..., None]:
    """Return a function that kills this process with SIGKILL when it is called for the n-th time."""
    steps = itertools.count(1)

    def step(*_: object) -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def watch_files(folder: Path, step: Callable[[], None], *actions: str) -> None:
    """Call `step` before each of these actions (audit events of Python) on a file below a folder."""

    def audit(name: str, arguments: tuple[object, ...]) -> None:
        if name in actions and str(arguments[0]).startswith(str(folder)):
            step()

    sys.addaudithook(audit)


def of_its_own(stage: Stage, http: httpx.Client) -> None:
    """Give a forked process its own connections. `http` must not have been used before."""
    stage.engine.dispose(close=False)
    stage.http = http
    stage.client.cache_clear()
    stage.tokens.cache_clear()
