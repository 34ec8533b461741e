"""Google's consent page, and the tokens that it leads to.

Facts: developers.google.com/identity/protocols/oauth2, pages `web-server` and `native-app`.
"""

from typing import ClassVar
from urllib.parse import urlencode

from sivera.errors import ScopeMissing
from sivera.platforms.base import Login
from sivera.platforms.oauth import ask, code_form, consent_query, tokens_of
from sivera.platforms.rows import Record
from sivera.values import GrantTokens, PlatformName

LOGIN_HOST = "https://accounts.google.com"
CONSENT_PATH = "/o/oauth2/v2/auth"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
SCOPE = "https://www.googleapis.com/auth/adwords"
"""The one scope of the Google Ads API."""


class GoogleLogin(Login):
    """Google's login. A client of the type 'Desktop app' may name any port of the loopback address."""

    loopback: ClassVar[str] = "127.0.0.1"

    @property
    def issuer(self) -> str:
        """Google's issuer, as in its OpenID configuration."""
        return self.app.base_url or LOGIN_HOST

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the consent page.

        `access_type=offline` asks for a refresh token. Without `prompt=consent`, only the first consent leads to one.
        """
        query = consent_query(self.app, SCOPE, redirect_uri, state, challenge)
        return f"{self.issuer}{CONSENT_PATH}?{urlencode(query | {'access_type': 'offline', 'prompt': 'consent'})}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for tokens; the user may have unticked the scope on the consent page."""
        answer = self.ask(code_form(code, redirect_uri, verifier))
        if SCOPE not in str(answer.get("scope")).split():
            raise ScopeMissing(PlatformName.GOOGLE, "was not allowed to give us Google Ads")
        return tokens_of(answer, needs_refresh=True)

    def ask(self, form: dict[str, str]) -> Record:
        """Return the answer of the token endpoint to a form."""
        return ask(self.app, self.oauth, f"{self.app.base_url}/token" if self.app.base_url else TOKEN_URL, form)
