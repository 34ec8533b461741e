"""What the door answers: always JSON, `success` first."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sivera.values import Value


class Run(Value):
    """A run of a job, and where the Prefect UI shows it."""

    id: UUID
    name: str
    url: str | None


class Started(Value):
    """The run is on its way; whether it does well shows later."""

    success: Literal[True] = True
    run: Run


class Finished(Value):
    """The run is over. `data` is the payload of the job's event `sivera.<job>.finished`, null where it sent none."""

    success: bool
    message: str | None
    data: dict[str, Any] | None
    run: Run


class Healthy(Value):
    """The Prefect server answers, and there is a secret to compare with."""

    success: Literal[True] = True


class ScheduleEntry(Value):
    """A schedule of one of a job's deployments, switched on or off; `cron` is null for other kinds."""

    deployment: str
    slug: str | None
    cron: str | None
    timezone: str | None
    active: bool


class Result(Value):
    """How the last run that was not cancelled ended."""

    success: bool
    state: str
    message: str | None
    ended_at: datetime | None
    run: Run


class JobEntry(Value):
    """A job, when it runs next, and how it went last."""

    name: str
    description: str | None
    schedules: tuple[ScheduleEntry, ...]
    next_run: datetime | None
    last_result: Result | None


class Listing(Value):
    """All jobs."""

    success: Literal[True] = True
    jobs: tuple[JobEntry, ...]


class Refusal(Value):
    """Why not."""

    success: Literal[False] = False
    message: str


class UnknownJob(Refusal):
    """There is nothing at that path; `jobs` are the names that there are."""

    jobs: tuple[str, ...]


class Overlap(Refusal):
    """The job is running already; `run` is the one that is."""

    run: Run


class Misfit(Value):
    """What is wrong with one parameter, without its value."""

    where: str
    message: str


class Invalid(Refusal):
    """The parameters do not fit the job's options; nothing was started."""

    errors: tuple[Misfit, ...]


class RefusedError(Exception):
    """Raised to answer with a refusal."""

    def __init__(self, status: int, body: Refusal, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body, headers)
        self.status, self.body, self.headers = status, body, headers


def unavailable(message: str) -> RefusedError:
    """Return the refusal of a call that could not be decided: it is to be tried again."""
    return RefusedError(503, Refusal(message=message), {"Retry-After": "5"})
