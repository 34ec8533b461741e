"""Processes that start in milliseconds: forked from the test, so they have imported everything already.

A target must open its own connections, or call `of_its_own` on a stage: sockets of the test are not its to use.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkContext
from multiprocessing.process import BaseProcess

import httpx

from tests.stage import Stage

CONTEXT: ForkContext = multiprocessing.get_context("fork")


@contextmanager
def running(target: Callable[..., None], count: int, *arguments: object) -> Iterator[list[BaseProcess]]:
    """Start processes; they have ended, or are killed, when the context ends."""
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


def of_its_own(stage: Stage, http: httpx.Client) -> None:
    """Give a forked process connections of its own; `http` is a client that was never used."""
    stage.engine.dispose(close=False)
    stage.http = http
    stage.client.cache_clear()
    stage.tokens.cache_clear()
