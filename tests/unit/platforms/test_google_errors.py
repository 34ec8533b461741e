"""Google's error bodies: each becomes the type that says who must act, without any secret."""

from typing import Any

import pytest
from google.ads.googleads.v26.errors.types import errors as google_errors
from google.auth.transport import DEFAULT_RETRYABLE_STATUS_CODES as RETRYABLE
from google.oauth2 import _client as google_oauth

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    NoAdAccounts,
    ReconnectRequired,
    ScopeMissing,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
)
from sivera.platforms import google_errors as google
from sivera.platforms.oauth import OAUTH_ERRORS
from tests.unit.platforms.test_errors import ErrorOf, Kind, amazon_login, failure, found_in, google_login


def gateway_error(status: int, reason: str) -> Any:
    """Return an error body of Google's gateway, which answers before Google Ads does."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
    return {"error": {"code": status, "message": "See https://x.test/?key=1", "status": "X", "details": [info]}}


GOOGLE_FAILURES: dict[tuple[int, Kind], str] = {
    (401, TokenRejected): "OAUTH_TOKEN_EXPIRED OAUTH_TOKEN_INVALID A_CODE_OF_TOMORROW",
    (401, GrantRevoked): "OAUTH_TOKEN_REVOKED",
    (401, ReconnectRequired): "OAUTH_TOKEN_DISABLED GOOGLE_ACCOUNT_DELETED ADVANCED_PROTECTION_NOT_ENROLLED",
    (401, NoAdAccounts): "NOT_ADS_USER",
    (401, AccountInaccessible): "CUSTOMER_NOT_FOUND",
    (403, AccountInaccessible): "USER_PERMISSION_DENIED CUSTOMER_NOT_ENABLED A_CODE_OF_TOMORROW",
    (403, Misconfigured): "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION PROJECT_DISABLED DEVELOPER_TOKEN_NOT_APPROVED "
    "ACCESS_PROHIBITED",
    (400, Misconfigured): "UNSUPPORTED_VERSION",
    (400, InvalidRequest): "UNRECOGNIZED_FIELD REQUESTED_METRICS_FOR_MANAGER A_CODE_OF_TOMORROW",
    (429, Throttled): "RESOURCE_EXHAUSTED RESOURCE_TEMPORARILY_EXHAUSTED A_CODE_OF_TOMORROW "
    "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION",
    (500, Unavailable): "INTERNAL_ERROR TRANSIENT_ERROR DEADLINE_EXCEEDED A_CODE_OF_TOMORROW",
}


@pytest.mark.parametrize(
    ("status", "kind", "code"), [(*key, code) for key, codes in GOOGLE_FAILURES.items() for code in codes.split()]
)
def test_failures_of_google_ads(status: int, kind: Kind, code: str) -> None:
    body = failure(status, "category", code)
    for shape in (body, [{"results": [], "fieldMask": "x"}, body]):  # the second is that of a stream
        error = found_in(google.ads_error, status, shape)
        assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, gateway_error(401, "ACCESS_TOKEN_EXPIRED"), TokenRejected),
        (401, None, TokenRejected),
        (403, gateway_error(403, "SERVICE_DISABLED"), Misconfigured),
        (403, gateway_error(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), ScopeMissing),
        (400, {"error": {"code": 400, "message": "Invalid JSON payload received."}}, InvalidRequest),
        (400, {"error": "a shape of tomorrow"}, InvalidRequest),
        (400, {"error": {"details": ["text", {"errors": ["text", {"errorCode": "text"}]}]}}, InvalidRequest),
        (404, {"error": {"code": 404, "message": "Not found."}}, InvalidRequest),
        (302, None, InvalidReply),
        (429, gateway_error(429, "RATE_LIMIT_EXCEEDED"), Throttled),
        (503, {"error": {"code": 503, "message": "Unavailable.", "status": "UNAVAILABLE"}}, Unavailable),
        (200, failure(500, "internalError", "INTERNAL_ERROR"), Unavailable),
        (200, [{"results": []}, {"error": {"message": "The stream broke off."}}], Unavailable),
    ],
)
def test_other_errors_of_google(status: int, body: Any, kind: Kind) -> None:
    error = found_in(google.ads_error, status, body)
    assert type(error) is kind
    assert error.code


@pytest.mark.parametrize(
    ("details", "seconds", "scope"),
    [
        ({"rateScope": "ACCOUNT", "retryDelay": "12s"}, 12.0, ThrottleScope.ACCOUNT),
        ({"rateScope": "DEVELOPER", "retryDelay": "7.250s"}, 7.25, ThrottleScope.PLATFORM),
        ({"rateScope": "UNKNOWN", "retryDelay": "later"}, 60.0, ThrottleScope.PLATFORM),
        ({}, 60.0, ThrottleScope.PLATFORM),
    ],
)
def test_google_says_who_waits_and_how_long(details: dict[str, str], seconds: float, scope: ThrottleScope) -> None:
    body = failure(429, "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", {"quotaErrorDetails": details})
    error = found_in(google.ads_error, 429, [body])
    assert isinstance(error, Throttled)
    assert (error.retry_after, error.scope) == (seconds, scope)


def test_every_error_code_of_ours_is_googles() -> None:
    descriptor = google_errors.ErrorCode.pb(google_errors.ErrorCode()).DESCRIPTOR
    known = {value.name for field in descriptor.fields for value in field.enum_type.values}
    # These two are reasons of google.rpc.ErrorInfo, which is open text.
    assert google.ADS_VERDICTS.keys() - known == {"ACCESS_TOKEN_SCOPE_INSUFFICIENT", "SERVICE_DISABLED"}


@pytest.mark.parametrize("status", sorted({400, 401, 403, *RETRYABLE}))
@pytest.mark.parametrize(
    "error", [*google.OAUTH_VERDICTS, *OAUTH_ERRORS, "invalid_request", "invalid_scope", "a_new_one"]
)
def test_google_auth_agrees_on_which_refusals_are_worth_another_try(status: int, error: str) -> None:
    body = {"error": error, "error_description": "in words"}
    ours = found_in(google_login, status, body)
    assert isinstance(ours, Unavailable | Throttled) is google_oauth._can_retry(status, body)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("error_of", [google_login, amazon_login])
@pytest.mark.parametrize(
    ("error", "kind"), [("invalid_grant", ReconnectRequired), ("invalid_client", Misconfigured), ("new", Unavailable)]
)
def test_a_token_endpoint_that_refuses_under_http_200_says_who_must_act(
    error_of: ErrorOf, error: str, kind: Kind
) -> None:
    assert isinstance(found_in(error_of, 200, {"error": error}), kind)


def test_google_names_the_reason_of_a_refused_renewal() -> None:
    body = {"error": "invalid_grant", "error_subtype": "invalid_rapt"}
    error = found_in(google_login, 400, body)
    assert (type(error), error.code) == (ReconnectRequired, "invalid_rapt")
