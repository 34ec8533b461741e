"""The meaning of TikTok's codes: `NumericErrorCodes` of its SDK (`tiktok-business-api-sdk-official` 1.1.3)."""

import re
from collections.abc import Mapping

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    Throttled,
    TokenRejected,
    Unavailable,
)
from sivera.platforms.calling import Reply, quote, retry_after, trouble_of
from sivera.platforms.rows import code_of, field_of
from sivera.values import PlatformName

OK = 0
PERMISSION_ERROR, EXPIRED, REVOKED = 40001, 40102, 40105
ERRORS: dict[type[PlatformError], frozenset[int]] = {
    Throttled: frozenset({40100, 40132, 61000}),
    Unavailable: frozenset({20001, 40200, 40201, 40202, 40700}),
    TokenRejected: frozenset({EXPIRED, REVOKED}),
    ReconnectRequired: frozenset({40103, 40104, 40106, 40107, 40110, 40114, 40120, 40131, 40309}),
    AccountInaccessible: frozenset({40001, 40003, 40013, 40300, 40301, 40302}),
    Misconfigured: frozenset(
        {40006, 40051, 40101, 40112, 40113, 40115, 40116, 40117, 40118, 40124, 40125, 40130, 41000, 41001, 70001}
    ),
}
"""The codes with a specific meaning; `error_of` handles the others."""
CALL_ERRORS = {code: kind for kind, codes in ERRORS.items() for code in codes}
GRANT_ERRORS = {
    **CALL_ERRORS,
    EXPIRED: ReconnectRequired,
    # "invalid/revoked": an advertiser's token is valid until the advertiser revokes it.
    REVOKED: GrantRevoked,
    # A call about the grant itself names no account for which a permission could be missing.
    **dict.fromkeys(ERRORS[AccountInaccessible], Misconfigured),
}
SENTENCES: dict[type[PlatformError], str] = {
    Throttled: "allows our app no more requests for now",
    Unavailable: "is in trouble",
    TokenRejected: "rejects the access token",
    ReconnectRequired: "has ended the grant",
    GrantRevoked: "has ended the grant",
    AccountInaccessible: "does not let this grant read the account: it is closed, or the permission was removed",
    Misconfigured: "refuses our app: check its id, secret, scopes and approval in TikTok's developer portal",
    InvalidRequest: "refuses our request",
}
NO_ACCESS = re.compile(r"permission|advertiser.*(not exist|n't exist|been deleted)", re.IGNORECASE)
"""Words about access, also under codes for parameters such as 40002."""
THROTTLE_WAIT_SECONDS = 60.0
"""TikTok never says how long to wait. After a second, a minute is the shortest window in which it counts calls."""


def error_of(kinds: Mapping[int, type[PlatformError]], reply: Reply) -> PlatformError | None:
    """Return the error that a reply means, or None for a success.

    `kinds` covers the known codes. An unknown 4xxxx is our fault, any other is TikTok's.
    """
    said = field_of(reply.body, "message")
    if trouble := trouble_of(PlatformName.TIKTOK, reply, wait=THROTTLE_WAIT_SECONDS, words=said):
        return trouble
    code = code_of(field_of(reply.body, "code"))
    if code is None and reply.status >= 400:
        return _error(InvalidRequest, reply, str(reply.status))
    if code is None or (code == OK and reply.status != 200):
        return InvalidReply(PlatformName.TIKTOK, f"answered HTTP {reply.status} without a code that fits it")
    if code == OK:
        return None
    kind = kinds.get(code, InvalidRequest if 40000 <= code < 50000 else Unavailable)
    if kind is InvalidRequest and NO_ACCESS.search(str(said)):
        kind = kinds[PERMISSION_ERROR]
    return _error(kind, reply, str(code))


def _error(kind: type[PlatformError], reply: Reply, code: str) -> PlatformError:
    message = SENTENCES[kind] + quote(field_of(reply.body, "message"))
    if kind is Throttled:
        return Throttled(PlatformName.TIKTOK, message, code, retry_after(reply.headers, THROTTLE_WAIT_SECONDS))
    return kind(PlatformName.TIKTOK, message, code)
