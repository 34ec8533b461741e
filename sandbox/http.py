"""What the platforms share: a call, a reply, and the way from one to the other."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from sandbox.faults import FaultKind, spoil
from sandbox.world import World
from sivera.values import PlatformName

T = TypeVar("T")

GATEWAY_PAGE = "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"


@dataclass(frozen=True)
class Reply:
    """An answer. A `body` of bytes is sent as it is, anything else as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    @property
    def content(self) -> bytes:
        """The bytes to send."""
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


class Refusal(Exception):
    """Raised by a handler to answer with an error."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass(frozen=True)
class Call:
    """A request as a handler sees it; `path` holds the parameters of the route.

    `is_pending`: what it asks about is not ready, whatever the handler would say.
    """

    method: str
    url: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    is_pending: bool = False

    @cached_property
    def json(self) -> Any:
        """The body parsed from JSON; None when it is empty or malformed."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @cached_property
    def form(self) -> dict[str, str]:
        """The body parsed as a form."""
        return {
            key: values[0]
            for key, values in parse_qs(self.body.decode(errors="replace"), keep_blank_values=True).items()
        }


Handler = Callable[[Call], Reply]


class Backend(Protocol):
    """One platform of the sandbox."""

    platform: PlatformName
    world: World

    def throttled(self, call: Call, seconds: float) -> Reply:
        """Return this platform's 'slow down'."""

    def broken(self, call: Call, status: int) -> Reply:
        """Return this platform's error for an HTTP status."""

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return this platform's answer to a path it does not have, or has with other `methods` only."""

    def empty_page(self, call: Call) -> Reply:
        """Return a page without rows that leads to a next one, to a call that lists something."""

    def routes(self) -> list[Route]:
        """Return the platform's routes, made with `route`."""


class _Endpoint:
    """The ASGI application of one route: faults, latency, then the handler."""

    def __init__(self, backend: Backend, operation: str | Callable[[Call], str], handler: Handler) -> None:
        self.backend, self.operation, self.handler = backend, operation, handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call = Call(
            method=request.method,
            url=request.url.path + ("?" + request.url.query if request.url.query else ""),
            path=request.path_params,
            query=request.query_params,
            headers=request.headers,
            body=await request.body(),
        )
        try:
            response = await self._answer(call, receive)
        except Exception:
            logging.getLogger(__name__).exception("The sandbox failed at %s %s", call.method, call.url)
            response = _response(self.backend.broken(call, 500))
        if response is not None:
            await response(scope, receive, send)
            return
        # An answer that stops after its first byte makes the server close the connection.
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})

    async def _answer(  # noqa: C901, PLR0911, PLR0912 - one short arm for each kind of fault
        self, call: Call, receive: Receive
    ) -> Response | None:
        world = self.backend.world
        text = f"{call.url} {call.headers.get('amazon-advertising-api-scope', '')} {call.body.decode(errors='replace')}"
        operation = self.operation if isinstance(self.operation, str) else self.operation(call)
        fault = world.faults.take(self.backend.platform, operation, text, world.clock.now().timestamp())
        if world.faults.latency_seconds:
            await asyncio.sleep(world.faults.latency_seconds)
        if fault is None:
            return _response(self._reply(call, operation))
        match fault.kind:
            case FaultKind.THROTTLE:
                return _response(self.backend.throttled(call, fault.seconds))
            case FaultKind.STATUS:
                return _response(self.backend.broken(call, fault.status))
            case FaultKind.HTML:
                title = f"{fault.status} {HTTPStatus(fault.status).phrase}"
                return Response(GATEWAY_PAGE.format(title=title), fault.status, media_type="text/html")
            case FaultKind.TRUNCATED:
                reply = self._reply(call, operation)
                return Response(reply.content[: len(reply.content) // 2], reply.status, media_type="application/json")
            case FaultKind.BODY:
                return _response(Reply(fault.value, fault.status))
            case FaultKind.MALFORMED:
                return Response(b'{"unexpected":[{"shape":true}]}', 200, media_type="application/json")
            case FaultKind.DISCONNECT:
                self._reply(call, operation)
                return None
            case FaultKind.LATE_THROTTLE:
                self._reply(call, operation)
                return _response(self.backend.throttled(call, fault.seconds))
            case FaultKind.PENDING:
                return _response(self._reply(replace(call, is_pending=True), operation))
            case FaultKind.EMPTY_PAGE:
                return _response(self.backend.empty_page(call))
            case FaultKind.HANG:
                while (await receive())["type"] != "http.disconnect":
                    pass
                return None
            case FaultKind.ODD_ROW:  # never taken as a fault of a whole call
                return _response(self._reply(call, operation))

    def _reply(self, call: Call, operation: str) -> Reply:
        try:
            reply = self.handler(call)
        except Refusal as refusal:
            return refusal.reply
        faults = self.backend.world.faults
        rules = faults.odd_rows(self.backend.platform, operation)
        if not rules or reply.status >= 400:
            return reply
        return replace(reply, body=spoil(reply.content, rules, faults.use))


def _response(reply: Reply) -> Response:
    return Response(reply.content, reply.status, dict(reply.headers), reply.media_type)


def route(backend: Backend, method: str, path: str, operation: str | Callable[[Call], str], handler: Handler) -> Route:
    """Return a route; its calls are counted, and faults are matched, under the name `operation`.

    If one path serves several operations, `operation` is a function that names the operation of a call.
    """
    return Route(path, _Endpoint(backend, operation, handler), methods=[method])


def routes_of(backend: Backend) -> list[Route]:
    """Return a platform's routes, and after them one for whatever else is asked of it."""
    routes = backend.routes()

    def unknown(call: Call) -> Reply:
        scope = {"type": "http", "method": call.method, "path": f"/{call.path['path']}"}
        found = [each for each in routes if each.matches(scope)[0] is not Match.NONE]
        return backend.unknown(call, sorted(method for each in found for method in each.methods or ()))

    return [*routes, Route("/{path:path}", _Endpoint(backend, "unknown", unknown))]


def json_parameter(call: Call, name: str, kind: type[T], refusal: Callable[[str], Refusal]) -> T | None:
    """Return a query parameter that is JSON text; None if it is absent. `refusal` is for another kind of value."""
    if (text := call.query.get(name)) is None:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, kind):
        raise refusal(f"{name} must be a JSON {kind.__name__}")
    return value
