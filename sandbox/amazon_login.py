"""Login with Amazon in the sandbox: a consent page and a token endpoint in each region.

That tokens of all regions are renewed in each is assumed.
"""

from datetime import timedelta

from sandbox.amazon_json import error
from sandbox.consent import CodeRefused, ConsentPages, Dialect
from sandbox.http import Call, Refusal, Reply
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Grant, World
from sivera.values import PlatformName

TOKEN_PATH = "/auth/o2/token"  # noqa: S105 - a path
CONSENT = Dialect(
    PlatformName.AMAZON,
    "/ap/oa",
    scope="advertising::campaign_management",
    lifetime=timedelta(minutes=5),
    knows=frozenset({"state", "code_challenge", "code_challenge_method"}),
    denial={"error": "access_denied", "error_description": "The customer denied the request."},
    prefix="AN",
)
NEEDED = {"refresh_token": "refresh_token", "authorization_code": "code"}
"""What a form needs, by its grant_type."""
TOKEN_FIELDS = frozenset(
    {"grant_type", "client_id", "client_secret", "refresh_token", "code", "redirect_uri", "code_verifier", "scope"}
)


class AmazonLogin:
    """Amazon's consent pages and tokens over a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.consent = ConsentPages(world, CONSENT)

    def token(self, call: Call) -> Reply:
        """Renew an access token (RFC 6749, section 6), or redeem a code (section 4.1.3)."""
        form = call.form
        if "application/x-www-form-urlencoded" not in call.headers.get("content-type", ""):
            raise Refusal(error(call, 400, "The Content-Type must be that of a form", "invalid_request"))
        if unknown := form.keys() - TOKEN_FIELDS:
            raise Refusal(error(call, 400, f"Unknown parameters : {', '.join(sorted(unknown))}", "invalid_request"))
        if missing := [name for name in ("grant_type", "client_id", "client_secret") if not form.get(name)]:
            raise Refusal(error(call, 400, f"The request is missing a parameter : {missing[0]}", "invalid_request"))
        if (needed := NEEDED.get(form["grant_type"])) is None:
            raise Refusal(error(call, 400, "The grant type is not supported", "unsupported_grant_type"))
        if (form["client_id"], form["client_secret"]) != (CLIENT_ID, CLIENT_SECRET):
            raise Refusal(error(call, 401, "Client authentication failed", "invalid_client"))
        if not form.get(needed):
            raise Refusal(error(call, 400, f"The request is missing a parameter : {needed}", "invalid_request"))
        if needed == "code":
            grant = self._redeemed(call)
        else:
            grant = self.world.grant_of_refresh(PlatformName.AMAZON, form["refresh_token"])
        if grant is None:
            text = f"The request has an invalid grant parameter : {needed}"
            raise Refusal(error(call, 400, text, "invalid_grant"))
        access, seconds = self.world.issue_access(grant)
        body = {"access_token": access, "token_type": "bearer", "expires_in": seconds}
        body["refresh_token"] = self.world.issue_refresh(grant)
        return Reply(body, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _redeemed(self, call: Call) -> Grant | None:
        form = call.form
        try:
            return self.consent.redeem(
                form["code"], form.get("redirect_uri", ""), form.get("code_verifier"), call.path["region"]
            )
        except CodeRefused:
            return None
