"""The sandbox over real HTTP: within a test's process, or as its own process for the demo and benchmarks."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from sandbox.app import create_app
from sandbox.world import World

KEEP_ALIVE_SECONDS = 60
"""Longer than clients keep an idle connection (httpx: 5 s): if the server closed it first, a call could be lost."""


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Serve a sandbox's application on a free loopback port in a thread; yield the base URL, without a final slash."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            # The socket already listens: early connections wait in its backlog.
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def run(world: World, port: int) -> None:
    """Serve a world on a loopback port until the process stops."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        _server(create_app(world)).run(sockets=[listener])


def _server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
    )
