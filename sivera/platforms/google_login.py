"""Google's consent page, and the tokens that it leads to.

Facts: developers.google.com/identity/protocols/oauth2, pages `web-server` and `native-app`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import SecretStr

from sivera.breaker import Subject
from sivera.errors import ScopeMissing
from sivera.platforms.base import LONGEST_LIFE_SECONDS, AppCredentials
from sivera.platforms.calling import Caller
from sivera.platforms.google_json import invalid, member
from sivera.values import GrantTokens, PlatformName

LOGIN_HOST = "https://accounts.google.com"
CONSENT_PATH = "/o/oauth2/v2/auth"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
SCOPE = "https://www.googleapis.com/auth/adwords"
"""The one scope of the Google Ads API."""


@dataclass(frozen=True)
class GoogleLogin:
    """Google's login. A client of the type 'Desktop app' may name any port of the loopback address."""

    app: AppCredentials
    oauth: Caller
    regions: ClassVar[tuple[str, ...]] = ("",)
    code_name: ClassVar[str] = "code"
    loopback: ClassVar[str] = "127.0.0.1"

    @property
    def issuer(self) -> str:
        """Google's issuer, as in its OpenID configuration."""
        return self.app.base_url or LOGIN_HOST

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the consent page.

        `access_type=offline` asks for a refresh token. Without `prompt=consent`, only the first consent leads to one.
        """
        query = {
            "client_id": self.app.client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": SCOPE,
            "access_type": "offline",
            "prompt": "consent",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self.issuer}{CONSENT_PATH}?{urlencode(query)}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for tokens; the user may have unticked the scope on the consent page."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        body = self.ask(form)
        if SCOPE not in str(member(body, "scope")).split():
            raise ScopeMissing(PlatformName.GOOGLE, "was not allowed to give us Google Ads")
        tokens = tokens_of(body)
        if tokens.refresh_token is None:
            raise invalid("sent no refresh_token")
        return tokens

    def ask(self, form: dict[str, str]) -> Any:
        """Return the answer of the token endpoint to a form, to which our application's keys are added."""
        keys = {"client_id": self.app.client_id, "client_secret": self.app.client_secret.get_secret_value()}
        url = f"{self.app.base_url}/token" if self.app.base_url else TOKEN_URL
        request = self.oauth.http.build_request("POST", url, data={**form, **keys})
        return self.oauth.send(request, Subject(endpoint="token")).body


def tokens_of(body: Any) -> GrantTokens:
    """Read the tokens of an answer of the token endpoint (RFC 6749, section 5.1)."""
    access, lifetime, refresh = (member(body, key) for key in ("access_token", "expires_in", "refresh_token"))
    if not isinstance(access, str) or not access:
        raise invalid("sent no access_token")
    if type(lifetime) is not int or not 0 < lifetime <= LONGEST_LIFE_SECONDS:
        raise invalid("sent an expires_in that is not a number of seconds")
    if refresh is not None and (not isinstance(refresh, str) or not refresh):
        raise invalid("sent a refresh_token that is not text")
    return GrantTokens(
        access_token=SecretStr(access),
        refresh_token=SecretStr(refresh) if refresh else None,
        expires_in=timedelta(seconds=lifetime),
    )
