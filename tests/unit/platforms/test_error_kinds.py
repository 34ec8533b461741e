"""The error replies of the four platforms: each becomes the type that says who must act, without any secret."""

from functools import partial
from typing import Any

import pytest
from business_api_client.tiktok_business.tiktok_code import NumericErrorCodes
from google.ads.googleads.v26.errors.types import errors as google_errors

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
    TokenRejected,
    Unavailable,
)
from sivera.platforms import amazon_errors as amazon
from sivera.platforms import google_errors as google
from sivera.platforms import meta_errors as meta
from sivera.platforms import tiktok_errors as tiktok
from sivera.platforms.base import ProductNotEnabled
from sivera.platforms.meta_errors import ABOUT_ACCOUNT, ABOUT_TOKEN, ABOUT_USER, Meanings
from tests.unit.platforms.rig import TOKEN
from tests.unit.platforms.test_errors import (
    ErrorOf,
    Kind,
    amazon_login,
    failure,
    found_in,
    google_login,
    tiktok_call,
    tiktok_code,
    tiktok_grant,
)


def gateway_error(status: int, reason: str) -> Any:
    """Return an error body of the gateway in front of Google Ads."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
    return {"error": {"code": status, "message": "See https://x.test/?key=1", "status": "X", "details": [info]}}


# -- replies ----------------------------------------------------------------------------------------------------------

REPLIES: list[tuple[ErrorOf, list[tuple[int, Any, Kind]]]] = [
    (
        amazon.error_of,
        [
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
            # the gateway, and odd bodies
            (401, {"message": "Unauthorized"}, TokenRejected),
            (403, {"message": "Forbidden"}, AccountInaccessible),
            (307, None, Unavailable),
            (403, ["odd"], AccountInaccessible),
            (400, {"code": 7, "message": {"odd": 1}}, InvalidRequest),
            (504, {"message": "Endpoint request timed out"}, Unavailable),
        ],
    ),
    (
        google.ads_error,
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
    ),
    (
        partial(meta.error_of, ABOUT_TOKEN),
        [
            (400, {"error": {"code": 190, "is_transient": True, "message": "system error"}}, Unavailable),
            (503, {"error": {"code": 9999, "message": "new"}}, Unavailable),
            (400, {"error": {"code": "odd", "message": 7}}, InvalidRequest),
            (400, {"error": {"code": "190", "error_subcode": "458", "message": "x"}}, GrantRevoked),
        ],
    ),
    (
        tiktok_call,
        [
            (200, tiktok_code(49999), InvalidRequest),
            (200, tiktok_code(40002, "The advertiser 71000 doesn't exist or has been deleted."), AccountInaccessible),
            (200, tiktok_code(40000, "You have no permission for this"), AccountInaccessible),
            (200, tiktok_code(1), Unavailable),
            (400, tiktok_code(40105), TokenRejected),
            (403, {"message": "Forbidden"}, InvalidRequest),
            (403, None, InvalidRequest),
            (404, tiktok_code(0), InvalidReply),
            (200, {"code": "40105", "message": "revoked"}, TokenRejected),
            (200, {"code": "0x", "data": {}}, InvalidReply),
            (200, {"code": True, "data": {}}, InvalidReply),
            (200, [], InvalidReply),
            (429, {"message": "slow down"}, Throttled),
        ],
    ),
    (
        amazon_login,
        [
            (400, {"error": "invalid_grant", "error_description": "The parameter : refresh_token"}, GrantRevoked),
            (401, {"error": "invalid_client"}, Misconfigured),
            (400, {"error": "unauthorized_client"}, Misconfigured),
            (400, {"error": "unsupported_grant_type"}, Misconfigured),
            (400, {"error": "invalid_request"}, InvalidRequest),
            (400, {"error": "server_error"}, Unavailable),
            (400, {"error": "something_new"}, InvalidRequest),
            (429, {"error": "temporarily_unavailable"}, Throttled),
            (503, {"error": "temporarily_unavailable"}, Unavailable),
            (200, {"error": "invalid_grant"}, GrantRevoked),
            (200, {"error": "invalid_client"}, Misconfigured),
            (200, {"error": "something_new"}, Unavailable),
            (302, None, Unavailable),
        ],
    ),
    (
        google_login,
        [
            (400, {"error": "invalid_grant", "error_subtype": "invalid_rapt"}, ReconnectRequired),
            (200, {"error": "invalid_grant"}, ReconnectRequired),
            (200, {"error": "something_new"}, Unavailable),
            (302, None, Unavailable),
        ],
    ),
]


@pytest.mark.parametrize(
    ("error_of", "status", "body", "kind"), [(error_of, *reply) for error_of, replies in REPLIES for reply in replies]
)
def test_a_reply_has_its_type(error_of: ErrorOf, status: int, body: Any, kind: Kind) -> None:
    assert type(found_in(error_of, status, body)) is kind


# -- codes ------------------------------------------------------------------------------------------------------------

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
def test_codes_of_google(status: int, kind: Kind, code: str) -> None:
    body = failure(status, "category", code)
    for shape in (body, [{"results": [], "fieldMask": "x"}, body]):  # the second is that of a stream
        error = found_in(google.ads_error, status, shape)
        assert (type(error), error.code) == (kind, code)


def test_every_code_that_we_know_is_googles() -> None:
    descriptor = google_errors.ErrorCode.pb(google_errors.ErrorCode()).DESCRIPTOR
    known = {value.name for field in descriptor.fields for value in field.enum_type.values}
    # These two are reasons of google.rpc.ErrorInfo, which is open text.
    assert google.ADS_VERDICTS.keys() - known == {"ACCESS_TOKEN_SCOPE_INSUFFICIENT", "SERVICE_DISABLED"}


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
def test_codes_of_meta(meanings: Meanings, kind: Kind, said: str) -> None:
    codes, _, message = said.partition(" ")
    code, _, subcode = codes.partition("/")
    error = {"code": int(code), "message": message} | ({"error_subcode": int(subcode)} if subcode else {})
    for status in (200, 400):
        found = found_in(partial(meta.error_of, meanings), status, {"error": error})
        assert (type(found), found.code) == (kind, codes)


OFFICIAL = {name: code for name, code in vars(NumericErrorCodes).items() if name.startswith("ERROR_CODE_") and code}
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
def test_codes_of_tiktok(kinds: tuple[Kind, Kind], name: str) -> None:
    code = OFFICIAL[f"ERROR_CODE_{name}"]
    call, renewal = (found_in(error_of, 200, tiktok_code(code)) for error_of in (tiktok_call, tiktok_grant))
    assert (type(call), type(renewal)) == kinds
    assert call.code == renewal.code == str(code)


def test_every_code_of_tiktoks_sdk_has_a_type_and_the_sdk_has_every_code_that_we_know() -> None:
    for name, code in OFFICIAL.items():
        error = found_in(tiktok_call, 200, tiktok_code(code))
        assert type(error) not in (PlatformError, InvalidReply), name
        assert isinstance(error, Unavailable) or code not in range(50000, 60000), name
    ours = [code for codes in tiktok.ERRORS.values() for code in codes]
    assert sorted(ours) == sorted(set(ours) & set(OFFICIAL.values()))
