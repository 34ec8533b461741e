"""The sandbox over real HTTP: in this process for tests, or as a process of its own for the demo and benchmarks."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from sivera.sandbox.app import create_app
from sivera.sandbox.world import World


@contextmanager
def serve(world: World) -> Iterator[str]:
    """Serve a world on a free loopback port in a thread; yield the base URL, without a final slash."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _server(world)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            # The socket listens already: whoever connects before the server is up waits in its backlog.
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def run(world: World, port: int) -> None:
    """Serve a world on a loopback port until the process is told to stop."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        _server(world).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that stops in milliseconds where uvicorn takes two tenths of a second: a test suite stops hundreds."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # noqa: ASYNC110 - the flag is set by another thread
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=self.config.timeout_graceful_shutdown)


def _server(world: World) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(world), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    return _Server(config)
