"""What the HTTP API answers: always JSON, `success` first."""

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
    """A run of a job, and its page in the Prefect UI."""

    id: UUID
    name: str
    url: str | None


class Healthy(Value):
    """The Prefect server answers, and there is a secret to compare with."""

    success: Literal[True] = True


class Started(Healthy):
    """The run was created; it has not ended yet."""

    run: Run


class Finished(Value):
    """The run has ended. `data` is the payload of the event `sivera.<job>.finished`, or null if the run sent none."""

    success: bool
    message: str | None
    data: dict[str, Any] | None
    run: Run


class ScheduleEntry(Value):
    """A schedule of one of a job's deployments; `cron` is null for other kinds of schedules."""

    deployment: str
    slug: str | None
    cron: str | None
    timezone: str | None
    active: bool


class Result(Value):
    """How the last run ended, cancelled ones left out."""

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


class Listing(Healthy):
    """All jobs."""

    jobs: tuple[JobEntry, ...]


class Misfit(Value):
    """What is wrong with one parameter, without its value."""

    where: str
    message: str


class Refusal(Value):
    """Why the call was refused. 404 names the `jobs`, 409 the `run` that is under way, 422 the `errors`."""

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
        """Return it as an answer."""
        return JSONResponse(self._body.model_dump(mode="json", exclude_none=True), self._status, self._headers)


def unavailable(message: str) -> RefusedError:
    """Return the refusal that asks the caller to try again in a moment."""
    return RefusedError(503, message, {"Retry-After": "5"})


@contextmanager
def refusing_misfits(where: str = "") -> Iterator[None]:
    """Refuse the call if pydantic finds a value invalid while the body runs; `where` says what the body reads."""
    try:
        yield
    except ValidationError as error:
        found = tuple(
            Misfit(where=".".join(filter(None, (where, at))), message=message) for at, message in misfits(error)
        )
        sentence = "; ".join(": ".join(filter(None, (each.where, each.message))) for each in found)
        raise RefusedError(422, f"The parameters do not fit ({sentence}).", errors=found) from None
