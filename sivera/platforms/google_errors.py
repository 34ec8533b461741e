"""The meaning of Google's error codes, from Google Ads and from its OAuth token endpoint."""

import re
from collections.abc import Sequence
from typing import Any

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    NoAdAccounts,
    PlatformError,
    ReconnectRequired,
    ScopeMissing,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
    WrongRedirect,
)
from sivera.platforms.calling import LONGEST_WAIT_SECONDS, Reply, quote
from sivera.platforms.rows import field_of
from sivera.values import PlatformName

DEFAULT_WAIT_SECONDS = 60.0
"""The wait if Google says only 'too many requests'."""

Verdict = tuple[type[PlatformError], str]

_TOKEN_REJECTED: Verdict = (TokenRejected, "the access token is expired or not valid")
_NO_ACCESS: Verdict = (AccountInaccessible, "this grant may not read the account; check the user's or manager's access")
_THROTTLED: Verdict = (Throttled, "allows no more calls for now")
_UNAVAILABLE: Verdict = (Unavailable, "is in trouble")

CODES: dict[Verdict, str] = {
    _TOKEN_REJECTED: """
        OAUTH_TOKEN_EXPIRED OAUTH_TOKEN_INVALID GOOGLE_ACCOUNT_COOKIE_INVALID AUTHENTICATION_ERROR""",
    (GrantRevoked, "the user has revoked the access"): "OAUTH_TOKEN_REVOKED",
    (ReconnectRequired, "the connection has ended"): "OAUTH_TOKEN_DISABLED GOOGLE_ACCOUNT_DELETED",
    (NoAdAccounts, "the Google account has no Google Ads account; connect one that has"): "NOT_ADS_USER",
    (ReconnectRequired, "the Google account must turn on 2-Step Verification"): "TWO_STEP_VERIFICATION_NOT_ENROLLED",
    (ReconnectRequired, "the Google account must turn on Advanced Protection"): "ADVANCED_PROTECTION_NOT_ENROLLED",
    (ScopeMissing, "Google Ads access was not granted"): "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    _NO_ACCESS: """
        USER_PERMISSION_DENIED AUTHORIZATION_ERROR ACTION_NOT_PERMITTED
        INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION""",
    (AccountInaccessible, "the account does not exist, or not yet"): "CUSTOMER_NOT_FOUND",
    (AccountInaccessible, "the account is not a Google Ads account"): "ACCESS_DENIED_FOR_ACCOUNT_TYPE",
    (AccountInaccessible, "the account is closed or not enabled yet"): "CUSTOMER_NOT_ENABLED INCOMPLETE_SIGNUP",
    (AccountInaccessible, "the account is suspended"): "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT",
    (Misconfigured, "our Cloud project is refused; check it and its Google Ads API access level"): """
        CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION CLOUD_PROJECT_NOT_UNDER_ORGANIZATION CLOUD_PROJECT_NOT_FOUND
        PROJECT_DISABLED SERVICE_ACCESS_DENIED METRIC_ACCESS_DENIED ACCESS_PROHIBITED ORGANIZATION_NOT_RECOGNIZED
        ORGANIZATION_NOT_APPROVED ORGANIZATION_NOT_ASSOCIATED_WITH_DEVELOPER_TOKEN DEVELOPER_TOKEN_PROHIBITED
        DEVELOPER_TOKEN_NOT_ON_ALLOWLIST DEVELOPER_TOKEN_NOT_APPROVED""",
    (Misconfigured, "the developer token is not valid; correct or remove it"): "DEVELOPER_TOKEN_INVALID",
    (Misconfigured, "a header is malformed; check the developer token"): "OAUTH_TOKEN_HEADER_INVALID",
    (Misconfigured, "the Google Ads API's terms of service must be signed in the Cloud console"): "MISSING_TOS",
    (Misconfigured, "this version of the API is no longer served; update sivera-jobs"): "UNSUPPORTED_VERSION",
    (Misconfigured, "the Google Ads API is not enabled in our Cloud project"): "SERVICE_DISABLED",
    _THROTTLED: """
        RESOURCE_EXHAUSTED RESOURCE_TEMPORARILY_EXHAUSTED EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION
        EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION""",
    _UNAVAILABLE: "INTERNAL_ERROR TRANSIENT_ERROR DEADLINE_EXCEEDED",
}
ADS_VERDICTS = {code: verdict for verdict, codes in CODES.items() for code in codes.split()}
"""The meaning of Google Ads' error codes; the HTTP status decides on others.

ACCESS_TOKEN_SCOPE_INSUFFICIENT and SERVICE_DISABLED come from the gateway in front of it (`google.rpc.ErrorInfo`).
"""

STATUS_VERDICTS: dict[int, Verdict] = {
    200: (Unavailable, "broke off its answer"),
    401: _TOKEN_REJECTED,
    403: _NO_ACCESS,
    408: _UNAVAILABLE,
    429: _THROTTLED,
}
OAUTH_VERDICTS: dict[str, Verdict] = {
    "invalid_grant": (ReconnectRequired, "the grant was revoked or has expired"),
    # From the endpoint for revocation.
    "invalid_token": (ReconnectRequired, "the grant has ended already"),
    "redirect_uri_mismatch": (WrongRedirect, "this redirect is not registered for our OAuth client"),
    "deleted_client": (Misconfigured, "our OAuth client was deleted; set another one"),
    "internal_failure": _UNAVAILABLE,
}
"""In addition to RFC 6749."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")


def ads_error(reply: Reply) -> PlatformError | None:
    """Return the error that a reply of Google Ads means; a stream can break off with an error under HTTP 200."""
    parts = reply.body if isinstance(reply.body, list) else [reply.body]
    error = next((part["error"] for part in parts if isinstance(part, dict) and "error" in part), None)
    if error is None and reply.status == 200:
        return None
    details = _dicts(field_of(error, "details"))
    failures = [failure for detail in details for failure in _dicts(detail.get("errors"))]
    codes = [code for failure in failures for code in _texts(failure.get("errorCode"))]
    codes += [reason for detail in details if isinstance(reason := detail.get("reason"), str)]
    code = next((code for code in codes if code in ADS_VERDICTS), codes[0] if codes else None)
    listed = ADS_VERDICTS.get(code or "")
    kind, sentence = listed or _verdict_of_status(reply.status)
    if kind is Throttled:
        return _throttled(sentence, code, failures)
    if listed in (None, _NO_ACCESS):
        sentence += quote(next((failure.get("message") for failure in failures), field_of(error, "message")))
    return kind(PlatformName.GOOGLE, sentence, code or str(reply.status))


def _verdict_of_status(status: int) -> Verdict:
    if status in STATUS_VERDICTS:
        return STATUS_VERDICTS[status]
    if status >= 500:
        return _UNAVAILABLE
    return (InvalidRequest, "refused the request") if status >= 400 else (InvalidReply, "sent no answer and no error")


def _throttled(sentence: str, code: str | None, failures: Sequence[dict[str, Any]]) -> Throttled:
    """Return the error with the wait, and with the quota's scope: the account or our Cloud project."""
    details = (field_of(failure, "details.quotaErrorDetails") for failure in failures)
    quota = next((found for found in details if isinstance(found, dict)), {})
    delay = _DURATION.fullmatch(str(quota.get("retryDelay")))
    scope = ThrottleScope.ACCOUNT if quota.get("rateScope") == "ACCOUNT" else ThrottleScope.PLATFORM
    seconds = min(float(delay[1]), LONGEST_WAIT_SECONDS) if delay else DEFAULT_WAIT_SECONDS
    return Throttled(PlatformName.GOOGLE, sentence, code, seconds, scope)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [text for text in value.values() if isinstance(text, str)] if isinstance(value, dict) else []
