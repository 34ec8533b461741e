"""Recording what is sent to a platform and what comes back: names, types and counts, never a value.

So a record can be shown to anyone: it has no id, no name, no token and no amount.
"""

import gzip
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson

STANDARD_HEADERS = frozenset({"accept-encoding", "connection", "content-length", "host", "user-agent"})
STANDARD_MEDIA = frozenset({"*/*", "application/json", "application/x-www-form-urlencoded"})
KEPT_SEGMENT = re.compile(r"v[\d.]+|o2|oauth2|\D*")
"""What stays of a path: versions, and whatever has no digit. The rest are ids."""
REGION = re.compile(r"^/(na|eu|fe)(?=/)")
"""In the sandbox, a folder stands for Amazon's host of a region."""
ID = re.compile(r"\d{4,}")
FIELD = re.compile(r"(?!.*\d{4})@?[A-Za-z_][\w.-]*", re.ASCII)
"""The name of a field. Whatever else is a key may be an id or a name that people chose."""
QUOTED = re.compile(r"'[^']*'")
GAQL_NAME = re.compile(r"[a-z_]+\.[a-z_.]+|(?<=FROM )[a-z_]+")
GZIP = b"\x1f\x8b"
SIGNED_URL = "{url}"
"""The path of a download: its address comes from the platform."""
TYPES = {str: "text", bool: "true or false", int: "number", float: "number", type(None): "null"}


@dataclass
class Exchange:
    """A request and its reply. `fields` has the type of each field of the reply; `status` is None without a reply."""

    method: str
    path: str
    headers: list[str]
    parameters: list[str]
    status: int | None = None
    seconds: float | None = None
    rows: int = 0
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[object, ...]:
        """What two requests of the same kind have in common."""
        return self.method, self.path, *self.parameters

    @property
    def is_refused(self) -> bool:
        """Whether the answer is an HTTP error. A duplicate (425) names what it duplicates, and is none."""
        return self.status is not None and self.status >= 400 and self.status != 425


class Recorder:
    """The exchanges of an HTTP client, in their order. `base_url` is in front of the paths of a sandbox."""

    def __init__(self, http: httpx.Client, base_url: str | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self._base = urlsplit(base_url or "").path
        http.event_hooks = {"request": [self._sent], "response": [self._answered]}

    def _sent(self, request: httpx.Request) -> None:
        exchange = exchange_of(request, self._base)
        request.extensions["sivera"] = (exchange, time.monotonic())
        self.exchanges.append(exchange)

    def _answered(self, response: httpx.Response) -> None:
        response.read()
        exchange, began = response.request.extensions["sivera"]
        exchange.status, exchange.seconds = response.status_code, round(time.monotonic() - began, 3)
        body = body_of(response.content)
        exchange.fields, exchange.rows = types_of(body), rows_in(body)


def exchange_of(request: httpx.Request, base: str = "") -> Exchange:
    """Describe a request by the names in it."""
    headers = [name for name, value in request.headers.items() if _is_ours(name, value)]
    parameters = {name for name, _ in parse_qsl(request.url.query.decode(), keep_blank_values=True)} | set(
        _body_names(request)
    )
    if request.method == "GET" and not headers and "client_id" not in parameters:
        return Exchange("GET", SIGNED_URL, [], [])  # nothing in it is ours
    path = REGION.sub("", request.url.path.removeprefix(base))
    return Exchange(request.method, "/".join(map(_without_id, path.split("/"))), sorted(headers), sorted(parameters))


def _without_id(segment: str) -> str:
    if KEPT_SEGMENT.fullmatch(segment):
        return segment
    return "act_{id}" if segment.startswith("act_") else "{id}"


def _is_ours(header: str, value: str) -> bool:
    """Whether one of our clients has set a header, and not the library."""
    return header not in STANDARD_HEADERS and not (header in ("accept", "content-type") and value in STANDARD_MEDIA)


def _body_names(request: httpx.Request) -> Iterator[str]:
    body = body_of(request.content)
    if not isinstance(body, dict):
        yield from (name for name, _ in parse_qsl(request.content.decode()))
        return
    for name, _ in fields_of(body):
        yield name.removesuffix("[]")
    if isinstance(query := body.get("query"), str):
        # Of a query, the names of its fields and of what they are of.
        yield from GAQL_NAME.findall(QUOTED.sub("", query))


def body_of(content: bytes) -> Any:
    """Parse a body, also a file of gzip; None if it is no JSON."""
    try:
        return orjson.loads(gzip.decompress(content) if content[:2] == GZIP else content)
    except (OSError, EOFError, zlib.error, orjson.JSONDecodeError):
        return None


def fields_of(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields within a value, by their dotted names, with the type of each."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from fields_of(inner, f"{name}.{key if FIELD.fullmatch(key) else '{id}'}".lstrip("."))
        case list():
            for inner in value or (None,):
                yield from fields_of(inner, f"{name}[]")
        case _:
            yield name, TYPES[type(value)]


def types_of(body: Any) -> dict[str, str]:
    """Return the fields of a reply, by name, with every type that each has in it."""
    found: dict[str, set[str]] = {}
    for name, kind in fields_of(body):
        found.setdefault(name, set()).add(kind)
    return {name: " or ".join(sorted(found[name])) for name in sorted(found)}


def rows_in(body: Any) -> int:
    """Count the objects in the first list of objects in a reply; a part of Google's stream has a list of its own."""
    match body:
        case dict():
            return next((count for inner in body.values() if (count := rows_in(inner))), 0)
        case [{"fieldMask": _}, *_]:
            return sum(map(rows_in, body))
        case list():
            return sum(isinstance(row, dict) for row in body)
        case _:
            return 0
