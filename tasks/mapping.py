"""Map a task over many items, as fast as the platforms and the Prefect server can keep up."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from uuid import UUID

from prefect import Task, unmapped
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.results import ResultRecord
from prefect.runtime import flow_run
from prefect.utilities.annotations import opaque
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.clock import utc_now
from sivera.database_errors import sentence
from sivera.metrics.queries import add_calls
from sivera.queue import OfPlatform, WorkQueue
from tasks import resources
from tasks.progress import Progress, single_attempt

logger = logging.getLogger("sivera.metrics")

MAX_UNRECORDED = 500
"""How many ended task runs the server may have left to record.

Each task run sends three to four messages, and the server's in-memory queues silently drop messages beyond 10,000.
"""

LOOK_AGAIN_SECONDS = 1.0
GIVE_UP_SECONDS = 10.0
"""If the server records nothing for this long, the missing task runs are lost, and the run stops waiting for them."""

ItemT = TypeVar("ItemT", bound=OfPlatform)


class Recorder:
    """Knows how far the Prefect server is behind with task runs; `count` asks it how many it has recorded."""

    def __init__(self, count: Callable[[], int], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._count, self._monotonic = count, monotonic
        self._recorded = self._lost = 0
        self._looked_at = self._advanced_at = monotonic()

    def is_behind(self, ended: int) -> bool:
        """Whether no more task runs should start, because too many of the `ended` ones are not recorded yet."""
        now = self._monotonic()
        if self._unrecorded(ended) <= MAX_UNRECORDED:
            self._advanced_at = now
        elif now - self._looked_at >= LOOK_AGAIN_SECONDS:
            recorded, self._looked_at = self._count(), now
            if recorded > self._recorded:
                self._lost = max(0, self._lost - (recorded - self._recorded))
                self._recorded, self._advanced_at = recorded, now
            elif now - self._advanced_at >= GIVE_UP_SECONDS:
                self._lost, self._advanced_at = ended - self._recorded, now
        return self._unrecorded(ended) > MAX_UNRECORDED

    def _unrecorded(self, ended: int) -> int:
        return ended - self._recorded - self._lost


def _count_ended(client: SyncPrefectClient, flow_run_id: str, since: datetime) -> int:
    wanted = {
        "flow_runs": {"id": {"any_": [flow_run_id]}},
        "task_runs": {
            "state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}},
            # A flow may map twice, and the second time must not count the task runs of the first.
            "start_time": {"after_": since.isoformat()},
        },
    }
    with single_attempt():
        return int(client.request("POST", "/task_runs/count", json=wanted).json())
    return 0  # the server does not answer


def work_off(
    job: str,
    task: Task[..., Any],
    items: Sequence[ItemT],
    add: Callable[[ItemT, object], float | None],
    *,
    threads: int,
    at_once: int,
    until: float,
    **constants: object,
) -> None:
    """Map a task over items in their order, and show the job's progress in the UI.

    The task gets an item and the `constants`. `add` gets the item and what the task returned or raised, and returns the
    seconds until the run tries it again, if it does. At most `at_once` items are mapped at the same time, and none
    starts after the monotonic time `until`. While other platforms can be called, the items of one platform get at most
    half of the flow's `threads`.
    """
    queue = WorkQueue(items, resources.breaker(), share=threads // 2)
    progress = Progress(job, total=len(items))
    with _counted_calls():
        for item, result in _map(task, queue, at_once, until, constants):
            if (seconds := add(item, result)) is not None:
                queue.put_back(item, seconds)
            else:
                progress.advance()


def _map(
    task: Task[..., Any], queue: WorkQueue[ItemT], at_once: int, until: float, constants: Mapping[str, object]
) -> Iterator[tuple[ItemT, object]]:
    """Yield each item with what its task returned or raised. The caller may put an item back during the iteration."""
    ended: SimpleQueue[tuple[ItemT, PrefectFuture[Any]]] = SimpleQueue()
    fixed: dict[str, Any] = {name: unmapped(value) for name, value in constants.items()}
    running = total = 0
    with get_client(sync_client=True) as client:
        recorder = Recorder(partial(_count_ended, client, str(flow_run.id), utc_now()))
        while True:
            room = 0 if time.monotonic() > until or recorder.is_behind(total) else at_once - running
            batch = queue.take(room) if room >= max(1, at_once // 4) else []
            if batch:
                for item, future in zip(batch, task.map(opaque(batch), **fixed), strict=True):
                    future.add_done_callback(partial(lambda a, f: ended.put((a, f)), item))
                running += len(batch)
            if not running and time.monotonic() + queue.seconds_to_wait() > until:
                return
            try:
                item, future = ended.get(timeout=LOOK_AGAIN_SECONDS)
            except Empty:
                continue
            running, total = running - 1, total + 1
            queue.ended(item)
            future.wait()
            yield item, _outcome(future.state)


def _outcome(state: State) -> object:
    # Like `state.result(raise_on_failure=False)`, which takes a detour through another thread.
    return state.data.result if isinstance(state.data, ResultRecord) else state.data


@contextmanager
def _counted_calls() -> Iterator[None]:
    """Record the platform calls of the body as calls of this run, even if the body raises."""
    before = resources.breaker().calls()
    try:
        yield
    finally:
        made = {platform: now.since(before[platform]) for platform, now in resources.breaker().calls().items()}
        try:
            with Session(resources.engine()) as session, session.begin():
                add_calls(session, UUID(flow_run.id), made)
        except SQLAlchemyError as error:
            # Losing these figures is not a reason to fail the run.
            logger.warning("The calls of this run were not recorded: %s", sentence(error))
