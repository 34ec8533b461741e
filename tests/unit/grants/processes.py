"""Processes that begin in milliseconds: forked from a server that has imported everything already."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
# There is one server for all tests of a process: whoever starts it, it has what each of them runs.
CONTEXT.set_forkserver_preload(
    [
        "tests.unit.grants.workers",
        "tests.unit.retention.test_cleaning",
        "tests.unit.sync.killed",
    ]
)


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
    """Run a process to its end and return its exit code, -n where signal n ended it."""
    with running(target, 1, *arguments) as (process,):
        process.join(100)
        assert process.exitcode is not None, "it did not end within 100 seconds"
        return process.exitcode
