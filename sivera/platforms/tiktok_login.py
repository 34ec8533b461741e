"""TikTok's consent page and token endpoints.

Sources: the pages `Authentication` and `Obtain a long-term access token` of the API for Business v1.3, and the model
`Oauth2AccessTokenBody` of its SDK (`tiktok-business-api-sdk-official` 1.1.3).
"""

from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlencode

from pydantic import SecretStr

from sivera.platforms.base import Login
from sivera.platforms.calling import Reply
from sivera.platforms.oauth import tokens_of
from sivera.platforms.rows import Record
from sivera.values import GrantTokens, PlatformName

LIVE_HOST = "https://business-api.tiktok.com"
BASE_PATH = "/open_api/v1.3"
CONSENT_PATH = "/portal/auth"
TOKEN_PATH = "/oauth2/access_token/"  # noqa: S105 - a path
REFRESH_PATH = "/tt_user/oauth2/refresh_token/"
REVOKE_PATH = "/oauth2/revoke_token/"
REVOKE_USER_PATH = "/tt_user/oauth2/revoke/"
"""For a grant with a refresh token."""
REFRESHED_TOKEN_LIFE = timedelta(days=1)
"""The lifetime of a refreshed access token if the answer does not name it."""


def data_of(reply: Reply) -> Record:
    """Return the data of a reply."""
    return Record(PlatformName.TIKTOK, reply.body).record("data")


class TikTokLogin(Login):
    """TikTok's login. Requests name no scopes: the application was approved for them."""

    code_name: ClassVar[str] = "auth_code"

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the page that authorizes advertisers; it has no PKCE."""
        query = {"app_id": self.app.client_id, "state": state, "redirect_uri": redirect_uri}
        return f"{self.app.host(LIVE_HOST)}{CONSENT_PATH}?{urlencode(query)}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code, which is valid once and for an hour, for a token that does not expire."""
        answer = data_of(self._post(TOKEN_PATH, self.keys | {"auth_code": code}))
        return GrantTokens(access_token=tokens_of(answer, may_last=True).access_token)

    def refresh(self, token: SecretStr) -> GrantTokens:
        """Exchange a refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": token.get_secret_value()}
        answer = data_of(self._post(REFRESH_PATH, self._user_keys | form))
        renewed = tokens_of(answer, kept=token, may_last=True)
        return renewed.model_copy(update={"expires_in": renewed.expires_in or REFRESHED_TOKEN_LIFE})

    def revoke(self, tokens: GrantTokens) -> None:
        """End the access token, and the refresh token if there is one."""
        path, keys = (REVOKE_USER_PATH, self._user_keys) if tokens.refresh_token else (REVOKE_PATH, self.keys)
        self._post(path, keys | {"access_token": tokens.access_token.get_secret_value()})

    @property
    def keys(self) -> dict[str, str]:
        """The proof that a call comes from our application."""
        return {"app_id": self.app.client_id, "secret": self.app.client_secret.get_secret_value()}

    @property
    def _user_keys(self) -> dict[str, str]:
        """The same, for a grant with a refresh token."""
        return {"client_id": self.app.client_id, "client_secret": self.app.client_secret.get_secret_value()}

    def _post(self, path: str, body: dict[str, str]) -> Reply:
        url = self.app.host(LIVE_HOST) + BASE_PATH + path
        return self.oauth.send(self.oauth.http.build_request("POST", url, json=body))
