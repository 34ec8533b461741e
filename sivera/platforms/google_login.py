"""Google's consent page and token endpoint.

Source: developers.google.com/identity/protocols/oauth2, pages `web-server` and `native-app`.
"""

from collections.abc import Mapping
from typing import ClassVar

from sivera.errors import ScopeMissing
from sivera.platforms.oauth import PkceLogin
from sivera.platforms.rows import Record
from sivera.values import PlatformName

LOGIN_HOST = "https://accounts.google.com"
CONSENT_PATH = "/o/oauth2/v2/auth"
TOKEN_HOST = "https://oauth2.googleapis.com"  # noqa: S105 - an address


class GoogleLogin(PkceLogin):
    """Google's login. A client of the type 'Desktop app' may use any port of the loopback address.

    `access_type=offline` asks for a refresh token. Without `prompt=consent`, only the first consent returns one.
    """

    loopback: ClassVar[str] = "127.0.0.1"
    scope: ClassVar[str] = "https://www.googleapis.com/auth/adwords"
    options: ClassVar[Mapping[str, str]] = {"access_type": "offline", "prompt": "consent"}

    @property
    def issuer(self) -> str:
        """Google's issuer, as in its OpenID configuration."""
        return self.app.host(LOGIN_HOST)

    def page(self, region: str) -> str:
        """Return the address of the consent page without its parameters."""
        return self.issuer + CONSENT_PATH

    def token_url(self, region: str) -> str:
        """Return the address of the token endpoint."""
        return self.app.host(TOKEN_HOST) + "/token"

    def check_scope(self, answer: Record) -> None:
        """Raise ScopeMissing if the user has unticked the scope on the consent page."""
        if self.scope not in str(answer.get("scope")).split():
            raise ScopeMissing(PlatformName.GOOGLE, "the user did not allow access to Google Ads")
