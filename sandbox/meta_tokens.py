"""Meta's tokens in the sandbox: the login dialog, the exchange, `debug_token`, and the caller of a request."""

import hashlib
import hmac
from datetime import timedelta

from sandbox import meta_json as wire
from sandbox.consent import CodeRefused, ConsentPages, Dialect
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.http import Call, Refusal, Reply
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.values import PlatformName

VERSION = "v26.0"
APP_TOKEN = f"{CLIENT_ID}|{CLIENT_SECRET}"
DATA_ACCESS_DAYS = 90
SCOPES = ["ads_read", "ads_management", "business_management"]
EXPIRED = ("Error validating access token: Session has expired.", 463)
CONSENT = Dialect(
    PlatformName.META,
    f"/{VERSION}/dialog/oauth",
    lifetime=timedelta(minutes=10),
    scope="ads_read",
    knows=frozenset({"state", "auth_type"}),
    denial={
        "error": "access_denied",
        "error_code": "200",
        "error_description": "Permissions error",
        "error_reason": "user_denied",
    },
    prefix="AQ",
    fragment="#_=_",
)
SHORT_LIFE = timedelta(hours=1)
TOKEN_REFUSALS = {
    "unknown": ("Invalid OAuth access token - Cannot parse access token", None),
    "revoked": (f"Error validating access token: The user has not authorized application {CLIENT_ID}.", 458),
    "expired": EXPIRED,
}
CODE_REFUSALS = {
    "redirect": (36008, "Error validating verification code. Please make sure your redirect_uri is identical to it."),
    "expired": (36007, "This authorization code has expired."),
    "used": (36009, "This authorization code has been used."),
}


class ExchangeQuestion(wire.Question):
    """The parameters that exchange a token or a code."""

    grant_type: str = ""
    client_id: str = ""
    client_secret: str = ""
    fb_exchange_token: str = ""
    code: str = ""
    redirect_uri: str = ""


class TokenQuestion(wire.Question):
    """The parameters of `debug_token`."""

    input_token: str


class MetaTokens:
    """The access tokens of a world's grants."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.consent = ConsentPages(world, CONSENT)

    def exchange(self, call: Call) -> Reply:
        """Issue a new long-lived token for one that is still valid, or a token of an hour for a code."""
        asked = call.asked(ExchangeQuestion)
        checks = (
            (asked.code or asked.grant_type == "fb_exchange_token", "Invalid grant_type", 1),
            (asked.client_id == CLIENT_ID, "Error validating application. Invalid application ID.", 101),
            (asked.client_secret == CLIENT_SECRET, "Error validating client secret.", 1),
            (asked.code or asked.fb_exchange_token, "fb_exchange_token parameter not specified", 1),
        )
        for is_right, words, code in checks:
            if not is_right:
                raise wire.refusal(words, code)
        if asked.code:
            token, seconds = self.world.issue_access(self._redeemed(asked), SHORT_LIFE)
        else:
            token, seconds = self.world.issue_access(self._grant_of(asked.fb_exchange_token))
        lifetime = {} if seconds is None else {"expires_in": seconds}
        return Reply({"access_token": token, "token_type": "bearer", **lifetime})

    def debug(self, call: Call) -> Reply:
        """Describe one of the app's tokens."""
        inspector, text = _token(call), call.asked(TokenQuestion).input_token
        if inspector != APP_TOKEN:
            self._grant_of(inspector)
        grant = self.world.grant_of_access(PlatformName.META, text)
        if grant is None:
            return Reply({"data": {"is_valid": False, "scopes": []}})
        until = grant.data_access_ends or self.world.clock.now() + timedelta(days=DATA_ACCESS_DAYS)
        scopes = SCOPES if grant.may_read_ads else ["public_profile"]
        data = {"is_valid": True, "data_access_expires_at": int(until.timestamp()), "scopes": scopes}
        return Reply({"data": data})

    def revoke(self, call: Call) -> Reply:
        """Revoke everything that the user has allowed the app."""
        call.asked(wire.Question)
        self.world.revoke_grant(self.caller(call).id)
        return Reply({"success": True})

    def _redeemed(self, asked: ExchangeQuestion) -> Grant:
        try:
            return self.consent.redeem(asked.code, asked.redirect_uri)
        except CodeRefused as refused:
            subcode, message = CODE_REFUSALS.get(refused.args[0], (None, "Invalid verification code format."))
            raise Refusal(wire.error(400, 100, message, subcode)) from None

    def _grant_of(self, text: str) -> Grant:
        """Return the grant of a valid token; refuse any other."""
        found = self.world.check_access(PlatformName.META, text)
        if isinstance(found, Grant):
            return found
        raise Refusal(wire.error(400, 190, *TOKEN_REFUSALS[found]))

    def caller(self, call: Call) -> Grant:
        """Return the grant of a call, after checking its proof if there is one."""
        text = _token(call)
        grant, proof = self._grant_of(text), call.query.get("appsecret_proof")
        if proof is not None:
            expected = hmac.new(CLIENT_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
            if proof != expected:
                raise wire.refusal("Invalid appsecret_proof provided in the API argument")
        return grant


def _token(call: Call) -> str:
    token = call.bearer or call.query.get("access_token")
    if not token:
        raise wire.refusal("An access token is required to request this resource.", 104)
    return token
