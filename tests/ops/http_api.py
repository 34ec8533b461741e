"""The HTTP API over real HTTP, and a connection to the Prefect server that can be cut."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial

import httpx
from starlette.types import ASGIApp

from ops.api.connections import Connection, make_server

WAIT_SECONDS = 110
END_SECONDS = 60


@contextmanager
def serving(app: ASGIApp, connection: type[Connection] = Connection) -> Iterator[str]:
    """Serve the API on a free port of the loopback, as `sivera api` does; yield its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(app, connection)
        # Prefect keeps the settings of a test in its context, which a thread has to be given.
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
    """Yield a client that sends a secret; it follows no redirect."""
    headers = {"Authorization": f"Bearer {secret}"} if secret is not None else {}
    with httpx.Client(base_url=url, headers=headers, timeout=WAIT_SECONDS) as client:
        yield client


class Line:
    """A TCP connection to a server of the loopback, by a port of its own."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """The port to call instead of the server's."""
        port: int = self._listener.getsockname()[1]
        return port

    def cut(self) -> None:
        """Refuse every caller from now on."""
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [caller, server]
                for source, target in ((caller, server), (server, caller)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
