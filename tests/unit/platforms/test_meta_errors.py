"""Meta's own error bodies, and the headers that say how long to wait."""

from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
)
from sivera.platforms.base import Reply
from sivera.platforms.meta_errors import ABOUT_ACCOUNT, ABOUT_TOKEN, ABOUT_USER, Question, app_usage, error_of

ERROR_BODIES: list[tuple[str, int, Question, type[PlatformError]]] = [
    ('"code":190,"error_subcode":463,"message":"Session has expired"', 400, ABOUT_ACCOUNT, TokenRejected),
    ('"code":190,"error_subcode":463,"message":"Session has expired"', 401, ABOUT_USER, TokenRejected),
    ('"code":190,"error_subcode":463,"message":"Session has expired"', 400, ABOUT_TOKEN, ReconnectRequired),
    ('"code":190,"error_subcode":467,"message":"Invalid access token"', 400, ABOUT_ACCOUNT, TokenRejected),
    ('"code":190,"message":"Malformed access token EAABsecretsecret"', 400, ABOUT_ACCOUNT, TokenRejected),
    ('"code":190,"message":"Malformed access token EAABsecretsecret"', 400, ABOUT_TOKEN, ReconnectRequired),
    ('"code":190,"error_subcode":458,"message":"The user has not authorized"', 400, ABOUT_ACCOUNT, GrantRevoked),
    ('"code":190,"error_subcode":459,"message":"checkpointed"', 400, ABOUT_ACCOUNT, ReconnectRequired),
    ('"code":190,"error_subcode":460,"message":"changed the password"', 400, ABOUT_ACCOUNT, ReconnectRequired),
    ('"code":190,"error_subcode":464,"message":"unconfirmed user"', 400, ABOUT_ACCOUNT, ReconnectRequired),
    ('"code":190,"error_subcode":492,"message":"invalid session"', 400, ABOUT_ACCOUNT, ReconnectRequired),
    ('"code":102,"message":"API Session"', 400, ABOUT_TOKEN, ReconnectRequired),
    ('"code":190,"is_transient":true,"message":"system error"', 400, ABOUT_TOKEN, Unavailable),
    ('"code":190,"message":"Error validating application. Invalid application ID."', 400, ABOUT_USER, Misconfigured),
    ('"code":101,"message":"Error validating application."', 400, ABOUT_TOKEN, Misconfigured),
    ('"code":1,"message":"Error validating client secret."', 400, ABOUT_TOKEN, Misconfigured),
    ('"code":100,"message":"Invalid appsecret_proof provided in the API argument"', 400, ABOUT_USER, Misconfigured),
    ('"code":200,"message":"API access blocked."', 400, ABOUT_ACCOUNT, Misconfigured),
    ('"code":270,"message":"not allowed for apps with development access"', 400, ABOUT_ACCOUNT, Misconfigured),
    ('"code":2635,"message":"You are calling a deprecated version"', 400, ABOUT_ACCOUNT, Misconfigured),
    ('"code":10,"message":"Application does not have permission"', 403, ABOUT_ACCOUNT, AccountInaccessible),
    ('"code":10,"message":"Application does not have permission"', 403, ABOUT_USER, ReconnectRequired),
    ('"code":200,"message":"Ad account owner has NOT grant ads_read"', 403, ABOUT_ACCOUNT, AccountInaccessible),
    ('"code":294,"message":"requires the extended permission"', 400, ABOUT_USER, ReconnectRequired),
    ('"code":100,"error_subcode":33,"message":"Unsupported get request."', 400, ABOUT_ACCOUNT, AccountInaccessible),
    ('"code":4,"message":"Application request limit reached"', 403, ABOUT_ACCOUNT, Throttled),
    ('"code":4,"error_subcode":1504022,"message":"too many calls from this app"', 400, ABOUT_ACCOUNT, Throttled),
    ('"code":17,"error_subcode":2446079,"is_transient":true,"message":"User limit"', 400, ABOUT_ACCOUNT, Throttled),
    ('"code":613,"error_subcode":1487742,"message":"too many calls"', 400, ABOUT_ACCOUNT, Throttled),
    ('"code":80000,"message":"too many calls to this ad-account"', 400, ABOUT_ACCOUNT, Throttled),
    ('"code":80004,"message":"too many calls to this ad-account"', 403, ABOUT_ACCOUNT, Throttled),
    ('"code":1,"message":"Please reduce the amount of data you\'re asking for"', 500, ABOUT_ACCOUNT, Unavailable),
    ('"code":1,"message":"An unknown error occurred"', 400, ABOUT_ACCOUNT, Unavailable),
    ('"code":2,"message":"Service temporarily unavailable"', 400, ABOUT_TOKEN, Unavailable),
    ('"code":368,"message":"temporarily blocked"', 400, ABOUT_ACCOUNT, Unavailable),
    ('"code":9999,"is_transient":true,"message":"new"', 400, ABOUT_ACCOUNT, Unavailable),
    ('"code":9999,"message":"new"', 503, ABOUT_ACCOUNT, Unavailable),
    (
        '"code":100,"message":"Invalid parameter, see https://developers.facebook.com/x"',
        400,
        ABOUT_USER,
        InvalidRequest,
    ),
    ('"code":3018,"message":"beyond 37 months"', 400, ABOUT_ACCOUNT, InvalidRequest),
    ('"code":"odd","message":7', 400, ABOUT_ACCOUNT, InvalidRequest),
    ('"code":190,"error_subcode":463', 200, ABOUT_ACCOUNT, TokenRejected),
]


@pytest.mark.parametrize(("error", "status", "question", "expected"), ERROR_BODIES)
def test_metas_error_bodies(error: str, status: int, question: Question, expected: type[PlatformError]) -> None:
    found = error_of(question, Reply(status, httpx.Headers(), orjson.loads(f'{{"error":{{{error}}}}}')))
    assert isinstance(found, expected)
    assert not any(secret in str(found) for secret in ("EAABsecretsecret", "http"))
    assert len(str(found)) < 220


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, None, Unavailable),
        (503, {"error": "gateway"}, Unavailable),
        (400, None, InvalidReply),
        (301, {"data": []}, InvalidReply),
        (200, {"error": "gateway"}, InvalidReply),
    ],
)
def test_replies_without_metas_error(status: int, body: object, expected: type[PlatformError]) -> None:
    assert type(error_of(ABOUT_ACCOUNT, Reply(status, httpx.Headers(), body))) is expected


BUSINESS = '{"1":[{"type":"ads_insights","estimated_time_to_regain_access":%s},{"estimated_time_to_regain_access":4}]}'


@pytest.mark.parametrize(
    ("code", "headers", "seconds", "scope"),
    [
        (4, {"X-App-Usage": '{"call_count":100}'}, 600, ThrottleScope.PLATFORM),
        (341, {}, 600, ThrottleScope.PLATFORM),
        (4, {"X-Business-Use-Case-Usage": BUSINESS % 19}, 600, ThrottleScope.PLATFORM),
        (80000, {"X-Business-Use-Case-Usage": BUSINESS % 19}, 19 * 60, ThrottleScope.ACCOUNT),
        (80004, {"X-Business-Use-Case-Usage": BUSINESS % '"soon"'}, 4 * 60, ThrottleScope.ACCOUNT),
        (17, {"X-Ad-Account-Usage": '{"acc_id_util_pct":100,"reset_time_duration":45}'}, 45, ThrottleScope.ACCOUNT),
        (613, {}, 300, ThrottleScope.ACCOUNT),
        (32, {"X-Ad-Account-Usage": "not JSON", "X-Business-Use-Case-Usage": "[1]"}, 300, ThrottleScope.ACCOUNT),
        (80014, {"X-Business-Use-Case-Usage": '{"1":{"a":1},"2":[3]}'}, 300, ThrottleScope.ACCOUNT),
    ],
)
def test_seconds_to_wait(code: int, headers: dict[str, str], seconds: int, scope: ThrottleScope) -> None:
    error = error_of(ABOUT_ACCOUNT, Reply(400, httpx.Headers(headers), {"error": {"code": code}}))
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
def test_usage_of_the_app(headers: dict[str, str], percent: float) -> None:
    assert app_usage(httpx.Headers(headers)) == percent


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "action_type"]), inner),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(status=st.integers(200, 599), body=JSON, code=JSON, subcode=JSON, message=JSON)
def test_no_error_body_breaks_the_table(status: int, body: Any, code: Any, subcode: Any, message: Any) -> None:
    error = {"code": code, "error_subcode": subcode, "message": message}
    assert isinstance(error_of(ABOUT_USER, Reply(status, httpx.Headers(), {"error": error})), PlatformError)
    found = error_of(ABOUT_USER, Reply(status, httpx.Headers(), body))
    assert found is None or isinstance(found, PlatformError)
