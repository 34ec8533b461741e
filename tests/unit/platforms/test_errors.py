"""The error bodies of the four platforms: each becomes the type that says who must act, without any secret."""

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from business_api_client.tiktok_business.tiktok_code import NumericErrorCodes
from google.ads.googleads.v26.errors.types import errors as google_errors
from google.auth.transport import DEFAULT_RETRYABLE_STATUS_CODES as RETRYABLE
from google.oauth2 import _client as google_oauth
from hypothesis import given, settings
from hypothesis import strategies as st

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    LeftAlone,
    Misconfigured,
    NoAdAccounts,
    PlatformError,
    ReconnectRequired,
    ScopeMissing,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
)
from sivera.platforms import amazon_errors as amazon
from sivera.platforms import google_errors as google
from sivera.platforms import meta_errors as meta
from sivera.platforms import tiktok_errors as tiktok
from sivera.platforms.base import ProductNotEnabled
from sivera.platforms.calling import Reply
from sivera.platforms.meta_errors import ABOUT_ACCOUNT, ABOUT_TOKEN, ABOUT_USER, Meanings
from sivera.platforms.oauth import OAUTH_ERRORS, token_error_of
from sivera.values import PlatformName
from tests.unit.platforms.desk import SECRET, TOKEN, assert_no_secret

Kind = type[PlatformError]
ErrorOf = Callable[[Reply], PlatformError | None]

google_login: ErrorOf = partial(token_error_of, PlatformName.GOOGLE, google.OAUTH_VERDICTS)
amazon_login: ErrorOf = partial(token_error_of, PlatformName.AMAZON, amazon.OAUTH_VERDICTS)
tiktok_call: ErrorOf = partial(tiktok.error_of, tiktok.CALL_ERRORS)
tiktok_grant: ErrorOf = partial(tiktok.error_of, tiktok.GRANT_ERRORS)


def found_in(error_of: ErrorOf, status: int, body: Any, **headers: str) -> PlatformError:
    """Return the error that a reply means, after a check that it reveals nothing."""
    error = error_of(Reply(status, httpx.Headers(headers), body))
    assert error is not None
    assert_no_secret(error)
    return error


# -- Google -----------------------------------------------------------------------------------------------------------


def failure(status: int, category: str, code: str, details: dict[str, Any] | None = None, message: str = "No.") -> Any:
    """Return an error body of Google Ads."""
    error = {"errorCode": {category: code}, "message": message} | ({"details": details} if details else {})
    kind = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"
    return {"error": {"code": status, "message": "x", "status": "X", "details": [{"@type": kind, "errors": [error]}]}}


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


# -- Meta -------------------------------------------------------------------------------------------------------------

META_ERRORS: dict[tuple[Meanings, Kind], list[str]] = {
    (ABOUT_ACCOUNT, TokenRejected): ["190/463 expired", "190/467 invalid", f"190 malformed {TOKEN}"],
    (ABOUT_USER, TokenRejected): ["190/463 expired"],
    (ABOUT_TOKEN, ReconnectRequired): ["190/463 expired", f"190 malformed {TOKEN}", "102 API session"],
    (ABOUT_ACCOUNT, GrantRevoked): ["190/458 not authorized"],
    (ABOUT_ACCOUNT, ReconnectRequired): ["190/459 checkpoint", "190/460 password", "190/464 user", "190/492 invalid"],
    (ABOUT_USER, Misconfigured): ["190 Error validating application.", "100 Invalid appsecret_proof provided"],
    (ABOUT_TOKEN, Misconfigured): ["101 Error validating application.", "1 Error validating client secret."],
    (ABOUT_ACCOUNT, Misconfigured): ["200 API access blocked.", "270 development access", "2635 deprecated version"],
    (ABOUT_ACCOUNT, AccountInaccessible): [
        "10 Application does not have permission",
        "200 Ad account owner has NOT grant",
        "100/33 Unsupported get request",
        "100 (#100) Missing perms",
    ],
    (ABOUT_USER, ScopeMissing): ["10 Application does not have permission", "294 requires the extended permission"],
    (ABOUT_ACCOUNT, Throttled): ["4 x", "4/1504022 x", "17/2446079 x", "613/1487742 x", "80000 x", "80004 x"],
    (ABOUT_ACCOUNT, Unavailable): ["1 An unknown error occurred", "368 temporarily blocked"],
    (ABOUT_TOKEN, Unavailable): ["2 Service temporarily unavailable"],
    (ABOUT_ACCOUNT, meta.TooMuchData): ["1 Please reduce the amount of data", "1/1504018 timed out"],
    (ABOUT_USER, InvalidRequest): ["100 Invalid parameter, see https://x.test/y"],
    (ABOUT_ACCOUNT, InvalidRequest): ["3018 beyond 37 months"],
}


@pytest.mark.parametrize(
    ("meanings", "kind", "said"), [(*key, said) for key, sayings in META_ERRORS.items() for said in sayings]
)
def test_errors_of_meta(meanings: Meanings, kind: Kind, said: str) -> None:
    codes, _, message = said.partition(" ")
    code, _, subcode = codes.partition("/")
    error = {"code": int(code), "message": message} | ({"error_subcode": int(subcode)} if subcode else {})
    for status in (200, 400):
        found = found_in(partial(meta.error_of, meanings), status, {"error": error})
        assert (type(found), found.code) == (kind, codes)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ({"code": 190, "is_transient": True, "message": "system error"}, 400, Unavailable),
        ({"code": 9999, "message": "new"}, 503, Unavailable),
        ({"code": "odd", "message": 7}, 400, InvalidRequest),
        ({"code": "190", "error_subcode": "458", "message": "x"}, 400, GrantRevoked),
    ],
)
def test_odd_errors_of_meta(error: dict[str, Any], status: int, kind: Kind) -> None:
    assert type(found_in(partial(meta.error_of, ABOUT_TOKEN), status, {"error": error})) is kind


BUSINESS = '{"1":[{"type":"ads_insights","estimated_time_to_regain_access":%s},{"estimated_time_to_regain_access":4}]}'


@pytest.mark.parametrize(
    ("code", "headers", "seconds", "scope"),
    [
        (4, {"X-App-Usage": '{"call_count":100}'}, 600, ThrottleScope.PLATFORM),
        (341, {}, 600, ThrottleScope.PLATFORM),
        (4, {"X-Business-Use-Case-Usage": BUSINESS % 19}, 600, ThrottleScope.PLATFORM),
        (80000, {"X-Business-Use-Case-Usage": BUSINESS % 19}, 19 * 60, ThrottleScope.ACCOUNT_ENDPOINT),
        (80004, {"X-Business-Use-Case-Usage": BUSINESS % '"soon"'}, 4 * 60, ThrottleScope.ACCOUNT_ENDPOINT),
        (17, {"X-Ad-Account-Usage": '{"acc_id_util_pct":100,"reset_time_duration":45}'}, 45, ThrottleScope.USER),
        (613, {}, 300, ThrottleScope.ACCOUNT),
        (32, {"X-Ad-Account-Usage": "not JSON", "X-Business-Use-Case-Usage": "[1]"}, 300, ThrottleScope.USER),
        (80014, {"X-Business-Use-Case-Usage": '{"1":{"a":1},"2":[3]}'}, 300, ThrottleScope.ACCOUNT_ENDPOINT),
    ],
)
def test_meta_says_who_waits_and_how_long(
    code: int, headers: dict[str, str], seconds: int, scope: ThrottleScope
) -> None:
    error = found_in(partial(meta.error_of, ABOUT_ACCOUNT), 400, {"error": {"code": code}}, **headers)
    assert isinstance(error, Throttled)
    assert (error.retry_after, error.scope) == (seconds, scope)


@pytest.mark.parametrize(
    ("headers", "percent"),
    [
        ({}, 0),
        ({"x-app-usage": '{"call_count":12,"total_time":88,"total_cputime":3}'}, 88),
        ({"x-fb-ads-insights-throttle": '{"app_id_util_pct":96.5,"acc_id_util_pct":100}'}, 96.5),
        ({"x-ad-account-usage": '{"acc_id_util_pct":99}', "x-app-usage": "{"}, 0),
    ],
)
def test_meta_says_how_busy_our_app_is(headers: dict[str, str], percent: float) -> None:
    assert meta.app_usage(httpx.Headers(headers)) == percent


# -- Amazon -----------------------------------------------------------------------------------------------------------


AMAZON_ERRORS: list[tuple[int, Any, Kind]] = [
    # SP v3 and SB v4
    (400, {"code": "INVALID_ARGUMENT", "message": "maxResults must be at most 100"}, InvalidRequest),
    (401, {"code": "UNAUTHORIZED", "message": "HTTP 401 Unauthorized"}, TokenRejected),
    (403, {"code": "ACCESS_DENIED", "message": "Permission denied"}, AccountInaccessible),
    (429, {"code": "THROTTLED", "message": "Too Many Requests"}, Throttled),
    (500, {"code": "INTERNAL_ERROR", "message": "Internal error"}, Unavailable),
    (415, {"code": "UNSUPPORTED_MEDIA_TYPE", "message": "..."}, InvalidRequest),
    # Reporting v3
    (400, {"code": "400", "detail": "configuration reportTypeId is unknown"}, InvalidRequest),
    (400, {"code": "400", "detail": "Invalid Advertiser or Marketplace ID."}, InvalidRequest),
    (406, {"code": "406", "detail": "Report date is too far in the past."}, InvalidRequest),
    # v2 and SD
    (403, {"code": "403", "details": "Not authorized for Sponsored Display."}, ProductNotEnabled),
    (400, {"code": "400", "details": "You do not have access to Sponsored Brands"}, ProductNotEnabled),
    (401, {"code": "401", "details": "Not authorized to access scope 9100000000000001"}, AccountInaccessible),
    (401, {"code": "401", "details": "No matching advertiser found for scope"}, AccountInaccessible),
    (401, {"code": "401", "details": "Scope header is missing"}, InvalidRequest),
    (401, {"code": "401", "details": "The ClientId header is missing"}, Misconfigured),
    (422, {"code": "422", "details": "Unprocessable"}, InvalidRequest),
    (404, {"code": "NOT_FOUND", "details": "Method Not Found"}, Misconfigured),
    # the gateway, and nothing at all
    (401, {"message": "Unauthorized"}, TokenRejected),
    (403, {"message": "Forbidden"}, AccountInaccessible),
    (307, None, Unavailable),
    (403, ["odd"], AccountInaccessible),
    (400, {"code": 7, "message": {"odd": 1}}, InvalidRequest),
    (504, {"message": "Endpoint request timed out"}, Unavailable),
]


@pytest.mark.parametrize(("status", "body", "kind"), AMAZON_ERRORS)
def test_errors_of_amazon(status: int, body: Any, kind: Kind) -> None:
    error = found_in(amazon.error_of, status, body, **{"Retry-After": "12"})
    code = body.get("code") if isinstance(body, dict) else None
    assert (type(error), error.code) == (kind, code if isinstance(code, str) else str(status))
    if isinstance(error, Throttled):
        assert (error.retry_after, error.scope) == (12, ThrottleScope.ENDPOINT)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_grant", GrantRevoked),
        (401, "invalid_client", Misconfigured),
        (400, "unauthorized_client", Misconfigured),
        (400, "unsupported_grant_type", Misconfigured),
        (400, "invalid_request", InvalidRequest),
        (400, "server_error", Unavailable),
        (400, "something_new", InvalidRequest),
        (429, "temporarily_unavailable", Throttled),
        (503, "temporarily_unavailable", Unavailable),
    ],
)
def test_errors_of_login_with_amazon(status: int, code: str, kind: Kind) -> None:
    body = {"error": code, "error_description": "The request has an invalid grant parameter : refresh_token"}
    error = found_in(amazon_login, status, body)
    assert (type(error), error.code) == (kind, code)


# -- TikTok -----------------------------------------------------------------------------------------------------------

OFFICIAL = {name: code for name, code in vars(NumericErrorCodes).items() if name.startswith("ERROR_CODE_") and code}


def refused(code: Any, message: str = "no") -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": "1", "data": {}}


TIKTOK_CODES: dict[tuple[Kind, Kind], str] = {
    (TokenRejected, ReconnectRequired): "ACCESS_TOKEN_EXPIRE",
    (TokenRejected, GrantRevoked): "INVALID_ACCESS_TOKEN",
    (ReconnectRequired, ReconnectRequired): "REFRESH_TOKEN_EXPIRE EMPTY_ACCESS_TOKEN INVALID_CORE_USER "
    "INVALID_REFRESH_TOKEN ADVERTISER_LOGOUT AUTH_CODE_ERROR SCOPE_TT_USER_OAUTH_FAILED",
    (AccountInaccessible, Misconfigured): "PERMISSION_ERROR ADVERTISER_NOT_EXIST ADVERTISER_ROLE_ERROR",
    (Throttled, Throttled): "REQUEST_TOO_FREQUENT REQUEST_FREQUENCY_LIMITED TOO_MANY_REQUESTS_BL",
    (Unavailable, Unavailable): "GENERAL_TASK_ERROR WRITE_CONFLICT RPC_VALIDATION_ERROR SYS_ERROR SYS_TIMEOUT "
    "STATISTICS_ERROR RDS_TIMEOUT_ERROR MAINTENANCE",
    (InvalidRequest, InvalidRequest): "PARAM_ERROR ROUTE_NOT_FOUND",
    (Misconfigured, Misconfigured): "APP_FORBIDDEN NOT_IN_WHITELIST DEVELOPER_REJECTED DEVELOPER_NO_PERMISSION",
}


@pytest.mark.parametrize(("kinds", "name"), [(k, name) for k, names in TIKTOK_CODES.items() for name in names.split()])
def test_codes_of_tiktok_mean_what_the_sdk_names_them(kinds: tuple[Kind, Kind], name: str) -> None:
    code = OFFICIAL[f"ERROR_CODE_{name}"]
    call, renewal = (found_in(error_of, 200, refused(code)) for error_of in (tiktok_call, tiktok_grant))
    assert (type(call), type(renewal)) == kinds
    assert call.code == renewal.code == str(code)


def test_every_code_of_the_sdk_has_a_type_and_ours_are_the_sdks() -> None:
    for name, code in OFFICIAL.items():
        error = found_in(tiktok_call, 200, refused(code))
        assert type(error) not in (PlatformError, InvalidReply), name
        assert isinstance(error, Unavailable) or code not in range(50000, 60000), name
    ours = [code for codes in tiktok.ERRORS.values() for code in codes]
    assert sorted(ours) == sorted(set(ours) & set(OFFICIAL.values()))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, refused(49999), InvalidRequest),
        (
            200,
            refused(40002, "The advertiser 7100000000000000000 doesn't exist or has been deleted."),
            AccountInaccessible,
        ),
        (200, refused(40000, "You have no permission for this"), AccountInaccessible),
        (200, refused(1), Unavailable),
        (400, refused(40105), TokenRejected),
        (403, {"message": "Forbidden"}, InvalidRequest),
        (403, None, InvalidRequest),
        (404, refused(0), InvalidReply),
        (200, {"code": "40105", "message": "revoked"}, TokenRejected),
        (200, {"code": "0x", "data": {}}, InvalidReply),
        (200, {"code": True, "data": {}}, InvalidReply),
        (200, [], InvalidReply),
        (429, {"message": "slow down"}, Throttled),
    ],
)
def test_other_replies_of_tiktok(status: int, body: Any, kind: Kind) -> None:
    error = found_in(tiktok_call, status, body, **{"Retry-After": "7"})
    assert type(error) is kind
    if isinstance(error, Throttled):
        assert error.retry_after == 7


# -- all four ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [InvalidRequest, Throttled, LeftAlone])
def test_an_error_is_one_line_of_printable_text(make: Kind) -> None:
    error = pickle.loads(pickle.dumps(make(PlatformName.META, "said\n no\x00\x1b[31m \ud83d\u202e", "4\x000\ud83d")))  # noqa: S301 - ours
    assert (error.message, error.code, type(error)) == ("said no[31m ?", "40?", make)
    assert str(error) == "meta: said no[31m ? (40?)"


ERRORS: dict[str, tuple[ErrorOf, Callable[[str], Any]]] = {
    "google": (google.ads_error, lambda said: failure(400, "queryError", "UNRECOGNIZED_FIELD", message=said)),
    "meta": (partial(meta.error_of, ABOUT_USER), lambda said: {"error": {"code": 100, "message": said}}),
    "amazon": (amazon.error_of, lambda said: {"code": "400", "details": said}),
    "tiktok": (tiktok_call, lambda said: refused(40002, said)),
}


@pytest.mark.parametrize("platform", ERRORS)
def test_a_refused_request_repeats_the_platforms_words_without_links_and_in_short(platform: str) -> None:
    error_of, body = ERRORS[platform]
    said = "The field metrics.conversions_from_interactions_rate is unknown. See https://x.test/?secret=1 for more. "
    said += "xyz " * 99
    error = found_in(error_of, 400 if platform != "tiktok" else 200, body(said))
    assert type(error) is InvalidRequest
    assert "The field metrics.conversions_from_interactions_rate is unknown" in str(error)


@pytest.mark.parametrize(
    ("error_of", "status", "body"),
    [
        (google.ads_error, 403, failure(403, "authorizationError", "A_CODE_OF_TOMORROW", message="Not for you.")),
        (google.ads_error, 403, failure(403, "authorizationError", "USER_PERMISSION_DENIED", message="Not for you.")),
        (google.ads_error, 401, failure(401, "authenticationError", "A_CODE_OF_TOMORROW", message="Not for you.")),
        (partial(meta.error_of, ABOUT_ACCOUNT), 403, {"error": {"code": 200, "message": "Not for you."}}),
        (partial(meta.error_of, ABOUT_USER), 403, {"error": {"code": 10, "message": "Not for you."}}),
        (amazon.error_of, 403, {"code": "403", "details": "Not for you."}),
        (tiktok_call, 200, refused(40001, "Not for you.")),
    ],
)
def test_a_refused_permission_repeats_the_platforms_words(error_of: ErrorOf, status: int, body: Any) -> None:
    assert "Not for you" in str(found_in(error_of, status, body))


@pytest.mark.parametrize("token", [TOKEN, "Atza|abc", "EAAGqwertyuiopASDFGHJKLzxcvb", "a-secret-without-any-digit"])
@pytest.mark.parametrize("platform", ERRORS)
def test_a_refused_request_repeats_no_token(platform: str, token: str) -> None:
    error_of, body = ERRORS[platform]
    error = found_in(error_of, 400, body(f"bad token {token} at https://x.test/?secret={SECRET}"))
    assert token not in str(error)
    assert "bad token" in str(error)
    assert "it says" not in str(found_in(error_of, 400, body(TOKEN)))


@pytest.mark.parametrize("code", [TOKEN, SECRET, "https://x.test/?a=b", "x" * 5_000, 10**400])
@pytest.mark.parametrize(
    ("error_of", "body"),
    [
        (google_login, lambda code: {"error": code}),
        (google_login, lambda code: {"error": "invalid_grant", "error_subtype": code}),
        (google.ads_error, lambda code: failure(400, "queryError", code)),
        (google.ads_error, lambda code: gateway_error(403, code)),
        (partial(meta.error_of, ABOUT_USER), lambda code: {"error": {"code": code, "error_subcode": code}}),
        (amazon.error_of, lambda code: {"code": code}),
        (amazon_login, lambda code: {"error": code}),
        (tiktok_call, lambda code: {"code": code}),
    ],
)
def test_a_code_that_is_none_reveals_nothing(error_of: ErrorOf, body: Callable[[Any], Any], code: Any) -> None:
    found_in(error_of, 400, body(code))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["code", "error", "message", "details", "errors"]), inner, max_size=3)
    ),
    max_leaves=5,
)


LOGINS = (google_login, amazon_login, tiktok_grant, partial(meta.error_of, ABOUT_TOKEN))


@pytest.mark.parametrize("error_of", [*(error_of for error_of, _ in ERRORS.values()), *LOGINS])
def test_what_a_gateway_says_by_its_status_alone(error_of: ErrorOf) -> None:
    kinds = {408: Unavailable, 502: Unavailable, 429: Throttled}
    assert {status: type(found_in(error_of, status, None)) for status in kinds} == kinds
    assert found_in(error_of, 400, None)


@pytest.mark.parametrize("error_of", [google_login, amazon_login])
def test_a_redirect_from_a_token_endpoint_may_pass(error_of: ErrorOf) -> None:
    assert type(found_in(error_of, 302, None)) is Unavailable


@settings(max_examples=100, database=None, deadline=None)
@given(
    error_of=st.sampled_from([*(error_of for error_of, _ in ERRORS.values()), *LOGINS]),
    status=st.integers(300, 599),
    body=ANY_JSON,
)
def test_whatever_a_platform_answers_to_a_failure_is_one_of_our_errors(
    error_of: ErrorOf, status: int, body: Any
) -> None:
    assert isinstance(error_of(Reply(status, httpx.Headers(), body)), PlatformError)
