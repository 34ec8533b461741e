"""Meta's consent page, and the tokens that it leads to.

Facts: developers.facebook.com/docs/facebook-login, pages `guides/advanced/manual-flow` and
`guides/access-tokens/get-long-lived`; the scope is that of the Marketing API's page on authorization.
"""

from urllib.parse import urlencode

from pydantic import SecretStr

from sivera.platforms.base import AppCredentials, Login
from sivera.platforms.oauth import tokens_of
from sivera.platforms.rows import Record
from sivera.values import GrantTokens, PlatformName

LIVE_HOST = "https://graph.facebook.com"
BASE_PATH = "/v26.0"
LOGIN_HOST = "https://www.facebook.com"
CONSENT_PATH = "/dialog/oauth"
TOKEN_PATH = "/oauth/access_token"  # noqa: S105 - a path
SCOPE = "ads_read"
"""It is enough for accounts, campaigns and insights; whoever manages ads needs another one."""


def base_of(app: AppCredentials, live_host: str = LIVE_HOST) -> str:
    """Return the address of the API, or of the sandbox in its place."""
    return (app.base_url or live_host).rstrip("/") + BASE_PATH


class MetaLogin(Login):
    """Meta's login. An application in development mode may redirect to `localhost` without registering it."""

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the login dialog, which has no PKCE without OpenID Connect.

        `auth_type=rerequest` asks again for a permission that the user has declined before.
        """
        query = {
            "client_id": self.app.client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": SCOPE,
            "auth_type": "rerequest",
            "state": state,
        }
        return f"{base_of(self.app, LOGIN_HOST)}{CONSENT_PATH}?{urlencode(query)}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for a token of an hour or two, and that for one of sixty days."""
        return self.exchange(self._ask({"code": code, "redirect_uri": redirect_uri}).access_token)

    def exchange(self, token: SecretStr) -> GrantTokens:
        """Exchange a token that is still valid for one of sixty days, or one that never expires for another."""
        return self._ask({"grant_type": "fb_exchange_token", "fb_exchange_token": token.get_secret_value()})

    def _ask(self, query: dict[str, str]) -> GrantTokens:
        keys = {"client_id": self.app.client_id, "client_secret": self.app.client_secret.get_secret_value()}
        request = self.oauth.http.build_request("GET", base_of(self.app) + TOKEN_PATH, params={**query, **keys})
        return tokens_of(Record(PlatformName.META, self.oauth.send(request).body), may_last=True)
