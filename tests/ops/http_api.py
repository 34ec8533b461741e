"""Serves the HTTP API over real HTTP, checks its answers, and can take the Prefect server away."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import httpx
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from blocks.server import connect
from ops.api.app import Times
from ops.api.connections import NO_STORE, Connection, make_server
from ops.api.jobs import read_jobs
from sandbox.server import serve
from tests.ops.timetables import ALL, timetable
from tests.prefect_server import PrefectServer

WAIT_SECONDS = 110
END_SECONDS = 60

SECRET, OTHER = ("right-secret-Nr-1x", "other-secret-Nr-2x")
JOB = "/api/cron/sync-campaigns"
JOBS = read_jobs()
AT_ONCE = Times(cache=0, wrong_secret=0, event=0.2)
"""Without caching and delays."""

MARK = "A deployment of the tests of the HTTP API."
SYNC = ALL | {
    "entrypoint": "flows.sync_campaigns.sync_campaigns",
    "description": MARK,
    # Never during a test: a scheduled run would make each call a conflict.
    "schedules": [{"slug": "hourly", "cron": "0 0 29 2 *", "timezone": "UTC"}],
}
REFRESH = SYNC | {"entrypoint": "flows.refresh_tokens.refresh_tokens", "parameters": {"options": {}}, "schedules": []}
TIMETABLE = timetable(SYNC, SYNC | {"name": "google", "paused": True}, REFRESH)


@contextmanager
def serving(app: ASGIApp, connection: type[Connection] = Connection) -> Iterator[str]:
    """Serve the API on a free port of the loopback, as `sivera api` does; yield its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(app, connection)
        # Prefect keeps the settings of a test in its context, which threads do not inherit.
        run = partial(copy_context().run, server.run, sockets=[listener])
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=END_SECONDS)
            assert not thread.is_alive()


@contextmanager
def calling(url: str, secret: str | None = None) -> Iterator[httpx.Client]:
    """Yield a client that sends a secret and does not follow redirects."""
    headers = {"Authorization": f"Bearer {secret}"} if secret is not None else {}
    with httpx.Client(base_url=url, headers=headers, timeout=WAIT_SECONDS) as client:
        yield client


@contextmanager
def forwarding(server: PrefectServer) -> Iterator[str]:
    """Serve the API of a Prefect server at another address, which stops answering at the end; yield its URL."""
    origin = server.api_url.removesuffix("/api")

    async def forward(request: Request) -> Response:
        target, headers = f"{origin}{request.url.path}?{request.url.query}", dict(request.headers)
        async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
            answer = await client.request(request.method, target, headers=headers, content=await request.body())
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    with serve(Starlette(routes=[Route("/{rest:path}", forward, methods=["GET", "POST"])])) as url:
        yield f"{url}/api"


def runs(job: str = "sync-campaigns") -> list[FlowRun]:
    """The runs of a job that no schedule made."""
    with connect() as client:
        found = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[job])))
    return [run for run in found if not run.auto_scheduled]


def check(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check the status and what all answers have in common; return the body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == NO_STORE
    assert "location" not in answer.headers
    assert SECRET not in answer.text + str(answer.headers)
    body: dict[str, Any] = answer.json()
    if "data" not in body and "openapi" not in body:
        assert body["success"] is (status < 300)
    return body
