"""The HTTP server: uvicorn, with limits on open connections and on the time that a request may take to arrive."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import ClassVar

import h11
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

NO_STORE = "no-cache, no-store, must-revalidate"
END_SECONDS = 2
"""How long open calls may still take after the server is told to stop. The runs that they wait for go on."""


class Connection(H11Protocol):
    """A connection that is closed if too many are open, or if a request takes too long to arrive."""

    most: ClassVar = 500
    """How many may be open, busy or idle. Systems usually allow a process 1,024 open files."""
    request_seconds: ClassVar = 10.0
    """How long a request may take to arrive, from the connection or its first byte to the end of its body."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or refuse it."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open.", ("Retry-After", "5"))
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Read on, and start or stop the clock of the request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Start the clock of a request that arrived right behind the one that was answered."""
        super().on_response_complete()
        if self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]:
            self._unset_keepalive_if_required()
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._unwatch()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with 400, and headers that are too large with 431, as h11 hints."""
        hint = getattr(sys.exception(), "error_status_hint", HTTPStatus.BAD_REQUEST)
        if hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            msg = "The headers of the request are too large."
        self._refuse(HTTPStatus(hint), msg)

    def _watch(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY) or self.transport.is_closing():
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self._give_up)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.conn.their_state is h11.SEND_BODY and self.cycle.response_started:
            self.transport.abort()  # it was refused, but still sends its body
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request took too long to arrive.")

    def _refuse(self, status: HTTPStatus, message: str, *headers: tuple[str, str]) -> None:
        body = json.dumps({"success": False, "message": message})
        every = (
            *(("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", NO_STORE)),
            *(("Connection", "close"), *headers),
        )
        head = "".join(f"{name}: {value}\r\n" for name, value in every)
        self.transport.write(f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n{body}".encode())
        self.transport.close()


def make_server(app: ASGIApp, connection: type[Connection] = Connection) -> uvicorn.Server:
    """Return an HTTP server. It does not log requests, which may hold a secret or a code."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=connection,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            headers=[("Cache-Control", NO_STORE)],
            ws="none",
            lifespan="on",
            # Longer than proxies keep idle connections (nginx: 60 s); otherwise they may use one that is being closed.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=END_SECONDS,
        )
    )


def route(path: str, endpoint: Callable[[Request], Awaitable[Response]], *methods: str) -> Route:
    """Return a route for these methods only: Starlette would answer HEAD like GET, and start a run or use up a code."""
    made = Route(path, endpoint)
    made.methods = set(methods)
    return made
