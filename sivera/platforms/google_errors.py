"""The meaning of Google's error codes: those of Google Ads, and those of its OAuth token endpoint."""

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
from sivera.platforms.calling import Reply, quote, trouble_of
from sivera.platforms.rows import field_of
from sivera.values import PlatformName

DEFAULT_WAIT_SECONDS = 60.0
"""The wait if Google says only 'too many requests'."""

Verdict = tuple[type[PlatformError], str]

_TOKEN_REJECTED: Verdict = (TokenRejected, "the access token is expired or not valid")
_RECONNECT: Verdict = (ReconnectRequired, "the connection has ended")
_CONFIGURATION: Verdict = (Misconfigured, "our Cloud project is refused; check it and its Google Ads API access level")
_NO_ACCESS: Verdict = (AccountInaccessible, "this grant may not read the account; check the user's or manager's access")
_OUTDATED: Verdict = (Misconfigured, "this version of the API is no longer served; update sivera-jobs")
_CLOSED: Verdict = (AccountInaccessible, "the account is closed or not enabled yet")
_THROTTLED: Verdict = (Throttled, "too many requests")
_UNAVAILABLE: Verdict = (Unavailable, "is in trouble")

ADS_VERDICTS: dict[str, Verdict] = {
    # authenticationError
    "OAUTH_TOKEN_EXPIRED": _TOKEN_REJECTED,
    "OAUTH_TOKEN_INVALID": _TOKEN_REJECTED,
    "GOOGLE_ACCOUNT_COOKIE_INVALID": _TOKEN_REJECTED,
    "AUTHENTICATION_ERROR": _TOKEN_REJECTED,
    "OAUTH_TOKEN_REVOKED": (GrantRevoked, "the user has revoked the access"),
    "OAUTH_TOKEN_DISABLED": _RECONNECT,
    "GOOGLE_ACCOUNT_DELETED": _RECONNECT,
    "NOT_ADS_USER": (NoAdAccounts, "the Google account has no Google Ads account; connect one that has"),
    "TWO_STEP_VERIFICATION_NOT_ENROLLED": (ReconnectRequired, "the Google account must turn on 2-Step Verification"),
    "ADVANCED_PROTECTION_NOT_ENROLLED": (ReconnectRequired, "the Google account must turn on Advanced Protection"),
    "CUSTOMER_NOT_FOUND": (AccountInaccessible, "the account does not exist, or not yet"),
    "ORGANIZATION_NOT_RECOGNIZED": _CONFIGURATION,
    "ORGANIZATION_NOT_APPROVED": _CONFIGURATION,
    "ORGANIZATION_NOT_ASSOCIATED_WITH_DEVELOPER_TOKEN": _CONFIGURATION,
    "DEVELOPER_TOKEN_INVALID": (Misconfigured, "the developer token is not valid; correct or remove it"),
    "OAUTH_TOKEN_HEADER_INVALID": (Misconfigured, "a header is malformed; check the developer token"),
    # authorizationError
    "USER_PERMISSION_DENIED": _NO_ACCESS,
    "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION": _NO_ACCESS,
    "AUTHORIZATION_ERROR": _NO_ACCESS,
    "ACTION_NOT_PERMITTED": _NO_ACCESS,
    "ACCESS_DENIED_FOR_ACCOUNT_TYPE": (AccountInaccessible, "the account is not a Google Ads account"),
    "CUSTOMER_NOT_ENABLED": _CLOSED,
    "INCOMPLETE_SIGNUP": _CLOSED,
    "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT": (AccountInaccessible, "the account is suspended"),
    "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION": _CONFIGURATION,
    "CLOUD_PROJECT_NOT_UNDER_ORGANIZATION": _CONFIGURATION,
    "PROJECT_DISABLED": _CONFIGURATION,
    "SERVICE_ACCESS_DENIED": _CONFIGURATION,
    "METRIC_ACCESS_DENIED": _CONFIGURATION,
    "MISSING_TOS": (Misconfigured, "the Google Ads API's terms of service must be signed in the Cloud console"),
    "DEVELOPER_TOKEN_NOT_ON_ALLOWLIST": _CONFIGURATION,
    "DEVELOPER_TOKEN_PROHIBITED": _CONFIGURATION,
    "DEVELOPER_TOKEN_NOT_APPROVED": _CONFIGURATION,
    # requestError, quotaError, internalError
    "CLOUD_PROJECT_NOT_FOUND": _CONFIGURATION,
    "UNSUPPORTED_VERSION": _OUTDATED,
    "ACCESS_PROHIBITED": _CONFIGURATION,
    "RESOURCE_EXHAUSTED": _THROTTLED,
    "RESOURCE_TEMPORARILY_EXHAUSTED": _THROTTLED,
    "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION": _THROTTLED,
    "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION": _THROTTLED,
    "INTERNAL_ERROR": _UNAVAILABLE,
    "TRANSIENT_ERROR": _UNAVAILABLE,
    "DEADLINE_EXCEEDED": _UNAVAILABLE,
    # google.rpc.ErrorInfo: from the gateway before Google Ads
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": (ScopeMissing, "Google Ads access was not granted"),
    "SERVICE_DISABLED": (Misconfigured, "the Google Ads API is not enabled in our Cloud project"),
}
"""The meaning of Google Ads' error codes; for other codes, the HTTP status counts."""

STATUS_VERDICTS: dict[int, Verdict] = {
    200: (Unavailable, "broke off its answer"),
    401: _TOKEN_REJECTED,
    403: _NO_ACCESS,
    408: _UNAVAILABLE,
    429: _THROTTLED,
}
OAUTH_VERDICTS: dict[str, Verdict] = {
    "invalid_grant": (ReconnectRequired, "the grant was revoked or has expired"),
    # From the endpoint that revokes a token.
    "invalid_token": (ReconnectRequired, "the grant has ended already"),
    "invalid_client": (Misconfigured, "the client id or secret is wrong; correct them"),
    "unauthorized_client": (Misconfigured, "our OAuth client may not use this grant; check client id and secret"),
    "redirect_uri_mismatch": (WrongRedirect, "our OAuth client has not registered this redirect"),
    "deleted_client": (Misconfigured, "our OAuth client was deleted; set another one"),
    "unsupported_grant_type": (Misconfigured, "the token endpoint does not know the refresh grant; check the base URL"),
    "internal_failure": _UNAVAILABLE,
    "server_error": _UNAVAILABLE,
    "temporarily_unavailable": _UNAVAILABLE,
}

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
    """Return the wait, and whether the quota is the account's or our Cloud project's."""
    details = (field_of(failure, "details.quotaErrorDetails") for failure in failures)
    quota = next((found for found in details if isinstance(found, dict)), {})
    delay = _DURATION.fullmatch(str(quota.get("retryDelay")))
    scope = ThrottleScope.ACCOUNT if quota.get("rateScope") == "ACCOUNT" else ThrottleScope.PLATFORM
    return Throttled(PlatformName.GOOGLE, sentence, code, float(delay[1]) if delay else DEFAULT_WAIT_SECONDS, scope)


def oauth_error(reply: Reply) -> PlatformError | None:
    """Return the error that a reply of the token endpoint means; google-auth agrees on which to retry."""
    if reply.status == 200:
        return None
    name = field_of(reply.body, "error")
    code = next((text for text in (field_of(reply.body, "error_subtype"), name) if isinstance(text, str)), None)
    scope = ThrottleScope.ENDPOINT
    if trouble := trouble_of(PlatformName.GOOGLE, reply, code, wait=DEFAULT_WAIT_SECONDS, scope=scope):
        return trouble
    kind, sentence = OAUTH_VERDICTS.get(str(name)) or (InvalidRequest, "the token endpoint refused the request")
    return kind(PlatformName.GOOGLE, sentence, code or str(reply.status))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [text for text in value.values() if isinstance(text, str)] if isinstance(value, dict) else []
