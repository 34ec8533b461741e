"""The limits on connections to the HTTP API, over real sockets."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ops.api.connections import NO_STORE, Connection
from tests.ops.http_api import WAIT_SECONDS, serving

GET = b"GET / HTTP/1.1\r\nHost: api\r\n\r\n"
HEAD_OF_POST = b"POST %s HTTP/1.1\r\nHost: api\r\nContent-Length: 9\r\n\r\n12"
released = threading.Event()


class SmallConnection(Connection):
    """With limits that a test can reach."""

    most = 3
    request_seconds = 0.5


async def answer(request: Request) -> PlainTextResponse:
    """Answer before the body has arrived, or read it and answer when the test says so."""
    if request.url.path != "/refused":
        await request.body()
        await anyio.to_thread.run_sync(released.wait)
    return PlainTextResponse("an answer")


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    released.set()
    routes = [Route(path, answer, methods=["GET", "POST"]) for path in ("/", "/refused")]
    with serving(Starlette(routes=routes), SmallConnection) as url:
        parts = urlsplit(url)
        yield parts.hostname or "", parts.port or 0


def connect(address: tuple[str, int], *sent: bytes) -> socket.socket:
    caller = socket.create_connection(address, timeout=WAIT_SECONDS)
    for data in sent:
        caller.sendall(data)
    return caller


def read(caller: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    try:
        while data := caller.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def check_answer(caller: socket.socket) -> None:
    """Read an answer on a connection that stays open."""
    received = b""
    while not received.endswith(b"an answer"):
        data = caller.recv(65536)
        assert data, received
        received += data


def check_refusal(received: bytes, status: int) -> None:
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert NO_STORE.encode() in head
    assert json.loads(body)["success"] is False


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ((), 408),
        ((GET[:20],), 408),
        ((HEAD_OF_POST % b"/",), 408),
        ((b"\x16\x03\x01 no HTTP\r\n\r\n",), 400),
        ((b"GET / HTTP/1.1\r\nHost: api\r\nX: ", b"x" * 65_536), 431),
    ],
    ids=["silent", "half a head", "half a body", "no HTTP", "a huge head"],
)
def test_a_request_that_does_not_arrive_is_refused(
    address: tuple[str, int], sent: tuple[bytes, ...], status: int
) -> None:
    with connect(address, *sent) as caller:
        check_refusal(read(caller), status)


def test_a_caller_that_was_refused_cannot_go_on_sending(address: tuple[str, int]) -> None:
    with connect(address, HEAD_OF_POST % b"/refused") as caller:
        assert read(caller).endswith(b"an answer")


def test_a_pipelined_request_has_the_same_time_limit(address: tuple[str, int]) -> None:
    for half in (GET[:20], HEAD_OF_POST % b"/"):
        with connect(address, GET + half) as caller:
            check_answer(caller)
            check_refusal(read(caller), 408)


def test_a_connection_stays_open_during_and_after_a_slow_answer(address: tuple[str, int]) -> None:
    released.clear()
    with connect(address, GET) as caller:
        for _ in range(2):
            with connect(address) as silent:
                check_refusal(read(silent), 408)  # the other connection is at least this old
            released.set()
            check_answer(caller)
            caller.sendall(GET)
        check_answer(caller)
        caller.sendall(GET[:9])
        check_refusal(read(caller), 408)


def test_connections_above_the_limit_are_refused_at_once(address: tuple[str, int]) -> None:
    with ExitStack() as opened:
        kept = [opened.enter_context(connect(address, GET)) for _ in range(SmallConnection.most)]
        for caller in kept:
            check_answer(caller)
        with connect(address) as caller:
            check_refusal(read(caller), 503)
        kept[0].sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert read(kept[0]).endswith(b"an answer")
        with connect(address, GET) as caller:
            check_answer(caller)
