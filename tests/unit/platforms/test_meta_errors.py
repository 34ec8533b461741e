"""Meta's error bodies: each becomes the type that says who must act, without any secret."""

from functools import partial
from typing import Any

import httpx
import pytest

from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
    InvalidRequest,
    Misconfigured,
    ReconnectRequired,
    ScopeMissing,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
)
from sivera.platforms import meta_errors as meta
from sivera.platforms.meta_errors import ABOUT_ACCOUNT, ABOUT_TOKEN, ABOUT_USER, Meanings
from tests.unit.platforms.rig import TOKEN
from tests.unit.platforms.test_errors import Kind, found_in

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
