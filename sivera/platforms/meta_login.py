"""Meta's consent page, and the tokens that it leads to.

Facts: developers.facebook.com/docs/facebook-login, pages `guides/advanced/manual-flow` and
`guides/access-tokens/get-long-lived`; the scope is that of the Marketing API's page on authorization.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlencode

from pydantic import SecretStr

from sivera.platforms.base import LONGEST_LIFE_SECONDS, AppCredentials
from sivera.platforms.calling import Caller
from sivera.platforms.meta_json import invalid
from sivera.platforms.meta_pages import body_of
from sivera.values import GrantTokens

LOGIN_HOST = "https://www.facebook.com"
CONSENT_PATH = "/dialog/oauth"
TOKEN_PATH = "/oauth/access_token"  # noqa: S105 - a path
SCOPE = "ads_read"
"""It is enough for accounts, campaigns and insights; whoever manages ads needs another one."""


@dataclass(frozen=True)
class MetaLogin:
    """Meta's login. An application in development mode may redirect to `localhost` without registering it."""

    app: AppCredentials
    oauth: Caller
    host: str
    version: str
    regions: ClassVar[tuple[str, ...]] = ("",)
    code_name: ClassVar[str] = "code"
    loopback: ClassVar[str] = "localhost"
    issuer: ClassVar[None] = None

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
        return f"{self.app.base_url or LOGIN_HOST}{self.version}{CONSENT_PATH}?{urlencode(query)}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for a token of an hour or two, and that for one of sixty days."""
        return self.exchange(self._ask({"code": code, "redirect_uri": redirect_uri}).access_token)

    def exchange(self, token: SecretStr) -> GrantTokens:
        """Exchange a token that is still valid for one of sixty days, or one that never expires for another."""
        return self._ask({"grant_type": "fb_exchange_token", "fb_exchange_token": token.get_secret_value()})

    def _ask(self, query: dict[str, str]) -> GrantTokens:
        keys = {"client_id": self.app.client_id, "client_secret": self.app.client_secret.get_secret_value()}
        url = self.host + self.version + TOKEN_PATH
        body = body_of(self.oauth.send(self.oauth.http.build_request("GET", url, params={**query, **keys})))
        token, seconds = body.get("access_token"), body.get("expires_in", 0)
        if not isinstance(token, str) or not token:
            raise invalid("access_token")
        if type(seconds) is not int or not 0 <= seconds <= LONGEST_LIFE_SECONDS:
            raise invalid("expires_in")
        return GrantTokens(access_token=SecretStr(token), expires_in=timedelta(seconds=seconds) if seconds else None)
