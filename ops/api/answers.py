"""The answers of the HTTP API, always JSON with `success` first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import ValidationError
from starlette.responses import JSONResponse

from blocks.server import misfits
from sivera.values import Value


class Run(Value):
    """A run of a job; `url` is its page in the Prefect UI."""

    id: UUID
    name: str
    url: str | None


class Healthy(Value):
    """Jobs can be started."""

    success: Literal[True] = True


class Started(Healthy):
    """The run was created and has not ended yet."""

    run: Run


class Finished(Value):
    """The run has ended. `data` is the payload of the event `sivera.<job>.finished`, or null if the run sent none."""

    success: bool
    message: str | None
    data: dict[str, Any] | None
    run: Run


class ScheduleEntry(Value):
    """A schedule of one of a job's deployments; `cron` is null if it is an interval or an RRULE."""

    deployment: str
    slug: str | None
    cron: str | None
    timezone: str | None
    active: bool


class Result(Value):
    """How the last run ended that was not cancelled."""

    success: bool
    state: str
    message: str | None
    ended_at: datetime | None
    run: Run


class JobEntry(Value):
    """A job, its next run and the result of its last one."""

    name: str
    description: str | None
    schedules: tuple[ScheduleEntry, ...]
    next_run: datetime | None
    last_result: Result | None


class Listing(Healthy):
    """All jobs."""

    jobs: tuple[JobEntry, ...]


class Misfit(Value):
    """What is wrong with one parameter, without its value."""

    where: str
    message: str


class Refusal(Value):
    """Why the call was refused. 404 lists the `jobs`, 409 names the active `run`, and 422 lists the `errors`."""

    success: Literal[False] = False
    message: str
    jobs: tuple[str, ...] | None = None
    run: Run | None = None
    errors: tuple[Misfit, ...] | None = None


class RefusedError(Exception):
    """Raised to answer with a refusal; `more` are fields of `Refusal`."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(status, message)
        self._status, self._headers = status, headers
        self._body = Refusal(message=message, **more)

    def response(self) -> JSONResponse:
        """Return the response."""
        return JSONResponse(self._body.model_dump(mode="json", exclude_none=True), self._status, self._headers)


def unavailable(message: str) -> RefusedError:
    """Return a refusal that asks the caller to try again soon."""
    return RefusedError(503, message, {"Retry-After": "5"})


@contextmanager
def refusing_misfits(where: str = "") -> Iterator[None]:
    """Answer 422 if pydantic raises within the context; `where` is what is read there, such as 'query'."""
    try:
        yield
    except ValidationError as error:
        found = tuple(
            Misfit(where=".".join(filter(None, (where, at))), message=message) for at, message in misfits(error)
        )
        sentence = "; ".join(": ".join(filter(None, (each.where, each.message))) for each in found)
        raise RefusedError(422, f"The parameters do not fit ({sentence}).", errors=found) from None
