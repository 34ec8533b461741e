"""A job that can end in every way, for tests of what all jobs have in common. Run as a program, it never ends."""

import signal
import sys

from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict

from tasks.announcing import announce
from tasks.job import job

NAME = "example-job"

FAILURES: list[str] = []
"""Messages with which the next runs of this process fail."""


class ExampleOptions(BaseModel):
    model_config = ConfigDict(frozen=True)

    never_ends: bool = False


@job(NAME, timeout_seconds=60)
def example_job(options: ExampleOptions = ExampleOptions()) -> State:  # noqa: B008 - frozen
    """Process three things, fail, or wait forever."""
    if options.never_ends:
        sys.stdout.write("started\n")
        sys.stdout.flush()
        while True:
            # Not a lock: a signal that interrupts one may leave the process unable to end.
            signal.pause()
    if FAILURES:
        raise RuntimeError(FAILURES.pop())
    announce(success=True, processed=3, failed=0, deleted=2)
    return Completed(message="3 processed")


if __name__ == "__main__":
    example_job(ExampleOptions(never_ends=True), return_state=True)
