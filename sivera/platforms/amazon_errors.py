"""Amazon's error replies as our errors: those of the Ads API, of its reports, and of Login with Amazon."""

import re
from collections.abc import Mapping
from typing import Any

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
)
from sivera.platforms.base import ProductNotEnabled
from sivera.platforms.calling import Reply, quote, seconds_from, trouble_of
from sivera.platforms.rows import field_of
from sivera.values import PlatformName

PLATFORM = PlatformName.AMAZON


def _words(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


REFUSALS: tuple[tuple[re.Pattern[str], type[PlatformError], str], ...] = (
    (
        _words("not authorized for sponsored|not have access to sponsored"),
        ProductNotEnabled,
        "has not enabled this ad product for the account",
    ),
    (_words("scope header is missing"), InvalidRequest, "got a request without a profile"),
    (
        _words("access (scope|this advertiser)|advertiser found for scope|manage this (profile|advertiser)"),
        AccountInaccessible,
        "does not let this grant read the account",
    ),
    (_words("client.?id"), Misconfigured, "refuses our client id: check the keys of the Amazon app"),
    (
        _words("(client|application) is not (approved|authorized)"),
        Misconfigured,
        "refuses our application: check the approval of the Amazon app",
    ),
    (
        _words("method not found|could not find resource"),
        Misconfigured,
        "no longer has this version of its API: update Sivera Jobs",
    ),
)
"""The meaning of a 400, 401, 403 or 404 by its words: one status has several meanings."""
STATUSES: dict[int, tuple[type[PlatformError], str]] = {
    401: (TokenRejected, "rejects the access token"),
    403: (AccountInaccessible, "does not let this grant read the account"),
}
OAUTH_VERDICTS: dict[str, tuple[type[PlatformError], str]] = {
    # "valid indefinitely unless the user removes the app" (login-with-amazon/refresh-token)
    "invalid_grant": (GrantRevoked, "rejects the refresh token or the code"),
}
"""Beside those of RFC 6749."""
ENDPOINT = ThrottleScope.ENDPOINT
SHORT_WAIT_SECONDS = 60.0
LONG_WAIT_SECONDS = 600.0
"""The wait if Amazon names none. For reports it often names none, and recovers slowly (its guide on rate limits)."""


def detail(body: Any) -> str:
    """Return the text of an error, under the name that its API uses."""
    texts = (field_of(body, name) for name in ("message", "detail", "details"))
    return next((text for text in texts if isinstance(text, str)), "")


def error_of(reply: Reply, default_wait: float = SHORT_WAIT_SECONDS) -> PlatformError | None:
    """Return the error that a reply of the Ads API means. A 'slow down' is about the called endpoint only."""
    if reply.status < 300:
        return None
    code, said = _code(reply), detail(reply.body)
    if trouble := trouble_of(PLATFORM, reply, code, wait=default_wait, scope=ENDPOINT):
        return trouble
    if reply.status < 400:
        return Unavailable(PLATFORM, f"answered HTTP {reply.status}", code)
    kind, sentence = STATUSES.get(reply.status, (InvalidRequest, "refuses our request"))
    if reply.status in (400, 401, 403, 404):
        by_words = ((kind, sentence) for words, kind, sentence in REFUSALS if words.search(said))
        kind, sentence = next(by_words, (kind, sentence))
    return kind(PLATFORM, sentence + quote(said), code)


def creation_error_of(reply: Reply) -> PlatformError | None:
    """Return the error that a reply to the request of a report means; none for a duplicate (425)."""
    return None if reply.status == 425 else error_of(reply, LONG_WAIT_SECONDS)


def polling_error_of(reply: Reply) -> PlatformError | None:
    """Return the error that a reply about a report means; none for a report that Amazon does not know (404)."""
    return None if reply.status == 404 else error_of(reply, LONG_WAIT_SECONDS)


def storage_error_of(status: int, headers: Mapping[str, str]) -> PlatformError | None:
    """Return the error that the answer to a download means; S3 says 'slow down' with 503 (its API reference)."""
    if status == 200:
        return None
    if status in (429, 503):
        seconds = seconds_from(headers)
        return Throttled(PLATFORM, "asks us to download reports more slowly", str(status), seconds, ENDPOINT)
    return Unavailable(PLATFORM, "did not deliver a report that is ready", str(status))


def _code(reply: Reply) -> str:
    code = field_of(reply.body, "code")
    return code if isinstance(code, str) and code else str(reply.status)
