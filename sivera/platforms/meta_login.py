"""Meta's consent page and token endpoint.

Sources: developers.facebook.com/docs/facebook-login, pages `guides/advanced/manual-flow` and
`guides/access-tokens/get-long-lived`; for the scope, the Marketing API's page on authorization.
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
"""Enough for accounts, campaigns and insights; managing ads needs another one."""


def api_url(app: AppCredentials, path: str) -> str:
    """Return the address of a path of the API."""
    return app.host(LIVE_HOST) + BASE_PATH + path


class MetaLogin(Login):
    """Meta's login. An application in development mode may redirect to `localhost` without registering it."""

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the login dialog, which has no PKCE without OpenID Connect.

        `auth_type=rerequest` asks again for a permission that the user declined before.
        """
        query = {
            "client_id": self.app.client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": SCOPE,
            "auth_type": "rerequest",
            "state": state,
        }
        return f"{self.app.host(LOGIN_HOST)}{BASE_PATH}{CONSENT_PATH}?{urlencode(query)}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for a token of an hour or two, and that for one of sixty days."""
        return self.exchange(self._ask({"code": code, "redirect_uri": redirect_uri}).access_token)

    def exchange(self, token: SecretStr) -> GrantTokens:
        """Exchange a token that is still valid for one of sixty days, or one that never expires for another."""
        return self._ask({"grant_type": "fb_exchange_token", "fb_exchange_token": token.get_secret_value()})

    def _ask(self, query: dict[str, str]) -> GrantTokens:
        keys = {"client_id": self.app.client_id, "client_secret": self.app.client_secret.get_secret_value()}
        request = self.oauth.http.build_request("GET", api_url(self.app, TOKEN_PATH), params={**query, **keys})
        return tokens_of(Record(PlatformName.META, self.oauth.send(request).body), may_last=True)
