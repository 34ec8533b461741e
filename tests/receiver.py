"""A local HTTP server that stands for a monitor: it keeps requests and answers as it is told."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request, with the names of its headers in lower case. `host` is its target if this server was its proxy."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    host: str


@dataclass
class Receiver:
    """The requests, and the next answers, each a status and headers; without any, it answers 200.

    While it is `silent`, callers wait until it is `released`. With `tls` it is also a proxy that stands for every host.
    """

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    silent: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    tls: ssl.SSLContext | None = None

    @property
    def paths(self) -> list[str]:
        """The paths of the requests, without their queries, in order."""
        return [one.path.partition("?")[0] for one in self.received]

    def take(self, request: Received) -> tuple[int, dict[str, str]]:
        """Keep a request, and return the status and the headers of the answer."""
        self.received.append(request)
        return self.answers.pop(0) if self.answers else (200, {})


@contextmanager
def receiving(given: Receiver | None = None) -> Iterator[Receiver]:
    """Run a receiver until the context ends."""
    receiver = given or Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def do_CONNECT(self) -> None:
            assert receiver.tls
            self.host = self.path.partition(":")[0]
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            self.connection = receiver.tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.close_connection = False

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            status, more = receiver.take(Received(self.command, self.path, headers, body, self.host))
            if receiver.silent:
                receiver.released.wait(60)
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": "2", "Connection": "close", **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")  # without it, a message to Slack counts as refused

        do_GET = do_POST  # noqa: N815 - the same

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, *args: Any) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
