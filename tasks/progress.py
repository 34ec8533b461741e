"""The progress of a run, as an artifact that the UI shows."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from blocks.server import SERVER_SECONDS, impatient

StepT = TypeVar("StepT")

UPDATE_SECONDS = 5.0
"""Each update is a call to the server, and the UI refreshes only every half minute."""


@contextmanager
def single_attempt(seconds: float = SERVER_SECONDS) -> Iterator[None]:
    """Ask the Prefect server once, and go on if it does not answer."""
    with suppress(httpx.HTTPError), impatient(seconds):
        yield


class Progress:
    """A progress artifact that is named after its job."""

    def __init__(self, job: str, total: int) -> None:
        self._total = max(total, 1)
        self._done = 0
        created = create_progress_artifact(0.0 if total else 100.0, key=f"{job}-progress", description=job)
        assert isinstance(created, UUID)  # noqa: S101 - it is a coroutine only in asynchronous code
        self._id = created
        self._updated_at = time.monotonic()

    def over(self, steps: Iterable[StepT]) -> Iterator[StepT]:
        """Yield the steps, and count each when the next one is requested."""
        for step in steps:
            yield step
            self.advance()

    def advance(self) -> None:
        """Count a step, and update the server now and then."""
        self._done += 1
        self.reach(self._done / self._total)

    def reach(self, share: float) -> None:
        """Set the share that is done, from 0 to 1. Update the server every few seconds, and at the end."""
        if share >= 1 or time.monotonic() - self._updated_at > UPDATE_SECONDS:
            self._updated_at = time.monotonic()
            with single_attempt():
                update_progress_artifact(self._id, 100.0 * share)
