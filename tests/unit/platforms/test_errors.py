"""Errors of all four platforms: their words, codes and waits, without any secret."""

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from google.auth.transport import DEFAULT_RETRYABLE_STATUS_CODES as RETRYABLE
from google.oauth2 import _client as google_oauth
from hypothesis import given, settings
from hypothesis import strategies as st

from sivera.errors import InvalidRequest, LeftAlone, PlatformError, Throttled, ThrottleScope, Unavailable
from sivera.platforms import amazon_errors as amazon
from sivera.platforms import google_errors as google
from sivera.platforms import meta_errors as meta
from sivera.platforms import tiktok_errors as tiktok
from sivera.platforms.calling import Reply
from sivera.platforms.meta_errors import ABOUT_ACCOUNT, ABOUT_TOKEN, ABOUT_USER
from sivera.platforms.oauth import OAUTH_ERRORS, token_error_of
from sivera.values import PlatformName
from tests.unit.platforms.rig import SECRET, TOKEN, assert_no_secret

Kind = type[PlatformError]
ErrorOf = Callable[[Reply], PlatformError | None]

google_login: ErrorOf = partial(token_error_of, PlatformName.GOOGLE, google.OAUTH_VERDICTS)
amazon_login: ErrorOf = partial(token_error_of, PlatformName.AMAZON, amazon.OAUTH_VERDICTS)
meta_account: ErrorOf = partial(meta.error_of, ABOUT_ACCOUNT)
meta_user: ErrorOf = partial(meta.error_of, ABOUT_USER)
meta_token: ErrorOf = partial(meta.error_of, ABOUT_TOKEN)
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


def tiktok_code(code: Any, message: str = "no") -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": "1", "data": {}}


# -- words and codes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [InvalidRequest, Throttled, LeftAlone])
def test_an_error_is_one_line_of_printable_text(make: Kind) -> None:
    error = pickle.loads(pickle.dumps(make(PlatformName.META, "said\n no\x00\x1b[31m \ud83d\u202e", "4\x000\ud83d")))  # noqa: S301 - ours
    assert (error.message, error.code, type(error)) == ("said no[31m ?", "40?", make)
    assert str(error) == "meta: said no[31m ? (40?)"


ERRORS: dict[str, tuple[ErrorOf, Callable[[str], Any]]] = {
    "google": (google.ads_error, lambda said: failure(400, "queryError", "UNRECOGNIZED_FIELD", message=said)),
    "meta": (meta_user, lambda said: {"error": {"code": 100, "message": said}}),
    "amazon": (amazon.error_of, lambda said: {"code": "400", "details": said}),
    "tiktok": (tiktok_call, lambda said: tiktok_code(40002, said)),
}


@pytest.mark.parametrize("platform", ERRORS)
def test_a_refused_request_quotes_the_platform_briefly_and_without_links(platform: str) -> None:
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
        (meta_account, 403, {"error": {"code": 200, "message": "Not for you."}}),
        (meta_user, 403, {"error": {"code": 10, "message": "Not for you."}}),
        (amazon.error_of, 403, {"code": "403", "details": "Not for you."}),
        (tiktok_call, 200, tiktok_code(40001, "Not for you.")),
    ],
)
def test_a_refused_permission_quotes_the_platform(error_of: ErrorOf, status: int, body: Any) -> None:
    assert "Not for you" in str(found_in(error_of, status, body))


@pytest.mark.parametrize("token", [TOKEN, "Atza|abc", "EAAGqwertyuiopASDFGHJKLzxcvb", "a-secret-without-any-digit"])
@pytest.mark.parametrize("platform", ERRORS)
def test_a_refused_request_quotes_no_token(platform: str, token: str) -> None:
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
        (meta_user, lambda code: {"error": {"code": code, "error_subcode": code}}),
        (amazon.error_of, lambda code: {"code": code}),
        (amazon_login, lambda code: {"error": code}),
        (tiktok_call, lambda code: {"code": code}),
    ],
)
def test_an_odd_code_reveals_nothing(error_of: ErrorOf, body: Callable[[Any], Any], code: Any) -> None:
    found_in(error_of, 400, body(code))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["code", "error", "message", "details", "errors"]), inner, max_size=3)
    ),
    max_leaves=5,
)


LOGINS = (google_login, amazon_login, tiktok_grant, meta_token)


@pytest.mark.parametrize("error_of", [*(error_of for error_of, _ in ERRORS.values()), *LOGINS])
def test_the_status_of_a_gateway_is_enough(error_of: ErrorOf) -> None:
    kinds = {408: Unavailable, 502: Unavailable, 429: Throttled}
    assert {status: type(found_in(error_of, status, None)) for status in kinds} == kinds
    assert found_in(error_of, 400, None)


@pytest.mark.parametrize(
    ("error_of", "status", "body", "code"),
    [
        (amazon.error_of, 403, {"code": "ACCESS_DENIED"}, "ACCESS_DENIED"),
        (amazon.error_of, 400, {"code": 7, "message": {"odd": 1}}, "400"),
        (amazon.error_of, 307, None, "307"),
        (amazon_login, 400, {"error": "invalid_grant"}, "invalid_grant"),
        (google.ads_error, 401, None, "401"),
        (google_login, 400, {"error": "invalid_grant", "error_subtype": "invalid_rapt"}, "invalid_rapt"),
    ],
)
def test_an_error_has_the_platforms_code_or_the_status(error_of: ErrorOf, status: int, body: Any, code: str) -> None:
    assert found_in(error_of, status, body).code == code


@pytest.mark.parametrize("status", sorted({400, 401, 403, *RETRYABLE}))
@pytest.mark.parametrize(
    "error", [*google.OAUTH_VERDICTS, *OAUTH_ERRORS, "invalid_request", "invalid_scope", "a_new_one"]
)
def test_google_auth_retries_the_same_refusals(status: int, error: str) -> None:
    body = {"error": error, "error_description": "in words"}
    ours = found_in(google_login, status, body)
    assert isinstance(ours, Unavailable | Throttled) is google_oauth._can_retry(status, body)  # type: ignore[no-untyped-call]


@settings(max_examples=100, database=None, deadline=None)
@given(
    error_of=st.sampled_from([*(error_of for error_of, _ in ERRORS.values()), *LOGINS]),
    status=st.integers(300, 599),
    body=ANY_JSON,
)
def test_any_failed_reply_is_one_of_our_errors(error_of: ErrorOf, status: int, body: Any) -> None:
    assert isinstance(error_of(Reply(status, httpx.Headers(), body)), PlatformError)


# -- throttles --------------------------------------------------------------------------------------------------------


def quota(**details: str) -> Any:
    return [failure(429, "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", {"quotaErrorDetails": details})]


BUSINESS = '{"1":[{"type":"ads_insights","estimated_time_to_regain_access":%s},{"estimated_time_to_regain_access":4}]}'
DAY_SECONDS = 24 * 3600
ACCOUNT, PLATFORM, USER = ThrottleScope.ACCOUNT, ThrottleScope.PLATFORM, ThrottleScope.USER
WAITS: list[tuple[ErrorOf, Any, dict[str, str], float, ThrottleScope]] = [
    (google.ads_error, quota(rateScope="ACCOUNT", retryDelay="12s"), {}, 12, ACCOUNT),
    (google.ads_error, quota(rateScope="DEVELOPER", retryDelay="7.250s"), {}, 7.25, PLATFORM),
    (google.ads_error, quota(rateScope="UNKNOWN", retryDelay="later"), {}, 60, PLATFORM),
    (google.ads_error, quota(), {}, 60, PLATFORM),
    (google.ads_error, quota(rateScope="ACCOUNT", retryDelay=f"{10**400}s"), {}, DAY_SECONDS, ACCOUNT),
    (amazon.error_of, None, {"Retry-After": "12"}, 12, ThrottleScope.ENDPOINT),
    (amazon.error_of, None, {"Retry-After": "1e99"}, DAY_SECONDS, ThrottleScope.ENDPOINT),
    (tiktok_call, {"message": "slow down"}, {"Retry-After": "7"}, 7, PLATFORM),
    (meta_account, {"error": {"code": 17, "error_subcode": 2446079}}, {}, 300, ACCOUNT),
    *(
        (meta_account, {"error": {"code": code}}, headers, seconds, scope)
        for code, headers, seconds, scope in (
            (4, {"X-App-Usage": '{"call_count":100}'}, 600, PLATFORM),
            (341, {}, 600, PLATFORM),
            (4, {"X-Business-Use-Case-Usage": BUSINESS % 19}, 600, PLATFORM),
            (80000, {"X-Business-Use-Case-Usage": BUSINESS % 19}, 19 * 60, ThrottleScope.ACCOUNT_ENDPOINT),
            (80004, {"X-Business-Use-Case-Usage": BUSINESS % '"soon"'}, 4 * 60, ThrottleScope.ACCOUNT_ENDPOINT),
            (17, {"X-Ad-Account-Usage": '{"acc_id_util_pct":100,"reset_time_duration":45}'}, 45, USER),
            (17, {"X-Ad-Account-Usage": '{"reset_time_duration":1e300}'}, DAY_SECONDS, USER),
            (80004, {"X-Business-Use-Case-Usage": BUSINESS % 10**7}, DAY_SECONDS, ThrottleScope.ACCOUNT_ENDPOINT),
            (613, {}, 300, ACCOUNT),
            (32, {"X-Ad-Account-Usage": "not JSON", "X-Business-Use-Case-Usage": "[1]"}, 300, USER),
            (80014, {"X-Business-Use-Case-Usage": '{"1":{"a":1},"2":[3]}'}, 300, ThrottleScope.ACCOUNT_ENDPOINT),
        )
    ),
]


@pytest.mark.parametrize(("error_of", "body", "headers", "seconds", "scope"), WAITS)
def test_a_throttle_says_who_waits_and_how_long(
    error_of: ErrorOf, body: Any, headers: dict[str, str], seconds: float, scope: ThrottleScope
) -> None:
    error = found_in(error_of, 429, body, **headers)
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
def test_meta_says_how_much_of_our_quota_is_used(headers: dict[str, str], percent: float) -> None:
    assert meta.app_usage(httpx.Headers(headers)) == percent
