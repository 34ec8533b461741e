"""Recording what is sent to a platform and what comes back: names of fields, types and counts, never a value.

A record can be shown to anyone, because it has no ids, names, tokens or amounts.
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
"""The parts of a path to keep: versions, and those without a digit. The rest are ids."""
REGION = re.compile(r"^/(na|eu|fe)(?=/)")
"""The sandbox's folder for Amazon's host in a region."""
ID = re.compile(r"\d{4,}")
FIELD = re.compile(r"(?!.*\d{4})@?[A-Za-z_][\w.-]*", re.ASCII)
"""The name of a field. Any other key may be an id or a name that people chose."""
QUOTED = re.compile(r"'[^']*'")
GAQL_NAME = re.compile(r"[a-z_]+\.[a-z_.]+|(?<=FROM )[a-z_]+")
GZIP = b"\x1f\x8b"
SIGNED_URL = "{url}"
"""Stands for the address of a download, which the platform has chosen."""
TYPES = {str: "text", bool: "true or false", int: "number", float: "number", type(None): "null"}


@dataclass
class Exchange:
    """A request and its reply. `fields` has the type of each field in the reply; `status` is None without a reply."""

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
        """Equal for requests of the same kind."""
        return self.method, self.path, *self.parameters

    @property
    def is_refused(self) -> bool:
        """Whether the answer is an HTTP error. A duplicate (425), which names the original, is not."""
        return self.status is not None and self.status >= 400 and self.status != 425


class Recorder:
    """Records the exchanges of an HTTP client in order. The paths of a sandbox start with its `base_url`."""

    def __init__(self, http: httpx.Client, base_url: str | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self._base = urlsplit(base_url or "").path.rstrip("/")
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
    """Describe a request by the names that it contains."""
    headers = [name for name, value in request.headers.items() if _is_ours(name, value)]
    query = parse_qsl(request.url.query.decode(), keep_blank_values=True)
    parameters = {*(name for name, _ in query), *_body_names(request)}
    if request.method == "GET" and not headers and "client_id" not in parameters:
        return Exchange("GET", SIGNED_URL, [], [])
    path = REGION.sub("", request.url.path.removeprefix(base))
    return Exchange(request.method, "/".join(map(_without_id, path.split("/"))), sorted(headers), sorted(parameters))


def _without_id(segment: str) -> str:
    if KEPT_SEGMENT.fullmatch(segment):
        return segment
    return "act_{id}" if segment.startswith("act_") else "{id}"


def _is_ours(header: str, value: str) -> bool:
    """Whether one of our clients set a header, not the HTTP library."""
    return header not in STANDARD_HEADERS and not (header in ("accept", "content-type") and value in STANDARD_MEDIA)


def _body_names(request: httpx.Request) -> Iterator[str]:
    body = body_of(request.content)
    if not isinstance(body, dict):
        yield from (name for name, _ in parse_qsl(request.content.decode()))
        return
    for name, _ in fields_of(body):
        yield name.removesuffix("[]")
    if isinstance(query := body.get("query"), str):
        # The fields and resources that a query names.
        yield from GAQL_NAME.findall(QUOTED.sub("", query))


def body_of(content: bytes) -> Any:
    """Parse a body, gzipped or not; None if it is not JSON."""
    try:
        return orjson.loads(gzip.decompress(content) if content[:2] == GZIP else content)
    except (OSError, EOFError, zlib.error, orjson.JSONDecodeError):
        return None


def fields_of(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the type of each field within a value."""
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
    """Return every type that each field has in a reply."""
    found: dict[str, set[str]] = {}
    for name, kind in fields_of(body):
        found.setdefault(name, set()).add(kind)
    return {name: " or ".join(sorted(found[name])) for name in sorted(found)}


def rows_in(body: Any) -> int:
    """Count the objects in a reply's first list of objects, or in those of all parts of a Google stream."""
    match body:
        case dict():
            return next((count for inner in body.values() if (count := rows_in(inner))), 0)
        case [{"fieldMask": _}, *_]:
            return sum(map(rows_in, body))
        case list():
            return sum(isinstance(row, dict) for row in body)
        case _:
            return 0
