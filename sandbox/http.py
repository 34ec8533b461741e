"""What the platforms share: calls, replies, faults and routes."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from sandbox.faults import Fault, FaultKind, spoil
from sandbox.world import World
from sivera.values import PlatformName

TAKES_EFFECT = (
    FaultKind.TRUNCATED,
    FaultKind.DISCONNECT,
    FaultKind.LATE_THROTTLE,
    FaultKind.EMPTY_PAGE,
)
"""The faults in spite of which a call takes effect."""
GATEWAY_PAGE = "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"


class Parameters(BaseModel):
    """The parameters of a call, or of a part of it; any other is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Reply:
    """An answer. Bytes are sent as they are, any other `body` as JSON."""

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
    """A request. `path` holds the parameters of the route; the handler has to act on `fault`."""

    method: str
    url: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    fault: FaultKind | None = None

    def asked(self, model: type[P]) -> P:
        """Return the query as a model; raise ValueError if it is wrong."""
        return model.model_validate(dict(self.query))

    def sent(self, model: type[P]) -> P:
        """Return the JSON body as a model; raise ValueError if it is wrong."""
        if "json" not in self.headers.get("content-type", ""):
            raise ValueError("The Content-Type must be that of JSON.")
        return model.model_validate_json(self.body)

    @property
    def bearer(self) -> str:
        """The bearer token, or an empty text."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else ""

    @cached_property
    def form(self) -> dict[str, str]:
        """The body parsed as a form."""
        fields = parse_qs(self.body.decode(errors="replace"), keep_blank_values=True)
        return {key: values[0] for key, values in fields.items()}


Handler = Callable[[Call], Reply]
Entry = tuple[str, str, str | Callable[[Call], str], Handler]
"""A route: method, path, operation and handler. Calls are counted and faults matched by their operation.

If a path serves several operations, a function names the operation of a call.
"""


class Backend(Protocol):
    """One platform of the sandbox."""

    platform: PlatformName
    world: World
    routes: list[Entry]

    def throttled(self, call: Call, fault: Fault) -> Reply:
        """Return this platform's throttling error."""

    def broken(self, call: Call, status: int) -> Reply:
        """Return this platform's error with an HTTP status."""

    def invalid(self, call: Call, words: str) -> Reply:
        """Return this platform's answer to invalid parameters or an invalid body."""

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return this platform's answer to an unknown path, or to a known path with other `methods`."""


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
            reply = await self._answer(call, receive)
        except Exception:
            logging.getLogger(__name__).exception("The sandbox failed at %s %s", call.method, call.url)
            reply = self.backend.broken(call, 500)
        if reply is not None:
            response = Response(reply.content, reply.status, dict(reply.headers), reply.media_type)
            await response(scope, receive, send)
            return
        # An answer that stops after its first byte makes the server close the connection.
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})

    async def _answer(self, call: Call, receive: Receive) -> Reply | None:
        """Return the answer; None closes the connection without one."""
        world = self.backend.world
        text = f"{call.url} {call.headers.get('amazon-advertising-api-scope', '')} {call.body.decode(errors='replace')}"
        operation = self.operation if isinstance(self.operation, str) else self.operation(call)
        fault = world.faults.take(self.backend.platform, operation, text)
        if world.faults.latency_seconds:
            await asyncio.sleep(world.faults.latency_seconds)
        if fault is None:
            return self._reply(call, operation)
        if fault.kind is FaultKind.HANG:
            while (await receive())["type"] != "http.disconnect":
                pass
            return None
        reply = self._reply(replace(call, fault=fault.kind), operation) if fault.kind in TAKES_EFFECT else None
        return self._faulty(call, fault, reply)

    def _faulty(self, call: Call, fault: Fault, reply: Reply | None) -> Reply | None:
        """Return the answer to a call that goes wrong; `reply` is the right one if the call took effect."""
        match fault.kind:
            case FaultKind.THROTTLE | FaultKind.LATE_THROTTLE:
                return self.backend.throttled(call, fault)
            case FaultKind.STATUS:
                return self.backend.broken(call, fault.status)
            case FaultKind.HTML:
                page = GATEWAY_PAGE.format(title=f"{fault.status} {HTTPStatus(fault.status).phrase}")
                return Reply(page.encode(), fault.status, media_type="text/html")
            case FaultKind.BODY:
                return Reply(fault.value, fault.status)
            case FaultKind.TRUNCATED if reply is not None:
                return replace(reply, body=reply.content[: len(reply.content) // 2])
        return None if fault.kind is FaultKind.DISCONNECT else reply

    def _reply(self, call: Call, operation: str) -> Reply:
        try:
            reply = self.handler(call)
        except Refusal as refusal:
            return refusal.reply
        except ValueError as error:  # pydantic's are ValueErrors too
            return self.backend.invalid(call, _words_of(error))
        rules = self.backend.world.faults.odd_rows(self.backend.platform, operation)
        if not rules or reply.status >= 400:
            return reply
        return replace(reply, body=spoil(reply.content, rules))


def _words_of(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


def routes_of(backend: Backend) -> list[Route]:
    """Return a platform's routes, followed by one for every other path."""
    routes = [
        Route(path, _Endpoint(backend, operation, handler), methods=[method])
        for method, path, operation, handler in backend.routes
    ]

    def unknown(call: Call) -> Reply:
        scope = {"type": "http", "method": call.method, "path": f"/{call.path['path']}"}
        found = [each for each in routes if each.matches(scope)[0] is not Match.NONE]
        return backend.unknown(call, sorted(method for each in found for method in each.methods or ()))

    return [*routes, Route("/{path:path}", _Endpoint(backend, "unknown", unknown))]
