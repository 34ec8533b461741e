"""The routes of the door; what each takes and answers is in its OpenAPI document."""

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any, get_origin

import httpx
from fastapi import Body, FastAPI, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from prefect.client.orchestration import get_client
from pydantic import BaseModel, Field, ValidationError, create_model
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp

from ops.api.answers import (
    Finished,
    Healthy,
    Invalid,
    Listing,
    Misfit,
    Overlap,
    Refusal,
    RefusedError,
    Started,
    UnknownJob,
    unavailable,
)
from ops.api.guard import Guard, SecretKeeper, to_response
from ops.api.jobs import Job
from ops.api.metrics import Figures
from ops.api.runs import Runs, to_run
from ops.api.throttle import Throttle
from sivera.errors import ConfigurationError
from sivera.metrics.exposition import CONTENT_TYPE

HEALTH, OPENAPI = "/healthz", "/openapi.json"
OPEN_PATHS = frozenset({HEALTH, OPENAPI})
JOBS = "/api/cron"
METRICS = "/metrics"

MAX_WAIT_SECONDS = 300
"""As long as the longest job may take."""

WAIT = (
    int,
    Field(
        default=0,
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="Seconds to wait for the end of the run; 0 answers as soon as it is started.",
    ),
)

PREFECT_TIMEOUT = httpx.Timeout(10.0, connect=1.5)

GUARDED: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "The secret is missing or wrong."},
    429: {"model": Refusal, "description": "Too many wrong secrets: `Retry-After` says when to try again."},
    503: {"model": Refusal, "description": "The Prefect server does not answer, or the secret will not do."},
}
STARTS: dict[int | str, dict[str, Any]] = GUARDED | {
    200: {"model": Finished, "description": "With `wait`: the run is over."},
    202: {"model": Started, "description": "The run is on its way."},
    409: {"model": Overlap, "description": "The job is running already."},
    422: {"model": Invalid, "description": "The parameters do not fit; nothing was started."},
}

logger = logging.getLogger("sivera.door")


def create_app(jobs: Mapping[str, Job], throttle: Throttle | None = None) -> ASGIApp:
    """Return the door to the jobs at the Prefect server that PREFECT_API_URL names.

    Args:
        jobs: By their names.
        throttle: Who has to wait for the next attempt at the secret.
    """
    client = get_client(httpx_settings={"timeout": PREFECT_TIMEOUT})
    figures = Figures(client)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield
        figures.close()

    app = FastAPI(
        title="Sivera Jobs",
        summary="Starts the scheduled jobs over HTTP.",
        version=version("sivera-jobs"),
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    keeper, runs = SecretKeeper(client), Runs(client)
    _add_overview(app, jobs, keeper, runs)
    _add_metrics(app, figures)
    for job in jobs.values():
        _add_job(app, job, runs)
    _add_refusals(app, tuple(jobs))
    return Guard(app, keeper, throttle or Throttle(time.monotonic), OPEN_PATHS)


def _add_overview(app: FastAPI, jobs: Mapping[str, Job], keeper: SecretKeeper, runs: Runs) -> None:
    @app.get(HEALTH, responses={503: GUARDED[503]})
    async def read_health() -> Healthy:
        """Say whether the door can start jobs."""
        await keeper.secret()
        return Healthy()

    @app.get(JOBS, responses=GUARDED, dependencies=[_documented_secret()])
    async def list_jobs() -> Listing:
        """List the jobs: their schedules, when each runs next, and how it went last."""
        return Listing(jobs=tuple([await runs.describe(job) for job in jobs.values()]))


def _add_metrics(app: FastAPI, figures: Figures) -> None:
    text = {"description": "The figures.", "content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.get(METRICS, responses=GUARDED | {200: text}, response_class=Response, dependencies=[_documented_secret()])
    async def read_metrics() -> Response:
        """Return the last collection of collect-metrics, and how old it is, in Prometheus' text format."""
        return Response(await figures.read(), media_type=CONTENT_TYPE)


def _add_job(app: FastAPI, job: Job, runs: Runs) -> None:
    """Add both ways to start a job; its own options model checks what they take, and documents it."""
    path, name = f"{JOBS}/{job.name}", job.name.replace("-", "_")
    # A query has no way to write an object: options that are one are for the body.
    flat: dict[str, Any] = {
        option: (field.annotation, field)
        for option, field in job.options.model_fields.items()
        if get_origin(field.annotation) is not dict
    }
    asked_in_query = create_model(
        f"{job.options.__name__}Query", __config__=job.options.model_config, **flat, wait=WAIT
    )
    asked_in_body: Any = job.options | None

    async def start(query: BaseModel, body: BaseModel | None) -> JSONResponse:
        asked = query.model_dump(mode="json", exclude_unset=True)
        wait = asked.pop("wait", 0)
        in_body = body.model_dump(mode="json", exclude_unset=True) if body else {}
        run = await runs.start(job, in_body | asked)
        answer = await runs.wait(job, run, wait) if wait else Started(run=to_run(run))
        return JSONResponse(answer.model_dump(mode="json"), 202 if isinstance(answer, Started) else 200)

    common: dict[str, Any] = {
        "summary": f"Start {job.name}",
        "description": job.description,
        "responses": STARTS,
        "dependencies": [_documented_secret()],
    }

    @app.get(path, operation_id=f"get_{name}", **common)
    async def start_by_query(query: Annotated[asked_in_query, Query()]) -> JSONResponse:
        return await start(query, None)

    @app.post(path, operation_id=f"post_{name}", **common)
    async def start_by_query_and_body(
        query: Annotated[asked_in_query, Query()],
        body: Annotated[asked_in_body, Body()] = None,
    ) -> JSONResponse:
        return await start(query, body)


def _documented_secret() -> Any:
    # The guard has checked it already; this only says so in the OpenAPI document.
    return Security(HTTPBearer(auto_error=False, description="The secret of the block `cron-secret`."))


def _add_refusals(app: FastAPI, names: tuple[str, ...]) -> None:
    """Answer in our own shape whatever goes wrong."""

    @app.exception_handler(HTTPException)
    async def refuse_path(request: Request, error: HTTPException) -> JSONResponse:
        match error.status_code:
            case 400:  # FastAPI says so of a body that is no text
                return _answer(422, _invalid([{"loc": ["body"], "msg": "It cannot be read"}]))
            case 404:
                return _answer(404, UnknownJob(message="There is no such job or path.", jobs=names))
            case 405:
                headers = {"Allow": ", ".join(_methods(app, request))}
                return _answer(405, Refusal(message="This path does not take that method."), headers)
            case _:
                return _answer(error.status_code, Refusal(message=error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def refuse_parameters(_request: Request, error: RequestValidationError | ValidationError) -> JSONResponse:
        return _answer(422, _invalid(error.errors()))

    @app.exception_handler(httpx.HTTPError)
    async def say_prefect_fails(_request: Request, error: httpx.HTTPError) -> JSONResponse:
        # Not the error's own words: they hold the address of the server.
        status = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else None
        what = f"failed ({status})" if status else f"does not answer ({type(error).__name__})"
        logger.error("The Prefect server %s", what)
        return to_response(unavailable(f"The Prefect server {what}."))

    @app.exception_handler(ConfigurationError)
    async def say_what_is_missing(_request: Request, error: ConfigurationError) -> JSONResponse:
        logger.error("%s", error)
        return to_response(unavailable(str(error)))

    @app.exception_handler(RefusedError)
    async def refuse(_request: Request, error: RefusedError) -> JSONResponse:
        return to_response(error)

    @app.exception_handler(Exception)
    async def say_defect(_request: Request, _error: Exception) -> JSONResponse:
        return _answer(500, Refusal(message="This is a defect of the door: see its log."))


def _answer(status: int, body: Refusal, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return to_response(RefusedError(status, body, headers))


def _invalid(errors: Sequence[Mapping[str, Any]]) -> Invalid:
    """Return what is wrong, without the values: one may be a secret in the wrong place."""
    found = tuple(
        Misfit(where=".".join(map(str, each["loc"])), message=str(each["msg"]).removeprefix("Value error, "))
        for each in errors
    )
    sentence = "; ".join(f"{each.where}: {each.message}" for each in found)
    return Invalid(message=f"The parameters do not fit ({sentence}).", errors=found)


def _methods(app: FastAPI, request: Request) -> list[str]:
    matching = [route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in matching for method in getattr(route, "methods", None) or ()})
