"""TikTok's consent page, and the token that it leads to.

Facts: the pages `Authentication` and `Obtain a long-term access token` of the API for Business v1.3, and the model
`Oauth2AccessTokenBody` of its SDK (`tiktok-business-api-sdk-official` 1.1.3).
"""

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from pydantic import SecretStr

from sivera.platforms.base import AppCredentials
from sivera.platforms.calling import Caller
from sivera.platforms.tiktok_pages import data_of
from sivera.values import GrantTokens

CONSENT_PATH = "/portal/auth"
TOKEN_PATH = "/oauth2/access_token/"  # noqa: S105 - a path


@dataclass(frozen=True)
class TikTokLogin:
    """TikTok's login. The scopes are those for which our application was approved; a request names none.

    `host` is TikTok's, `base` the address of the API below it.
    """

    app: AppCredentials
    oauth: Caller
    host: str
    base: str
    regions: ClassVar[tuple[str, ...]] = ("",)
    code_name: ClassVar[str] = "auth_code"
    loopback: ClassVar[str] = "localhost"
    issuer: ClassVar[None] = None

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the page that authorizes advertisers; it has no PKCE."""
        query = {"app_id": self.app.client_id, "state": state, "redirect_uri": redirect_uri}
        return f"{self.host}{CONSENT_PATH}?{urlencode(query)}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for a token that does not expire; it lives for an hour, for one use."""
        body = {
            "app_id": self.app.client_id,
            "secret": self.app.client_secret.get_secret_value(),
            "auth_code": code,
        }
        request = self.oauth.http.build_request("POST", self.base + TOKEN_PATH, json=body)
        return GrantTokens(access_token=SecretStr(data_of(self.oauth.send(request)).text("access_token")))
