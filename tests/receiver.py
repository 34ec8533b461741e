"""An HTTP server of the loopback that stands for a monitor: it keeps what it gets, and answers as it is told."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request; the names of its headers are in lower case. `host` is whom it was for if this was only its proxy."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    host: str


@dataclass
class Receiver:
    """What it got, and its next answers: a status and headers each; when there are none left, 200.

    Once it is `silent`, it lets callers wait until `released`. With `tls` it is a proxy too, behind which every host is
    itself.
    """

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    silent: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    tls: ssl.SSLContext | None = None

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for, without their queries, in order."""
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
            self.wfile.write(b"ok")  # without it a message counts as refused by Slack

        do_GET = do_POST  # noqa: N815 - the same

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

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
