"""The meaning of Meta's error codes, and of the headers that say how long to wait.

Sources of the codes: `graph-api/guides/error-handling`, `graph-api/overview/rate-limiting`, and the error lists of
`marketing-api/reference`. The HTTP status says little: an expired token and a throttled account are both 400.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    ScopeMissing,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
    WrongRedirect,
)
from sivera.platforms.calling import LONGEST_WAIT_SECONDS, Reply, quote, trouble_of
from sivera.platforms.rows import code_of, field_of
from sivera.values import PlatformName

THROTTLES: dict[int, ThrottleScope] = {
    4: ThrottleScope.PLATFORM,  # the app's calls
    341: ThrottleScope.PLATFORM,
    17: ThrottleScope.USER,
    32: ThrottleScope.USER,
    613: ThrottleScope.ACCOUNT,
    **dict.fromkeys(range(80000, 80015), ThrottleScope.ACCOUNT_ENDPOINT),  # one ad account's calls, by use case
}
ACCOUNT_LIMIT = 2446079
"""With this subcode, code 17 is about the ad account, not the user."""
TRANSIENT = frozenset({1, 2, 368})
SESSION = frozenset({102, 190})
"""Rejections of the access token."""
PERMISSION = frozenset({10, *range(200, 300)})
NO_SUCH_OBJECT = (100, 33)
"""The answer also for an object that the user may not see."""
OUR_APP = frozenset({3, 101, 270, 2635})
"""A missing capability, an unknown app id, the lowest access tier, a retired version of the API."""
OUR_APP_PHRASES = ("client secret", "validating application", "appsecret_proof", "api access blocked")
"""Refusals of our app under codes that usually mean something else: 1, 100, 190 and 200."""
PERMISSION_PHRASES = ("missing perm", "permission", "not authorized", "not have access")
"""Missing permissions under codes that usually mean something else, such as `(#100) Missing perms`."""
TOO_MUCH_DATA = "reduce the amount of data"
TOO_SLOW = 1504018
"""The subcode of a query that took Meta too long; a shorter date range may work."""
DELETED_REFUSED = 1815001
"""The subcode of a request for deleted objects that Meta does not list."""
NO_ALIAS = 803
NO_ALIAS_PHRASE = "aliases you requested do not exist"

CODE_REFUSED = frozenset({36007, 36008, 36009})
CODE_PHRASE = "verification code"
"""Refusals of a consent's code that has expired, was used, or has another redirect (seen live, not documented)."""

APP_REMOVED = 458
ENDED_SESSIONS = {
    APP_REMOVED: "the user has removed our app",
    459: "Facebook wants the user to log in and pass a check",
    460: "the user has changed the password",
    464: "the user's Facebook account is not confirmed",
    492: "the user has lost the role on the page",
}
"""Subcodes of a session that a renewed token does not restore. With any other (463 and 467 are "expired, revoked or
otherwise invalid"), another process may have a newer token; if not, the exchange of the token fails with the reason.
"""

THROTTLED = {
    ThrottleScope.PLATFORM: "our app",
    ThrottleScope.USER: "this user",
    ThrottleScope.ACCOUNT_ENDPOINT: "this account for this kind of data",
}
APP_WAIT_SECONDS = 600.0
"""How long a throttled app waits. Meta does not say; Airbyte's connector waits ten minutes."""
ACCOUNT_WAIT_SECONDS = 300.0
"""How long a user, or an account of a lower-tier app, waits if no header says so."""


@dataclass(frozen=True)
class Meanings:
    """What a rejected token and a missing permission mean for one kind of call."""

    token: type[PlatformError]
    permission: type[PlatformError]


ABOUT_ACCOUNT = Meanings(token=TokenRejected, permission=AccountInaccessible)
ABOUT_USER = Meanings(token=TokenRejected, permission=ScopeMissing)
ABOUT_TOKEN = Meanings(token=ReconnectRequired, permission=ScopeMissing)

PERMISSION_SENTENCES: dict[type[PlatformError], str] = {
    AccountInaccessible: "does not let this user read the account: it is closed, or the permission was removed",
    ScopeMissing: "has no permission from the user to read ads",
}


class TooMuchData(Unavailable):
    """The reply is too large for Meta, or takes it too long: ask for fewer days or rows."""

    is_silence: ClassVar[bool] = False


def error_of(meanings: Meanings, reply: Reply) -> PlatformError | None:
    """Return the error that a reply means, regardless of its HTTP status; None for a success."""
    error = field_of(reply.body, "error")
    if isinstance(error, dict):
        return _error(meanings, error, reply)
    if trouble := trouble_of(PlatformName.META, reply, wait=APP_WAIT_SECONDS):
        return trouble
    if error is not None or reply.status != 200:
        kind = InvalidRequest if reply.status >= 400 else InvalidReply
        return kind(PlatformName.META, f"answered HTTP {reply.status} without saying why", str(reply.status))
    return None


def _error(meanings: Meanings, error: Mapping[str, Any], reply: Reply) -> PlatformError:
    code, subcode, said = code_of(error.get("code")) or 0, code_of(error.get("error_subcode")), error.get("message")
    said = said if isinstance(said, str) else ""
    name = str(code) if subcode is None else f"{code}/{subcode}"
    in_trouble = error.get("is_transient") is True or reply.status >= 500
    kind, sentence = _verdict(meanings, code, subcode, said, in_trouble=in_trouble)
    if kind is Throttled:
        scope = ThrottleScope.ACCOUNT if subcode == ACCOUNT_LIMIT and code < 80000 else THROTTLES[code]
        message = f"allows {THROTTLED.get(scope, 'this account')} no more calls for now"
        return Throttled(PlatformName.META, message, name, _wait_seconds(reply.headers, scope), scope)
    # Meta's words about a token may quote it.
    return kind(PlatformName.META, sentence if code in SESSION else sentence + quote(said), name)


def _verdict(  # noqa: PLR0911 - one return for each kind of error
    meanings: Meanings, code: int, subcode: int | None, said: str, *, in_trouble: bool
) -> tuple[type[PlatformError], str]:
    words = said.lower()
    if subcode in CODE_REFUSED or CODE_PHRASE in words:
        kind = WrongRedirect if "redirect_uri" in said else ReconnectRequired
        return kind, "does not accept the code of the consent"
    if code in OUR_APP or any(phrase in words for phrase in OUR_APP_PHRASES):
        return Misconfigured, "refuses our app: check its id, secret and access"
    if code in THROTTLES:
        return Throttled, ""
    if TOO_MUCH_DATA in words or subcode == TOO_SLOW:
        return TooMuchData, "cannot answer with so much data at once"
    if code in TRANSIENT or in_trouble:
        return Unavailable, "is in trouble"
    if code in SESSION and subcode in ENDED_SESSIONS:
        kind = GrantRevoked if subcode == APP_REMOVED else ReconnectRequired
        return kind, f"has ended the session, because {ENDED_SESSIONS[subcode]}"
    if code in SESSION:
        return meanings.token, "rejects the access token: it has expired or was revoked"
    if code in PERMISSION or (code, subcode) == NO_SUCH_OBJECT or any(phrase in words for phrase in PERMISSION_PHRASES):
        return meanings.permission, PERMISSION_SENTENCES[meanings.permission]
    return InvalidRequest, "refuses our request"


def refuses_deleted(error: PlatformError) -> bool:
    """Whether Meta refused a request because it asks for deleted objects."""
    return (error.code or "").endswith(f"/{DELETED_REFUSED}")


def is_absence(error: PlatformError) -> bool:
    """Whether an object does not exist. Meta then does not answer for any other object in the request either."""
    return error.code in ("/".join(map(str, NO_SUCH_OBJECT)), str(NO_ALIAS)) or NO_ALIAS_PHRASE in error.message


def absent_among(error: PlatformError, ids: Sequence[str]) -> frozenset[str]:
    """Return the objects that the error says do not exist; none if it does not name them."""
    named = re.findall(r"[0-9]+", error.message) if is_absence(error) else ()
    return frozenset(named) & frozenset(ids)


def app_usage(headers: Mapping[str, str]) -> float:
    """Return how much of our app's quota is used, in percent; 0 if no header says so."""
    insights = _header(headers, "x-fb-ads-insights-throttle").get("app_id_util_pct")
    return max(map(_number, (*_header(headers, "x-app-usage").values(), insights)), default=0.0)


def _wait_seconds(headers: Mapping[str, str], scope: ThrottleScope) -> float:
    """Return the wait: `X-Business-Use-Case-Usage` is in minutes, `X-Ad-Account-Usage` in seconds.

    Neither is about the app.
    """
    if scope is ThrottleScope.PLATFORM:
        return APP_WAIT_SECONDS
    waits = [_number(_header(headers, "x-ad-account-usage").get("reset_time_duration"))]
    for entries in _header(headers, "x-business-use-case-usage").values():
        for entry in entries if isinstance(entries, list) else ():
            minutes = entry.get("estimated_time_to_regain_access") if isinstance(entry, dict) else None
            waits.append(60 * _number(minutes))
    return min(max(waits), LONGEST_WAIT_SECONDS) or ACCOUNT_WAIT_SECONDS


def _header(headers: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return a JSON header; it is only a hint, so anything else counts as absent."""
    try:
        value = orjson.loads(headers.get(name, "{}"))
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float:
    return max(0.0, float(value)) if isinstance(value, int | float) else 0.0
