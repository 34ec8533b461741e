"""How every client calls its platform: breaker, token, errors for silence and bad JSON, one renewal of the token."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from sivera.breaker import ANYTHING, Breaker, Subject
from sivera.errors import (
    LINK_OR_SECRET,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    Throttled,
    ThrottleScope,
    TimedOut,
    TokenRejected,
    Unavailable,
    Unreached,
)
from sivera.platforms.base import TokenSource
from sivera.platforms.rows import read_json
from sivera.proxies import reason_of, suspect
from sivera.values import PlatformName

# httpx writes the URL of every request at INFO, and some platforms put secrets into URLs.
logging.getLogger("httpx").setLevel(logging.WARNING)

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 25.0
"""A call sent at a run's deadline still ends within the run's time limit."""
LONGEST_ANSWER_SECONDS = 120.0
"""For the whole answer: the read timeout applies to each piece, so it never ends one that trickles in."""
MAX_ANSWER_BYTES = 512 * 1024 * 1024
MAX_CONNECTIONS = 64
PROXY_REFUSED = 407
"""Sent by a proxy that wants a user and a password, never by a platform (RFC 9110, 15.5.8)."""
LONGEST_WAIT_SECONDS = 24 * 3600.0
"""The longest wait, even if a platform asks for more."""
MAX_QUOTE, MAX_SEARCHED = 100, 4_000
RETIRED = "no longer serves this version of its API: update sivera-jobs"
"""The meaning of HTTP 404 with a page."""


@dataclass(frozen=True)
class Reply:
    """A platform's answer: status, headers, and the body parsed from JSON (None if it is empty)."""

    status: int
    headers: httpx.Headers
    body: Any


@dataclass(frozen=True)
class Caller:
    """Sends one platform's requests.

    `error_of` returns the error that a reply means, or None for a success. A 'slow down' opens the breaker, which is
    checked before each call. Calls for tokens (`is_login`) do not count towards the quota of the platform's API.
    """

    platform: PlatformName
    http: httpx.Client
    error_of: Callable[[Reply], PlatformError | None]
    breaker: Breaker = field(default_factory=Breaker)
    is_login: bool = False
    longest_seconds: float = LONGEST_ANSWER_SECONDS
    max_bytes: int = MAX_ANSWER_BYTES

    def call(self, tokens: TokenSource, build: Callable[[str], httpx.Request], subject: Subject = ANYTHING) -> Reply:
        """Send the request that `build` makes from an access token; if the token is rejected, renew it and repeat once.

        The `subject` says what a 'slow down' may stop; the user is added to it.

        Raises:
            PlatformError: From `error_of`; Unavailable without an answer; InvalidReply if the answer is not JSON.
        """
        token = tokens.current()
        try:
            return self.send(build(token), replace(subject, user=str(hash(token))))
        except TokenRejected:
            token = tokens.renewed(token)
            return self.send(build(token), replace(subject, user=str(hash(token))))

    def send(self, request: httpx.Request, subject: Subject = ANYTHING) -> Reply:
        """Send a request; return the parsed reply, or raise the PlatformError that it means."""
        self.breaker.check(self.platform, subject)
        try:
            reply = self._exchange(request)
        except PlatformError as error:
            # A refusal is an answer too.
            self.breaker.record(self.platform, answered=not (isinstance(error, Unavailable) and error.is_silence))
            if isinstance(error, Throttled):
                self.breaker.count(self.platform, throttled=1)
                self.breaker.open(self.platform, error.retry_after, error.scope, subject, error.message)
            raise
        self.breaker.record(self.platform, answered=True)
        return reply

    def send_raw(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        """Send a request; return status, headers and body. Only a missing answer is an error."""
        try:
            response = self.http.send(request, stream=True)
            with closing(response):
                content = self._read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise Unreached(self.platform, f"cannot be reached ({reason_of(error, str(request.url))})") from None
        except httpx.TimeoutException:
            raise TimedOut(self.platform, "did not answer in time") from None
        except httpx.DecodingError:
            raise InvalidReply(self.platform, "sent a body that cannot be decompressed") from None
        except httpx.HTTPError as error:
            # The exception's text may contain the URL, and the URL a secret.
            raise Unavailable(self.platform, f"connection failed ({reason_of(error, str(request.url))})") from None
        if response.status_code == PROXY_REFUSED:
            raise Unreached(self.platform, f"cannot be reached (HTTP {PROXY_REFUSED}{suspect(str(request.url))})")
        return response.status_code, response.headers, content

    def _read(self, response: httpx.Response) -> bytes:
        until, content = time.monotonic() + self.longest_seconds, bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > self.max_bytes:
                raise InvalidReply(self.platform, f"sent an answer of over {self.max_bytes} bytes")
            if time.monotonic() > until:
                raise TimedOut(self.platform, f"did not finish its answer within {self.longest_seconds:g} seconds")
        return bytes(content)

    def _exchange(self, request: httpx.Request) -> Reply:
        self.breaker.count(self.platform, api=not self.is_login, login=self.is_login)
        status, headers, content = self.send_raw(request)
        reply = Reply(status, headers, self._parse(status, content, request.url))
        if (error := self.error_of(reply)) is not None:
            raise error
        return reply

    def _parse(self, status: int, content: bytes, url: httpx.URL) -> Any:
        if not content:
            return None
        try:
            return read_json(content)
        except ValueError:
            if status == 429:
                return None  # a gateway's page; status and headers are enough
            suspected = suspect(str(url))
            is_cut = content.lstrip()[:1] in (b"{", b"[")
            if status == 404 and not is_cut:
                raise Misconfigured(self.platform, RETIRED + suspected, str(status)) from None
            if status == 408 or status >= 500:
                raise Unavailable(self.platform, f"answered HTTP {status}{suspected}", str(status)) from None
            what = "HTML" if content.lstrip()[:1] == b"<" else f"{len(content)} bytes that are not JSON"
            kind = InvalidRequest if 400 <= status < 500 and not is_cut else InvalidReply
            raise kind(self.platform, f"answered HTTP {status} with {what}{suspected}", str(status)) from None


def new_http_client() -> httpx.Client:
    """Return an HTTP client for one platform: pooled, with timeouts, without redirects."""
    return httpx.Client(
        timeout=httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        follow_redirects=False,
        headers={"User-Agent": "sivera-jobs"},
        # All teams share this client: one team's cookies must not go with another's calls.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def retry_after(headers: Mapping[str, str], default: float = 60.0) -> float:
    """Return the seconds of `Retry-After` (RFC 9110, 10.2.3), or the default if it is absent or a date."""
    try:
        return min(max(0.0, float(headers["Retry-After"])), LONGEST_WAIT_SECONDS)
    except (KeyError, ValueError):
        return default


def quote(words: object) -> str:
    """Return a platform's own words, shortened and without URLs or secrets, to append to a sentence."""
    if not isinstance(words, str):
        return ""
    said = LINK_OR_SECRET.sub("...", " ".join(words[:MAX_SEARCHED].split()))[:MAX_QUOTE].rstrip(". ")
    return f"; it says: {said}" if said else ""


def trouble_of(
    platform: PlatformName,
    reply: Reply,
    code: str | None = None,
    *,
    wait: float = 60.0,
    scope: ThrottleScope = ThrottleScope.PLATFORM,
    words: object = None,
) -> PlatformError | None:
    """Return the error that an HTTP status means on every platform; None if platforms differ on it."""
    code = code or str(reply.status)
    if reply.status == 429:
        message = f"allows no more calls for now{quote(words)}"
        return Throttled(platform, message, code, retry_after(reply.headers, wait), scope)
    if reply.status == 408 or reply.status >= 500:
        return Unavailable(platform, f"answered HTTP {reply.status}{quote(words)}", code)
    return None
