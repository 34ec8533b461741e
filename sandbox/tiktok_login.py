"""TikTok's login in the sandbox: the page that authorizes advertisers, and the tokens.

TikTok does not document what it sends for a 'no'; the error of RFC 6749 is our choice.
"""

from datetime import timedelta

from sandbox import tiktok_json as wire
from sandbox.consent import CodeRefused, ConsentPages, Dialect
from sandbox.http import Call, Reply
from sandbox.world import World
from sivera.values import PlatformName

CONSENT = Dialect(
    PlatformName.TIKTOK,
    "/portal/auth",
    lifetime=timedelta(hours=1),
    needs=frozenset({"app_id", "redirect_uri"}),
    client_name="app_id",
    sends=("auth_code", "code"),
)
REFRESH_TOKEN_SECONDS = 31_536_000


class TikTokLogin:
    """TikTok's consent page and tokens over a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.consent = ConsentPages(world, CONSENT)

    def redeem(self, call: Call) -> Reply:
        """Redeem a code for a token that does not expire."""
        body = wire.body_of(call, ("app_id", "secret", "auth_code"))
        wire.check_app(body["app_id"], body["secret"])
        try:
            grant = self.consent.redeem(body["auth_code"], None)
        except CodeRefused:
            raise wire.refusal(wire.AUTH_CODE_ERROR, "Auth code is invalid, expired or used.") from None
        token, _ = self.world.issue_access(grant)
        return wire.ok({"access_token": token, "advertiser_ids": grant.account_ids, "scope": [4, 15200000]})

    def refresh(self, call: Call) -> Reply:
        """Renew a token of the kind that has a refresh token."""
        body = wire.body_of(call, ("client_id", "client_secret", "grant_type", "refresh_token"))
        wire.check_app(body["client_id"], body["client_secret"])
        if body["grant_type"] != "refresh_token":
            raise wire.refusal(wire.GRANT_TYPE_INVALID, "Invalid grant_type.")
        grant = self.world.grant_of_refresh(PlatformName.TIKTOK, body["refresh_token"])
        if grant is None:
            raise wire.refusal(wire.REFRESH_TOKEN_INVALID, "The refresh token is invalid.")
        token, seconds = self.world.issue_access(grant)
        return wire.ok(
            {
                "access_token": token,
                "expires_in": seconds,
                "refresh_token": self.world.issue_refresh(grant),
                "refresh_token_expires_in": REFRESH_TOKEN_SECONDS,
                "open_id": f"open-{grant.id}",
                "scope": "user.info.basic",
                "token_type": "Bearer",
            }
        )
