"""Amazon's consent pages, one for each region, and the tokens that they lead to.

Facts: the Ads API's guides `account-management/authorization/authorization-grants` and `access-tokens` (hosts, scope, a
code lives for five minutes), and Login with Amazon's `authorization-code-grant` (PKCE).
"""

from typing import ClassVar
from urllib.parse import urlencode

from sivera.platforms.base import Login
from sivera.platforms.oauth import ask, code_form, consent_query, tokens_of
from sivera.platforms.rows import Record
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


class AmazonLogin(Login):
    """Login with Amazon, at the region in which the user has an Amazon account."""

    regions: ClassVar[tuple[str, ...]] = tuple(CONSENT_HOSTS)

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the region's consent page."""
        query = consent_query(self.app, SCOPE, redirect_uri, state, challenge)
        return f"{self._host(CONSENT_HOSTS, region)}{CONSENT_PATH}?{urlencode(query)}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for tokens, in the region of the consent page."""
        return tokens_of(self.ask(code_form(code, redirect_uri, verifier), region), needs_refresh=True)

    def ask(self, form: dict[str, str], region: str = RENEWAL_REGION) -> Record:
        """Return the answer of a region's token endpoint to a form."""
        return ask(self.app, self.oauth, self._host(TOKEN_HOSTS, region) + TOKEN_PATH, form)

    def _host(self, hosts: dict[str, str], region: str) -> str:
        return f"{self.app.base_url}/{region}" if self.app.base_url else hosts[region]
