"""The routes of the HTTP API. Its OpenAPI document describes their parameters and answers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import get_origin

import anyio.to_thread
import httpx
from prefect.client.orchestration import PrefectClient, get_client
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blocks.cron_secret import CronSecret
from blocks.database import aload_database_url
from ops.api.answers import Healthy, Listing, RefusedError, Started, refusing_misfits, unavailable
from ops.api.connect import PREFIX, ConnectPages
from ops.api.connections import route
from ops.api.guard import Cached, Guard, read_secret
from ops.api.jobs import Job
from ops.api.openapi import HEALTH, JOBS, METRICS, OPENAPI, describe
from ops.api.runs import Runs, to_run
from sivera.clock import read_clock
from sivera.database import check_writes, engine_on
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError
from sivera.metrics.exposition import CONTENT_TYPE, to_text
from sivera.metrics.queries import read_latest
from sivera.proxies import reason_of
from sivera.settings import read_settings
from sivera.values import Value

PREFECT_TIMEOUT = httpx.Timeout(10.0, connect=1.5)
STATEMENT_SECONDS = 5

logger = logging.getLogger("sivera.api")


@dataclass(frozen=True)
class Times:
    """Times of the API, in seconds."""

    cache: float = 3.0
    """How long the secret and the database's health are cached."""
    wrong_secret: float = 1.0
    """How long the answer to a wrong secret is delayed."""
    event: float = 30.0
    """How long to look for the event of a run that has ended. Prefect writes events every five seconds."""


def create_app(jobs: Mapping[str, Job], times: Times | None = None) -> Starlette:
    """Return the HTTP API of these jobs, by name, for the Prefect server at PREFECT_API_URL."""
    times = times or Times()
    client = get_client(httpx_settings={"timeout": PREFECT_TIMEOUT})
    secret = Cached(partial(read_secret, client), times.cache)
    health = Cached(partial(_check_database, client), times.cache)
    api = _Api(jobs, client, secret, health, Runs(client, times.event))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    starts = [route(f"{JOBS}/{name}", partial(api.start, job), "GET", "POST") for name, job in jobs.items()]
    handled = (HTTPException, ClientDisconnect, RefusedError, ConfigurationError, httpx.HTTPError, Exception)
    app = Starlette(
        routes=[
            Route(HEALTH, api.read_health),
            Route(OPENAPI, api.read_openapi),
            Route(METRICS, api.read_metrics),
            Route(JOBS, api.list_jobs),
            *starts,
            *_connect_pages(),
        ],
        middleware=[
            Middleware(
                Guard,
                secret=secret,
                is_open=lambda path: path in (HEALTH, OPENAPI) or path.startswith(PREFIX),
                delay_seconds=times.wrong_secret,
            )
        ],
        exception_handlers=dict.fromkeys(handled, api.refuse),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _connect_pages() -> list[Route]:
    """Return the pages on which teams connect accounts, or a refusal in their place if SIVERA_PUBLIC_URL is invalid."""
    try:
        return ConnectPages(read_settings().public_url).routes()
    except ConfigurationError as error:
        refusal = str(error)
    logger.error("Teams cannot connect accounts: %s", refusal)

    async def refuse(_: Request) -> Response:
        raise unavailable(refusal)

    return [Route(f"{PREFIX}{{rest:path}}", refuse)]


@dataclass(frozen=True)
class _Api:
    jobs: Mapping[str, Job]
    client: PrefectClient
    secret: Cached[CronSecret]
    database: Cached[None]
    runs: Runs

    async def read_health(self, _request: Request) -> Response:
        await self.secret.read()
        await self.database.read()
        return _to_json(Healthy())

    async def read_openapi(self, _request: Request) -> Response:
        return JSONResponse(describe(self.jobs))

    async def read_metrics(self, _request: Request) -> Response:
        url = await aload_database_url(self.client)
        return Response(await anyio.to_thread.run_sync(_read_figures, url), media_type=CONTENT_TYPE)

    async def list_jobs(self, _request: Request) -> Response:
        return _to_json(Listing(jobs=tuple([await self.runs.describe(job) for job in self.jobs.values()])))

    async def start(self, job: Job, request: Request) -> Response:
        """Start a job. The query overrides the body, and both override the options of the deployment."""
        with refusing_misfits("query"):
            query = job.query.model_validate(_read_query(job, request)).model_dump(mode="json", exclude_unset=True)
        sent = await request.body() if request.method == "POST" else b""
        with refusing_misfits("body"):
            body = None if sent.strip() in (b"", b"null") else job.options.model_validate_json(sent)
        wait = query.pop("wait", 0)
        run = await self.runs.start(job, (body.model_dump(mode="json", exclude_unset=True) if body else {}) | query)
        try:
            answer = await self.runs.wait(job, run, wait) if wait else Started(run=to_run(run))
        except asyncio.CancelledError:
            raise unavailable("The HTTP API is stopping; the run goes on.") from None
        return _to_json(answer, 202 if isinstance(answer, Started) else 200)

    async def refuse(self, _request: Request, error: Exception) -> Response:
        """Turn any error into an answer of our own format."""
        match error:
            case RefusedError():
                refused = error
            case HTTPException(status_code=404):
                refused = RefusedError(404, "There is no such job or path.", jobs=tuple(self.jobs))
            case HTTPException(status_code=405):
                allowed = ", ".join(sorted((error.headers or {})["Allow"].split(", ")))
                refused = RefusedError(405, "This path does not allow that method.", {"Allow": allowed})
            case ClientDisconnect():
                refused = RefusedError(
                    400, "The request was cut off."
                )  # nobody reads it, but it is not a defect of ours
            case HTTPException():
                refused = RefusedError(error.status_code, error.detail, error.headers)
            case ConfigurationError():
                logger.error("%s", error)
                refused = unavailable(str(error))
            case httpx.HTTPError():
                # The error itself would show the address of the server.
                status = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else None
                why = reason_of(error, str(self.client.api_url), "PREFECT_API_SSL_CERT_FILE")
                what = f"failed ({status})" if status else f"does not answer ({why})"
                logger.error("The Prefect server %s", what)
                refused = unavailable(f"The Prefect server {what}.")
            case _:
                refused = RefusedError(
                    500, "This is a defect of the HTTP API: report it with the traceback in its log."
                )
        return refused.response()


async def _check_database(client: PrefectClient) -> str | None:
    """Return None if the database accepts writes, otherwise a sentence without host and user. The log says more."""
    try:
        url = await aload_database_url(client)
        await anyio.to_thread.run_sync(_check_writes, url)
    except ConfigurationError as error:
        said = str(error)
    except SQLAlchemyError as error:
        said = sentence(error)
    else:
        return None
    logger.error("The HTTP API is not healthy: %s", said)
    return "The database does not answer or takes no writes: `sivera doctor` says more."


def _check_writes(url: URL) -> None:
    with engine_on(url, statement_seconds=STATEMENT_SECONDS) as engine:
        check_writes(engine)


def _read_query(job: Job, request: Request) -> dict[str, str | list[str]]:
    """Return all values of options that are lists, and the last value of each other option."""
    lists = {name for name, field in job.query.model_fields.items() if get_origin(field.annotation) in (tuple, list)}
    query = request.query_params
    return {name: query.getlist(name) if name in lists else query[name] for name in query}


def _read_figures(url: URL) -> bytes:
    """Return the last collected metrics in Prometheus' text format."""
    try:
        with engine_on(url, statement_seconds=STATEMENT_SECONDS) as engine, Session(engine) as session:
            return to_text(read_latest(session), read_clock(session))
    except SQLAlchemyError as error:
        said = sentence(error)
        raise unavailable(f"{said[0].upper()}{said[1:]}.") from None


def _to_json(body: Value, status: int = 200) -> JSONResponse:
    return JSONResponse(body.model_dump(mode="json"), status)
