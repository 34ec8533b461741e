"""The interface of a platform client, and the one way in which clients call their platform.

A client knows paths, fields, encodings and error codes. It does not know the database, the clock of a run, or Prefect.
`Caller` sends its requests: it asks the breaker, adds the token, turns silence and bad JSON into errors, and renews a
refused token once.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, ClassVar, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

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
"""Short enough that a call sent at a run's deadline still ends within the run's time limit."""
MAX_CONNECTIONS = 64
LONGEST_LIFE_SECONDS = 400 * 24 * 3600
"""No platform issues an access token for more than a year: a longer lifetime is an error."""
MAX_PAGES = 10_000
"""A listing with more pages than this repeats itself."""
REPORT_PATIENCE = timedelta(hours=4)
"""A report takes up to three hours; one that is not done after this time is requested again."""
REPORTS_LAG = 2 * REPORT_PATIENCE
"""The normal age of figures from reports: a report is requested after the last one was stored, and takes as long."""


class AppCredentials(Value):
    """Our application's registration with one platform.

    `base_url` replaces every host of the platform, for the sandbox, which serves all paths of a platform below one URL;
    None means the live platform. `developer_token` is for Google, and optional: its servers ignore it.
    """

    client_id: str
    client_secret: SecretStr
    base_url: str | None = None
    developer_token: SecretStr | None = None


class TokenSource(Protocol):
    """The source of a grant's access token."""

    def current(self) -> str:
        """Return an access token that is valid for one more call."""
        ...

    def renewed(self, rejected: str) -> str:
        """Return a token newer than the one that the platform has just rejected."""
        ...


@dataclass(frozen=True)
class StaticToken:
    """A token that cannot be renewed, such as one that a person has pasted."""

    token: SecretStr
    platform: PlatformName

    def current(self) -> str:
        """Return the token."""
        return self.token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        """Raise TokenRejected: there is no newer token."""
        raise TokenRejected(self.platform, "the token is expired or not valid")


@runtime_checkable
class PlatformClient(Protocol):
    """One platform, for any grant. Threads can share it."""

    platform: ClassVar[PlatformName]

    def list_accounts(self, tokens: TokenSource) -> tuple[AdAccount, ...]:
        """List the ad accounts of the grant, each once; closed ones are marked."""
        ...

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, changed_since: datetime | None = None
    ) -> CampaignListing:
        """List the account's campaigns, deleted ones too if the platform still lists them.

        With `changed_since`, list at least those that changed since then. A platform without such a filter lists all;
        the listing's `complete` says so.
        """
        ...

    def read_metrics(
        self,
        tokens: TokenSource,
        account: AdAccount,
        window: DateWindow,
        outstanding: Sequence[ReportRequest] = (),
    ) -> MetricsReading:
        """Read the daily metrics of the window.

        A platform that prepares reports collects those of `outstanding` that are ready, requests the days that no
        report will have, and returns what is still outstanding. The other platforms answer at once.
        """
        ...

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Exchange the grant's tokens for fresh ones; if they do not expire, prove that they still work.

        Keep the refresh token if the answer has none.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True)
class Reply:
    """A platform's answer: status, headers, and the body parsed from JSON (None if it is empty)."""

    status: int
    headers: httpx.Headers
    body: Any


@dataclass(frozen=True)
class Caller:
    """Sends one platform's requests.

    Args:
        platform: The platform.
        http: The pooled client of this process; its timeouts limit every call.
        error_of: Turns a reply into the error that it means, or None for a success.
        breaker: Checked before each call and opened by a platform-wide 'slow down'; it also counts the calls.
        is_login: The requests are for tokens, which do not count towards the quota of the platform's API.
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
        """Send the request that `build` makes from an access token; if the token is rejected, renew it and repeat once.

        Raises:
            PlatformError: As `error_of` says; Unavailable without an answer; InvalidReply if the answer is not JSON.
        """
        token = tokens.current()
        try:
            return self.send(build(token))
        except TokenRejected:
            return self.send(build(tokens.renewed(token)))

    def send(self, request: httpx.Request) -> Reply:
        """Send a request and return the parsed reply, or raise the PlatformError that it means."""
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
        """Send a request and return status, headers and the body's bytes; raise only if no answer came."""
        try:
            response = self.http.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unreached(self.platform, f"cannot be reached ({type(error).__name__})") from None
        except httpx.TimeoutException:
            raise Unavailable(self.platform, "did not answer in time") from None
        except httpx.DecodingError:
            raise InvalidReply(self.platform, "sent a body that cannot be decompressed") from None
        except httpx.HTTPError as error:
            # The exception's text may contain the URL, and the URL a secret: use only its type.
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
                return None  # a gateway's page; the wait is in the headers
            if status >= 500:
                raise Unavailable(self.platform, f"answered HTTP {status}", str(status)) from None
            what = "HTML" if content.lstrip()[:1] == b"<" else f"{len(content)} bytes that are not JSON"
            raise InvalidReply(self.platform, f"answered HTTP {status} with {what}", str(status)) from None


def new_http_client() -> httpx.Client:
    """Return an HTTP client for one platform: pooled, with timeouts, without redirects."""
    return httpx.Client(
        timeout=httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        follow_redirects=False,
        headers={"User-Agent": "sivera-jobs"},
        # All teams share this client: no cookie of one may go with the calls of another.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def seconds_from(headers: Mapping[str, str], name: str = "Retry-After", default: float = 60.0) -> float:
    """Read a header of seconds (RFC 9110, 10.2.3); return the default if it is absent or a date."""
    try:
        return max(0.0, float(headers[name]))
    except (KeyError, ValueError):
        return default


def zone_named(name: str) -> ZoneInfo | None:
    """Return a time zone; None if this machine does not know the name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
