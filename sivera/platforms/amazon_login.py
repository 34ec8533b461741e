"""Amazon's consent pages, one for each region, and the tokens that they lead to.

Facts: the Ads API's guides `account-management/authorization/authorization-grants` and `access-tokens` (hosts, scope, a
code lives for five minutes), and Login with Amazon's `authorization-code-grant` (PKCE).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import SecretStr

from sivera.breaker import Subject
from sivera.platforms import amazon_json as read
from sivera.platforms.base import LONGEST_LIFE_SECONDS, AppCredentials
from sivera.platforms.calling import Caller
from sivera.values import GrantTokens

CONSENT_HOSTS = {
    "na": "https://www.amazon.com",
    "eu": "https://eu.account.amazon.com",
    "fe": "https://apac.account.amazon.com",
}
TOKEN_HOSTS = {"na": "https://api.amazon.com", "eu": "https://api.amazon.co.uk", "fe": "https://api.amazon.co.jp"}
CONSENT_PATH = "/ap/oa"
TOKEN_PATH = "/auth/o2/token"  # noqa: S105 - a path
SCOPE = "advertising::campaign_management"
RENEWAL_REGION = "na"
"""Where tokens of all regions are renewed."""


@dataclass(frozen=True)
class AmazonLogin:
    """Login with Amazon, at the region in which the user has an Amazon account."""

    app: AppCredentials
    oauth: Caller
    regions: ClassVar[tuple[str, ...]] = tuple(CONSENT_HOSTS)
    code_name: ClassVar[str] = "code"
    loopback: ClassVar[str] = "localhost"

    @property
    def issuer(self) -> None:
        """Amazon sends none."""

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the region's consent page."""
        query = {
            "client_id": self.app.client_id,
            "scope": SCOPE,
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._host(CONSENT_HOSTS, region)}{CONSENT_PATH}?{urlencode(query)}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for tokens, in the region of the consent page."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        tokens = tokens_of(self.ask(form, region))
        if tokens.refresh_token is None:
            raise read.invalid("refresh_token")
        return tokens

    def ask(self, form: dict[str, str], region: str = RENEWAL_REGION) -> Any:
        """Return the answer of a region's token endpoint to a form, to which our application's keys are added."""
        keys = {"client_id": self.app.client_id, "client_secret": self.app.client_secret.get_secret_value()}
        url = self._host(TOKEN_HOSTS, region) + TOKEN_PATH
        request = self.oauth.http.build_request("POST", url, data={**form, **keys})
        return self.oauth.send(request, Subject(endpoint="token")).body

    def _host(self, hosts: dict[str, str], region: str) -> str:
        return f"{self.app.base_url}/{region}" if self.app.base_url else hosts[region]


def tokens_of(body: Any) -> GrantTokens:
    """Read the tokens of an answer of the token endpoint (RFC 6749, section 5.1)."""
    seconds: int = read.field(body, "expires_in", int)
    if not 0 < seconds <= LONGEST_LIFE_SECONDS:
        raise read.invalid("expires_in")
    refresh_token = read.optional(body, "refresh_token", str)
    return GrantTokens(
        access_token=SecretStr(read.text(body, "access_token")),
        refresh_token=SecretStr(refresh_token) if refresh_token else None,
        expires_in=timedelta(seconds=seconds),
    )
