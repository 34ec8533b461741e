"""Amazon's consent pages, one for each region, and their token endpoints.

Sources: the Ads API's guides `account-management/authorization/authorization-grants` and `access-tokens` (hosts, scope,
a code's five minutes), and Login with Amazon's `authorization-code-grant` (PKCE).
"""

from typing import ClassVar

from sivera.platforms.oauth import PkceLogin

CONSENT_HOSTS = {
    "na": "https://www.amazon.com",
    "eu": "https://eu.account.amazon.com",
    "fe": "https://apac.account.amazon.com",
}
TOKEN_HOSTS = {"na": "https://api.amazon.com", "eu": "https://api.amazon.co.uk", "fe": "https://api.amazon.co.jp"}
"""The first one renews the tokens of all regions."""


class AmazonLogin(PkceLogin):
    """Login with Amazon, in the region of the user's Amazon account."""

    regions: ClassVar[tuple[str, ...]] = tuple(CONSENT_HOSTS)
    scope: ClassVar[str] = "advertising::campaign_management"

    def page(self, region: str) -> str:
        """Return the address of the region's consent page without its parameters."""
        return self.app.host(CONSENT_HOSTS[region], region) + "/ap/oa"

    def token_url(self, region: str) -> str:
        """Return the address of the region's token endpoint."""
        return self.app.host(TOKEN_HOSTS[region], region) + "/auth/o2/token"
