"""Google's login in the sandbox: the consent page and the token endpoint."""

import base64
from datetime import timedelta

from sandbox.consent import CodeRefused, ConsentPages, Dialect
from sandbox.http import Call, Reply
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Grant, World
from sivera.values import PlatformName

SCOPE = "https://www.googleapis.com/auth/adwords"
CONSENT = Dialect(
    PlatformName.GOOGLE,
    "/o/oauth2/v2/auth",
    scope=SCOPE,
    lifetime=timedelta(minutes=10),
    knows=frozenset({"state", "access_type", "prompt", "code_challenge", "code_challenge_method"}),
    prefix="4/0A",
    has_issuer=True,
)
NEEDED = {"refresh_token": "refresh_token", "authorization_code": "code"}
"""What a form needs, by its grant_type."""
TOKEN_FIELDS = {
    "refresh_token": {"grant_type", "client_id", "client_secret", "refresh_token", "scope"},
    "authorization_code": {"grant_type", "client_id", "client_secret", "code", "redirect_uri", "code_verifier"},
}
CODE_REFUSALS = {
    "redirect": ("redirect_uri_mismatch", "Bad Request"),
    "verifier": ("invalid_grant", "Invalid code verifier."),
}
MALFORMED_CODE = ("invalid_grant", "Malformed auth code.")


class GoogleLogin:
    """Google's consent page and tokens over a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.consent = ConsentPages(world, CONSENT)

    def token(self, call: Call) -> Reply:
        """Renew an access token (RFC 6749, section 6), or redeem a code (section 4.1.3)."""
        if (error := _client_error(call)) is not None:
            return error
        return self._redeemed(call) if call.form["grant_type"] == "authorization_code" else self._renewed(call)

    def revoke(self, call: Call) -> Reply:
        """Revoke a grant by its access or refresh token."""
        if not _is_form(call) or call.form.keys() != {"token"}:
            return oauth_error(400, "invalid_request", "Bad Request")
        token = PlatformName.GOOGLE, call.form["token"]
        if (grant := self.world.grant_of_refresh(*token) or self.world.grant_of_access(*token)) is None:
            return oauth_error(400, "invalid_token", "Token expired or revoked")
        self.world.revoke_grant(grant.id)
        return Reply({})

    def _renewed(self, call: Call) -> Reply:
        grant = self.world.grant_of_refresh(PlatformName.GOOGLE, call.form["refresh_token"])
        if grant is None:
            return oauth_error(400, "invalid_grant", "Token has been expired or revoked.")
        if grant.needs_login:
            return oauth_error(400, "invalid_grant", "reauth related error (invalid_rapt)", subtype="invalid_rapt")
        return self._tokens(grant, with_refresh=grant.rotates)

    def _redeemed(self, call: Call) -> Reply:
        form = call.form
        try:
            grant = self.consent.redeem(form["code"], form.get("redirect_uri", ""), form.get("code_verifier"))
        except CodeRefused as refused:
            return oauth_error(400, *CODE_REFUSALS.get(refused.args[0], MALFORMED_CODE))
        return self._tokens(grant, with_refresh=True)

    def _tokens(self, grant: Grant, *, with_refresh: bool) -> Reply:
        access, seconds = self.world.issue_access(grant)
        scope = SCOPE if grant.may_read_ads else "openid"
        body = {"access_token": access, "expires_in": seconds, "scope": scope, "token_type": "Bearer"}
        more = {"refresh_token": self.world.issue_refresh(grant)} if with_refresh else {}
        return Reply(body | more, headers={"Cache-Control": "no-store"})


def _is_form(call: Call) -> bool:
    return call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _client_error(call: Call) -> Reply | None:
    """Return the token endpoint's error about the form or our application, if any."""
    form = call.form
    kind = form.get("grant_type", "")
    unknown, needed = sorted(form.keys() - TOKEN_FIELDS.get(kind, form.keys())), NEEDED.get(kind, "")
    client_id, client_secret = _keys(call)
    checks = (
        (_is_form(call), 400, "invalid_request", "The request must be form encoded."),
        (kind in NEEDED, 400, "unsupported_grant_type", f"Invalid grant_type: {kind}"),
        (not unknown, 400, "invalid_request", f"Unknown parameter: {unknown}"),
        (client_id == CLIENT_ID, 401, "invalid_client", "The OAuth client was not found."),
        (client_secret == CLIENT_SECRET, 401, "invalid_client", "Unauthorized"),
        (form.get(needed), 400, "invalid_request", f"Missing required parameter: {needed}"),
    )
    return next((oauth_error(status, error, words) for is_right, status, error, words in checks if not is_right), None)


def _keys(call: Call) -> tuple[str, str]:
    """Return the application's keys: of the form, or of the header, as Google's own library for logins sends them."""
    kind, _, text = call.headers.get("authorization", "").partition(" ")
    if kind == "Basic":
        client_id, _, secret = base64.b64decode(text).decode().partition(":")
        return client_id, secret
    return call.form.get("client_id", ""), call.form.get("client_secret", "")


def oauth_error(
    status: int, error: str, description: str, headers: dict[str, str] | None = None, subtype: str | None = None
) -> Reply:
    """Return an error of the token endpoint."""
    body = {"error": error, "error_description": description} | ({"error_subtype": subtype} if subtype else {})
    return Reply(body, status, headers or {})
