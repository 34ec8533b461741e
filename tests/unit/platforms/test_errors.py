"""The error bodies of Amazon and TikTok, and what holds for all four: each becomes the type that says who must act."""

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from business_api_client.tiktok_business.tiktok_code import NumericErrorCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    LeftAlone,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
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
from sivera.platforms.meta_errors import ABOUT_ACCOUNT, ABOUT_TOKEN, ABOUT_USER
from sivera.platforms.oauth import token_error_of
from sivera.values import PlatformName
from tests.unit.platforms.rig import SECRET, TOKEN, assert_no_secret

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


def failure(status: int, category: str, code: str, details: dict[str, Any] | None = None, message: str = "No.") -> Any:
    """Return an error body of Google Ads."""
    error = {"errorCode": {category: code}, "message": message} | ({"details": details} if details else {})
    kind = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"
    return {"error": {"code": status, "message": "x", "status": "X", "details": [{"@type": kind, "errors": [error]}]}}


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
        (google.ads_error, lambda code: {"error": {"details": [{"reason": code}]}}),
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
