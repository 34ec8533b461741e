"""The frame of a job: what all flows have in common."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled
from prefect.task_runners import ThreadPoolTaskRunner

from tasks import announcing
from tasks.naming import named
from tasks.overlap import AnotherInstanceError, only_instance

OptionsT = TypeVar("OptionsT")


def job(
    name: str,
    *,
    timeout_seconds: int,
    locks: Callable[[OptionsT], Sequence[str]] | None = None,
    words: Callable[[OptionsT], Iterable[str]] = lambda _: (),
    threads: int | None = None,
    skip: Callable[[], State | None] = lambda: None,
) -> Callable[[Callable[[OptionsT], State]], Flow[[OptionsT], State]]:
    """Make a flow of a function that does a job's work and returns the run's final state.

    A run is named after the job, its time and its options. It holds the job's locks while it works, and ends Cancelled
    if another run holds one of them. Its end is announced.

    Args:
        name: The job's name.
        timeout_seconds: The backstop. A run stops by itself at its options' deadline, which is earlier.
        locks: The global concurrency limits that a run with these options holds; by default one named after the job.
        words: Words for the run's name that distinguish these options from others.
        threads: How many tasks run at the same time.
        skip: Returns the state with which a run ends early if its work is no longer needed, else None.
    """

    def decorate(work: Callable[[OptionsT], State]) -> Flow[[OptionsT], State]:
        @wraps(work)
        def run(options: OptionsT) -> State:
            if skipped := skip():
                return announcing.skip(skipped)
            try:
                with only_instance(locks(options) if locks else [name]):
                    announcing.start()
                    return work(options)
            except AnotherInstanceError as error:
                return announcing.skip(Cancelled(message=str(error)))

        runner: dict[str, Any] = {"task_runner": ThreadPoolTaskRunner(max_workers=threads)} if threads else {}
        made: Flow[[OptionsT], State] = flow(
            name=name, flow_run_name=named(name, words), timeout_seconds=timeout_seconds, **runner, **announcing.HOOKS
        )(run)
        return made

    return decorate
