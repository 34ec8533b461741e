"""The meaning of Amazon's error replies: from the Ads API, its reports, their storage, and Login with Amazon."""

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
from sivera.platforms.calling import Reply, quote, retry_after, trouble_of
from sivera.platforms.rows import field_of
from sivera.values import PlatformName

PLATFORM = PlatformName.AMAZON

REFUSALS: tuple[tuple[str, type[PlatformError], str], ...] = (
    (
        "not authorized for sponsored|not have access to sponsored",
        ProductNotEnabled,
        "has not enabled this ad product for the account",
    ),
    ("scope header is missing", InvalidRequest, "got a request without a profile"),
    (
        "access (scope|this advertiser)|advertiser found for scope|manage this (profile|advertiser)",
        AccountInaccessible,
        "does not let this grant read the account",
    ),
    ("client.?id", Misconfigured, "refuses our client id: check the keys of the Amazon app"),
    (
        "(client|application) is not (approved|authorized)",
        Misconfigured,
        "refuses our application: check the approval of the Amazon app",
    ),
    (
        "method not found|could not find resource",
        Misconfigured,
        "no longer has this version of its API: update Sivera Jobs",
    ),
)
"""The meaning of a 400, 401, 403 or 404 by its words (in any case): each status has several meanings."""
STATUSES: dict[int, tuple[type[PlatformError], str]] = {
    401: (TokenRejected, "rejects the access token"),
    403: (AccountInaccessible, "does not let this grant read the account"),
}
OAUTH_VERDICTS: dict[str, tuple[type[PlatformError], str]] = {
    # "valid indefinitely unless the user removes the app" (login-with-amazon/refresh-token)
    "invalid_grant": (GrantRevoked, "rejects the refresh token or the code"),
}
"""In addition to RFC 6749."""
ENDPOINT = ThrottleScope.ENDPOINT
SHORT_WAIT_SECONDS = 60.0
LONG_WAIT_SECONDS = 600.0
"""The waits if Amazon names none. For reports it often names none, and recovers slowly (its guide on rate limits)."""


def detail(body: Any) -> str:
    """Return the text of an error; each API has another name for it."""
    texts = (field_of(body, name) for name in ("message", "detail", "details"))
    return next((text for text in texts if isinstance(text, str)), "")


def error_of(reply: Reply, default_wait: float = SHORT_WAIT_SECONDS) -> PlatformError | None:
    """Return the error that a reply of the Ads API means. A 'slow down' only concerns the endpoint."""
    if reply.status < 300:
        return None
    code, said = field_of(reply.body, "code"), detail(reply.body)
    code = code if isinstance(code, str) and code else str(reply.status)
    if trouble := trouble_of(PLATFORM, reply, code, wait=default_wait, scope=ENDPOINT):
        return trouble
    if reply.status < 400:
        return Unavailable(PLATFORM, f"answered HTTP {reply.status}", code)
    kind, sentence = STATUSES.get(reply.status, (InvalidRequest, "refuses our request"))
    if reply.status in (400, 401, 403, 404):
        by_words = ((kind, sentence) for words, kind, sentence in REFUSALS if re.search(words, said, re.IGNORECASE))
        kind, sentence = next(by_words, (kind, sentence))
    return kind(PLATFORM, sentence + quote(said), code)


def report_error_of(expected: int, reply: Reply) -> PlatformError | None:
    """Return the error that a reply about a report means; None for the `expected` status, which the caller handles."""
    return None if reply.status == expected else error_of(reply, LONG_WAIT_SECONDS)


def storage_error_of(status: int, headers: Mapping[str, str]) -> PlatformError | None:
    """Return the error that the answer to a download means; S3 says 'slow down' with 503 (its API reference)."""
    if status == 200:
        return None
    if status in (429, 503):
        message = "asks us to download reports more slowly"
        return Throttled(PLATFORM, message, str(status), retry_after(headers), ENDPOINT)
    return Unavailable(PLATFORM, "did not deliver a report that is ready", str(status))
