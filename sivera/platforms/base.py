"""What every platform client offers, and the one way in which it calls its platform.

A client is one file. It knows paths, fields, encodings and error codes; it does not know the database, the clock of a
run, or Prefect. `Caller` sends its requests: it asks the breaker, adds the token, translates silence and bad JSON, and
renews a refused token once.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, ClassVar, Protocol, runtime_checkable

import httpx
import orjson
from pydantic import SecretStr

from sivera.breaker import Breaker
from sivera.errors import InvalidReply, PlatformError, Throttled, ThrottleScope, TokenRejected, Unavailable, Unreached
from sivera.values import (
    AdAccount,
    CampaignListing,
    DateWindow,
    GrantTokens,
    MetricsReading,
    PlatformName,
    ReportRequest,
    Value,
)

# httpx writes the URL of every request at INFO, and some platforms put secrets into URLs.
logging.getLogger("httpx").setLevel(logging.WARNING)

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 25.0
"""A call that is begun at a run's deadline and gets no answer ends within the run's time limit."""
MAX_CONNECTIONS = 64
LONGEST_LIFE_SECONDS = 400 * 24 * 3600
"""No platform gives an access token for longer than a year: a longer lifetime is not one."""
MAX_PAGES = 10_000
"""A listing that goes on for longer than this repeats itself."""
REPORT_PATIENCE = timedelta(hours=4)
"""A platform takes up to three hours for a report; one that is not done after this is given up and asked for anew."""
REPORTS_LAG = 2 * REPORT_PATIENCE
"""Figures of reports may be so old though all is well: the next is asked for when one was stored, and takes as long."""


class AppCredentials(Value):
    """Our application's registration with one platform.

    `base_url` replaces every host of the platform (the sandbox serves all of a platform's paths below one URL);
    None means the live platform. `developer_token` is Google's, optional since its servers ignore it.
    """

    client_id: str
    client_secret: SecretStr
    base_url: str | None = None
    developer_token: SecretStr | None = None


class TokenSource(Protocol):
    """Where a client gets the access token of the grant it works for."""

    def current(self) -> str:
        """Return an access token that stays valid for one call."""
        ...

    def renewed(self, rejected: str) -> str:
        """Return a token newer than the one that the platform just refused."""
        ...


@dataclass(frozen=True)
class StaticToken:
    """A token that cannot be renewed, such as one that a person has just pasted."""

    token: SecretStr
    platform: PlatformName

    def current(self) -> str:
        """Return the token."""
        return self.token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        """Raise TokenRejected: there is no newer one."""
        raise TokenRejected(self.platform, "the token is expired or not valid")


@runtime_checkable
class PlatformClient(Protocol):
    """One platform, for any grant. Safe to share between threads."""

    platform: ClassVar[PlatformName]

    def list_accounts(self, tokens: TokenSource) -> tuple[AdAccount, ...]:
        """List the ad accounts that the grant can reach, each once, closed ones included and marked."""
        ...

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, changed_since: datetime | None = None
    ) -> CampaignListing:
        """List the account's campaigns, deleted ones too where the platform still names them.

        With `changed_since`, at least those that changed from then on; the listing's `complete` says whether it is
        all of them (a platform without such a filter lists all). Without it, always all.
        """
        ...

    def read_metrics(
        self,
        tokens: TokenSource,
        account: AdAccount,
        window: DateWindow,
        outstanding: Sequence[ReportRequest] = (),
    ) -> MetricsReading:
        """Read daily metrics over the window.

        A platform that prepares reports collects those of `outstanding` that are ready, asks for the window where
        none is outstanding, and returns what is still outstanding; the others answer at once.
        """
        ...

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Exchange the grant's tokens for fresh ones, or prove that they still work where they do not expire.

        A refresh token that the answer omits is kept.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True)
class Reply:
    """A platform's answer: status, headers, and the body parsed from JSON (None when it is empty)."""

    status: int
    headers: httpx.Headers
    body: Any


@dataclass(frozen=True)
class Caller:
    """Sends one platform's requests.

    Args:
        platform: Whose requests.
        http: The pooled client of this process; its timeouts bound every call.
        error_of: Turns a reply into the error that it means, or None when it is a success.
        breaker: Asked before each call, told of each 'slow down' that concerns the whole platform; it counts the calls.
        is_login: The requests are for tokens, which no quota of the platform's API counts.
    """

    platform: PlatformName
    http: httpx.Client
    error_of: Callable[[Reply], PlatformError | None]
    breaker: Breaker = field(default_factory=Breaker)
    is_login: bool = False

    def call(
        self,
        tokens: TokenSource,
        build: Callable[[str], httpx.Request],
    ) -> Reply:
        """Send the request that `build` makes from an access token; renew the token and repeat once if it is refused.

        Raises:
            PlatformError: As `error_of` says; Unavailable where no answer came; InvalidReply where it was not JSON.
        """
        token = tokens.current()
        try:
            return self.send(build(token))
        except TokenRejected:
            return self.send(build(tokens.renewed(token)))

    def send(self, request: httpx.Request) -> Reply:
        """Send a request as it is and return the parsed reply, or raise the PlatformError that it means."""
        self.breaker.check(self.platform)
        try:
            reply = self._exchange(request)
        except Unavailable as error:
            self.breaker.record(self.platform, answered=not error.is_silence)
            raise
        except Throttled as error:
            self.breaker.count(self.platform, throttled=1)
            if error.scope is ThrottleScope.PLATFORM:
                self.breaker.open(self.platform, error.retry_after)
            raise
        self.breaker.record(self.platform, answered=True)
        return reply

    def send_raw(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        """Send a request and return status, headers and the body's bytes; raise only where no answer came."""
        try:
            response = self.http.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unreached(self.platform, f"cannot be reached ({type(error).__name__})") from None
        except httpx.TimeoutException:
            raise Unavailable(self.platform, "did not answer in time") from None
        except httpx.DecodingError:
            raise InvalidReply(self.platform, "sent a body that cannot be decompressed") from None
        except httpx.HTTPError as error:
            # The exception's text can hold the URL, and a URL can hold a secret: only its type is told.
            raise Unavailable(self.platform, f"connection failed ({type(error).__name__})") from None
        return response.status_code, response.headers, response.content

    def _exchange(self, request: httpx.Request) -> Reply:
        self.breaker.count(self.platform, api=not self.is_login, login=self.is_login)
        status, headers, content = self.send_raw(request)
        reply = Reply(status, headers, self._parse(status, content))
        if (error := self.error_of(reply)) is not None:
            raise error
        return reply

    def _parse(self, status: int, content: bytes) -> Any:
        if not content:
            return None
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            if status == 429:
                return None  # a gateway's page; the headers say how long to wait
            if status >= 500:
                raise Unavailable(self.platform, f"answered HTTP {status}", str(status)) from None
            what = "HTML" if content.lstrip()[:1] == b"<" else f"{len(content)} bytes that are not JSON"
            raise InvalidReply(self.platform, f"answered HTTP {status} with {what}", str(status)) from None


def new_http_client() -> httpx.Client:
    """Return the HTTP client that a process shares for one platform: pooled, bounded in time, never redirected."""
    return httpx.Client(
        timeout=httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        follow_redirects=False,
        headers={"User-Agent": "sivera-jobs"},
        # All teams share this client: a cookie of one must not go with the calls of another.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def seconds_from(headers: Mapping[str, str], name: str = "Retry-After", default: float = 60.0) -> float:
    """Read a header of seconds (RFC 9110, 10.2.3); the default where it is absent or a date."""
    try:
        return max(0.0, float(headers[name]))
    except (KeyError, ValueError):
        return default
