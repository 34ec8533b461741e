"""The frame that all our flows share: run names, locks, announcements, and runs that end without work."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC
from functools import wraps
from typing import Any, TypeVar

from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.concurrency._asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Cancelled
from prefect.task_runners import ThreadPoolTaskRunner
from sqlalchemy.exc import SQLAlchemyError

from sivera.errors import ConfigurationError
from sivera.history.rules import ANOTHER_INSTANCE, SEE
from tasks import announcing
from tasks.failures import failed

OptionsT = TypeVar("OptionsT")

LEASE_SECONDS = 60
"""The shortest lease that Prefect allows. After it, the lock of a killed run is free again."""


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

    A run is named after the job, the time it was due (UTC) and the `words` of its options: `sync-campaigns 14:00
    incremental`. While it works it holds the job's locks, by default one named after the job, and it ends Cancelled if
    another run holds one. If the work is no longer needed, `skip` returns the state in which the run ends early. The
    timeout is a backstop: runs stop by themselves at the deadline of their options.
    """

    def run_name() -> str:
        due = flow_run.scheduled_start_time.astimezone(UTC)
        return " ".join((name, f"{due:%H:%M}", *words(flow_run.parameters["options"])))

    def decorate(work: Callable[[OptionsT], State]) -> Flow[[OptionsT], State]:
        @wraps(work)
        def run(options: OptionsT) -> State:
            if skipped := skip():
                return announcing.skip(skipped)
            names = locks(options) if locks else [name]
            try:
                with _hold(names):
                    announcing.start()
                    state = work(options)
            except ConcurrencySlotAcquisitionError as error:
                if "423" not in str(error):  # HTTP 423: another run holds a limit
                    raise ConfigurationError(
                        f"the Prefect server did not grant the locks {', '.join(names)}: run `sivera doctor`"
                    ) from None
                return announcing.skip(Cancelled(message=ANOTHER_INSTANCE))
            except SQLAlchemyError as error:
                state = failed(error)
            if state.is_failed():
                state.message = f"{(state.message or '').rstrip('.')}{SEE}{name}"
            return state

        runner: dict[str, Any] = {"task_runner": ThreadPoolTaskRunner(max_workers=threads)} if threads else {}
        made: Flow[[OptionsT], State] = flow(
            name=name, flow_run_name=run_name, timeout_seconds=timeout_seconds, **runner, **announcing.HOOKS
        )(run)
        return made

    return decorate


def _hold(names: Sequence[str]) -> AbstractContextManager[None]:
    """Return a context that holds all of these global concurrency limits, or none of them."""
    # The server silently ignores a limit that does not exist or is switched off.
    if names:
        with get_client(sync_client=True) as client:
            for name in names:
                try:
                    limit = client.read_global_concurrency_limit_by_name(name)
                except ObjectNotFound:
                    raise ConfigurationError(
                        f"the concurrency limit {name} does not exist: run `sivera deploy`"
                    ) from None
                if not limit.active:
                    raise ConfigurationError(f"the concurrency limit {name} is switched off: switch it on in the UI")
    return concurrency(
        list(names),
        max_retries=0,
        strict=True,
        lease_duration=LEASE_SECONDS,
        # A busy server that misses a renewal must not end a healthy run. Two runs at once are harmless: every write is
        # an upsert, and older data never overwrites newer data.
        raise_on_lease_renewal_failure=False,
    )
