"""Mapping a task over many items, no faster than the platforms allow and the Prefect server records."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from prefect import Task, unmapped
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.results import ResultRecord
from prefect.runtime import flow_run
from prefect.utilities.annotations import opaque

from sivera.clock import utc_now
from sivera.queue import OfPlatform, WorkQueue
from tasks import resources
from tasks.calls import counted_calls
from tasks.progress import Progress, single_attempt

MAX_UNRECORDED = 500
"""Task runs that may have ended without the server having recorded them.

The server's in-memory queues drop messages beyond 10,000, three to four a task run, and what is dropped is never seen.
"""

LOOK_AGAIN_SECONDS = 1.0
GIVE_UP_SECONDS = 10.0
"""When nothing more was recorded for so long, what is missing is lost, and waiting for it would hold up the sync."""


ItemT = TypeVar("ItemT", bound=OfPlatform)
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)


class Tally(Protocol[ItemT_contra]):
    """Adds up a run."""

    def add(self, item: ItemT_contra, result: object, /) -> bool:
        """Take what an item's task returned or raised; return whether it is to be taken again in this run."""
        ...


class Recorder:
    """Knows how far the Prefect server is behind in recording task runs.

    Args:
        count: Asks the server how many it has recorded.
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(self, count: Callable[[], int], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._count, self._monotonic = count, monotonic
        self._recorded = self._lost = 0
        self._looked_at = self._advanced_at = monotonic()

    def is_behind(self, ended: int) -> bool:
        """Whether so many of `ended` task runs are not recorded that no more should begin."""
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
            # A flow may map twice; what the first time left is none of the second's.
            "start_time": {"after_": since.isoformat()},
        },
    }
    with single_attempt():
        return int(client.request("POST", "/task_runs/count", json=wanted).json())
    return 0  # a server that is away has recorded nothing more


def work_off(
    job: str,
    task: Task[..., Any],
    items: Sequence[ItemT],
    tally: Tally[ItemT],
    *,
    threads: int,
    at_once: int,
    until: float,
    **constants: object,
) -> None:
    """Map a task over items and add up what comes of them, with the job's progress in the UI.

    Args:
        job: The job's name.
        task: Takes an item as its first parameter, and the constants.
        items: In the order in which to take them.
        tally: Takes what became of each.
        threads: Of one platform at most half as many items are under way while others can be called.
        at_once: At most so many items are mapped and not ended.
        until: The monotonic time after which no item is begun.
        constants: The task's other parameters.
    """
    queue = WorkQueue(items, resources.breaker(), share=threads // 2)
    progress = Progress(job, total=len(items))
    with counted_calls():
        for item, result in _map(task, queue, at_once, until, constants):
            if tally.add(item, result):
                queue.put_back(item)
            else:
                progress.advance()


def _map(
    task: Task[..., Any], queue: WorkQueue[ItemT], at_once: int, until: float, constants: Mapping[str, object]
) -> Iterator[tuple[ItemT, object]]:
    """Map a task over the queue, a batch whenever there is room; yield each item with what its task returned or raised.

    The caller may put an item back while this iterates.
    """
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
    # What `state.result(raise_on_failure=False)` gives, without its detour over another thread for each account.
    return state.data.result if isinstance(state.data, ResultRecord) else state.data
