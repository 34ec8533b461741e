"""Google in the sandbox: the login, the account list, and GAQL queries of a grant's accounts.

Every grant has a manager account above its ad accounts. Its user has direct access to the manager and to the first ad
account, like an advertiser who kept a login when an agency took over. `google_query` parses and answers queries,
`google_rows` encodes the world, and this file checks permissions and builds the replies.
"""

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from sandbox.accounts import Account
from sandbox.consent import ConsentPages, Dialect, oauth_error
from sandbox.faults import Fault
from sandbox.google_query import QueryRefused, parse, rows_of
from sandbox.google_rows import Target
from sandbox.http import Call, Entry, Parameters, Refusal, Reply
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.values import PlatformName

API_VERSION = "v26"
SCOPE = "https://www.googleapis.com/auth/adwords"
CONSENT = Dialect(
    PlatformName.GOOGLE,
    "/o/oauth2/v2/auth",
    scope=SCOPE,
    lifetime=timedelta(minutes=10),
    knows=frozenset({"state", "access_type", "prompt", "code_challenge", "code_challenge_method"}),
    prefix="4/0A",
    has_issuer=True,
    wrong_redirect="redirect_uri_mismatch",
)
CHUNK_ROWS = 100
"""The rows in a chunk of `searchStream`; Google's own chunks are larger and vary in size."""
OPERATIONS = {b"customer_client": "accounts", b"change_status": "changes"}
"""The operation of a query by its resource; see `_operation` for campaigns and metrics."""

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}
"""Google's name of an HTTP status; any other is UNAVAILABLE."""

REQUEST_ID = "sandbox"
FAILURE_TYPE = f"type.googleapis.com/google.ads.googleads.{API_VERSION}.errors.GoogleAdsFailure"
NO_ACCESS = (
    "User doesn't have permission to access customer. Note: If you're accessing a client customer, the manager's "
    "customer id must be set in the 'login-customer-id' header. "
    "See https://developers.google.com/google-ads/api/docs/concepts/call-structure#cid"
)
NOT_FOUND_PAGE = (
    b"<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title>"
    b"<p>The requested URL was not found on this server. <ins>That\xe2\x80\x99s all we know.</ins></html>"
)
_CUSTOMER_ID = re.compile(r"[0-9]{10}")
_FROM = re.compile(rb"\bFROM\s+(\w+)")


class Search(Parameters):
    """The body of a search."""

    query: str


class GoogleBackend:
    """Google's paths, encodings and errors for a world."""

    platform = PlatformName.GOOGLE

    def __init__(self, world: World) -> None:
        self.world = world
        self.consent = ConsentPages(world, CONSENT)
        customers = f"/{API_VERSION}/customers"
        stream = f"{customers}/{{customer_id}}/googleAds:searchStream"
        self.routes: list[Entry] = [
            *self.consent.routes(),
            ("POST", "/token", "token", self._token),
            ("POST", "/revoke", "revoke", self._revoke),
            ("GET", f"{customers}:listAccessibleCustomers", "accounts", self._accessible_customers),
            ("POST", stream, _operation, self._search_stream),
        ]

    # -- faults ---------------------------------------------------------------------------------------------------

    def throttled(self, call: Call, fault: Fault) -> Reply:
        """Return 'quota exhausted'; the token endpoint gives the wait in a header."""
        wait = math.ceil(fault.seconds)
        if call.url.endswith(("/token", "/revoke")):
            body = {"error": "rate_limit_exceeded", "error_description": "Rate Limit Exceeded"}
            return Reply(body, 429, {"Retry-After": str(wait)})
        quota = {"rateScope": "DEVELOPER", "rateName": "Requests per project", "retryDelay": f"{wait}s"}
        message, details = f"Too many requests. Retry in {wait} seconds.", {"quotaErrorDetails": quota}
        return self._failure(call, 429, "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", message, details)

    def broken(self, call: Call, status: int) -> Reply:
        """Return an internal error with this status."""
        if call.url.endswith(("/token", "/revoke")):
            return oauth_error(status, "internal_failure", "Backend Error")
        return self._failure(call, status, "internalError", "TRANSIENT_ERROR", "A transient error occurred.")

    def invalid(self, call: Call, words: str) -> Reply:
        """Return Google's error for a URL or a body that it cannot read."""
        return self._error(call, 400, f"Invalid JSON payload received. {words}")

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return Google's HTML page for a path of a retired version, and JSON for any other unknown call."""
        path = "/" + call.path["path"]
        if re.match(r"/v[0-9]+/", path) and not path.startswith(f"/{API_VERSION}/"):
            return Reply(NOT_FOUND_PAGE, 404, media_type="text/html; charset=UTF-8")
        return self._error(call, 404, f"Method not found: {call.method} {path}")

    # -- the login ------------------------------------------------------------------------------------------------

    def _token(self, call: Call) -> Reply:
        grant, is_login = self.consent.grant_for(call), call.form["grant_type"] == "authorization_code"
        access, seconds = self.world.issue_access(grant)
        scope = SCOPE if grant.may_read_ads else "openid"
        body = {"access_token": access, "expires_in": seconds, "scope": scope, "token_type": "Bearer"}
        more = {"refresh_token": self.world.issue_refresh(grant)} if is_login or grant.rotates else {}
        return Reply(body | more, headers={"Cache-Control": "no-store"})

    def _revoke(self, call: Call) -> Reply:
        if call.form.keys() != {"token"}:
            return oauth_error(400, "invalid_request", "Bad Request")
        token = self.platform, call.form["token"]
        if (grant := self.world.grant_of_refresh(*token) or self.world.grant_of_access(*token)) is None:
            return oauth_error(400, "invalid_token", "Token expired or revoked")
        self.world.revoke_grant(grant.id)
        return Reply({})

    # -- questions ------------------------------------------------------------------------------------------------

    def _accessible_customers(self, call: Call) -> Reply:
        grant = self._grant(call)
        call.asked(Parameters)
        return Reply({"resourceNames": [f"customers/{id_}" for id_ in _direct(grant)]})

    def _search_stream(self, call: Call) -> Reply:
        """Answer a query with an array of chunks."""
        target = self._target(call)
        call.asked(Parameters)
        try:
            query = parse(call.sent(Search).query)
            rows = rows_of(query, target)
        except QueryRefused as refused:
            raise self._refusal(call, 400, refused.category, refused.code, refused.message) from None
        common = {
            "fieldMask": query.field_mask,
            "requestId": REQUEST_ID,
            "queryResourceConsumption": str(len(rows)),
        }
        if not rows:
            return Reply([common])
        return Reply([{"results": rows[i : i + CHUNK_ROWS], **common} for i in range(0, len(rows), CHUNK_ROWS)])

    # -- permissions ----------------------------------------------------------------------------------------------

    def _grant(self, call: Call) -> Grant:
        if not call.bearer:
            message = "Request is missing required authentication credential. Expected OAuth 2 access token."
            raise Refusal(self._error(call, 401, message))
        found = self.world.check_access(self.platform, call.bearer)
        if isinstance(found, Grant):
            return found
        code = f"OAUTH_TOKEN_{'INVALID' if found == 'unknown' else found.upper()}"
        raise self._refusal(call, 401, "authenticationError", code, f"The OAuth token is {found}.")

    def _target(self, call: Call) -> Target:
        """Return the customer of a call; refuse the call if the grant's user may not read it this way."""
        grant = self._grant(call)
        customer_id, login_id = call.path["customer_id"], call.headers.get("login-customer-id")
        if not _CUSTOMER_ID.fullmatch(customer_id):
            raise self._refusal(call, 400, "requestError", "INVALID_CUSTOMER_ID", "Customer ID is invalid.")
        if login_id is not None and not _CUSTOMER_ID.fullmatch(login_id):
            message = "The login customer ID could not be validated."
            raise self._refusal(call, 400, "headerError", "INVALID_LOGIN_CUSTOMER_ID", message)
        login_id = login_id or customer_id
        if login_id not in _direct(grant) or login_id not in (customer_id, grant.manager_id):
            raise self._refusal(call, 403, "authorizationError", "USER_PERMISSION_DENIED", NO_ACCESS)
        if customer_id == grant.manager_id:
            return Target(self.world, _manager(grant), tuple(self.world.accounts_of(grant)), is_manager=True)
        account = self.world.accounts[self.platform].get(customer_id)
        if account is None or account.grant_id != grant.id:
            raise self._refusal(call, 403, "authorizationError", "USER_PERMISSION_DENIED", NO_ACCESS)
        if account.closed:
            message = "The customer account can't be accessed because it is not yet enabled or has been deactivated."
            raise self._refusal(call, 403, "authorizationError", "CUSTOMER_NOT_ENABLED", message)
        return Target(self.world, account)

    # -- errors ---------------------------------------------------------------------------------------------------

    def _refusal(self, call: Call, status: int, category: str, code: str, message: str) -> Refusal:
        return Refusal(self._failure(call, status, category, code, message))

    def _failure(
        self, call: Call, status: int, category: str, code: str, message: str, details: dict[str, Any] | None = None
    ) -> Reply:
        """Return an error whose details are a GoogleAdsFailure."""
        error = {"errorCode": {category: code}, "message": message} | ({"details": details} if details else {})
        failure = {"@type": FAILURE_TYPE, "errors": [error], "requestId": REQUEST_ID}
        return self._error(call, status, HTTPStatus(status).phrase, [failure])

    def _error(self, call: Call, status: int, message: str, details: Sequence[dict[str, Any]] = ()) -> Reply:
        error: dict[str, Any] = {"code": status, "message": message, "status": STATUSES.get(status, "UNAVAILABLE")}
        body = {"error": error | ({"details": list(details)} if details else {})}
        # A stream is an array, and so is its error.
        return Reply([body] if ":searchStream" in call.url else body, status)


def _operation(call: Call) -> str:
    if b"metrics." in call.body:
        return "metrics"
    found = _FROM.search(call.body)
    return OPERATIONS.get(found[1], "campaigns") if found else "campaigns"


def _direct(grant: Grant) -> list[str]:
    """Return the customers that the grant's user can access without a manager."""
    own = () if grant.only_through_manager else grant.account_ids[:1]
    return [id_ for id_ in (grant.manager_id, *own) if id_]


def _manager(grant: Grant) -> Account:
    return Account(
        platform=PlatformName.GOOGLE,
        id=str(grant.manager_id),
        name=f"Manager {grant.id}",
        timezone="America/New_York",
        currency="USD",
        grant_id=grant.id,
        index=-1,
        campaign_count=0,
    )
