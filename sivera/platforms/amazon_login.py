"""Amazon's consent pages, one for each region, and the tokens that they lead to.

Facts: the Ads API's guides `account-management/authorization/authorization-grants` and `access-tokens` (hosts, scope, a
code lives for five minutes), and Login with Amazon's `authorization-code-grant` (PKCE).
"""

from typing import ClassVar

from sivera.platforms.oauth import PkceLogin

CONSENT_HOSTS = {
    "na": "https://www.amazon.com",
    "eu": "https://eu.account.amazon.com",
    "fe": "https://apac.account.amazon.com",
}
TOKEN_HOSTS = {"na": "https://api.amazon.com", "eu": "https://api.amazon.co.uk", "fe": "https://api.amazon.co.jp"}
"""Tokens of all regions are renewed at the first."""


class AmazonLogin(PkceLogin):
    """Login with Amazon, at the region in which the user has an Amazon account."""

    regions: ClassVar[tuple[str, ...]] = tuple(CONSENT_HOSTS)
    scope: ClassVar[str] = "advertising::campaign_management"

    def page(self, region: str) -> str:
        """Return the address of the region's consent page without its parameters."""
        return self._host(CONSENT_HOSTS, region) + "/ap/oa"

    def token_url(self, region: str) -> str:
        """Return the address of the region's token endpoint."""
        return self._host(TOKEN_HOSTS, region) + "/auth/o2/token"

    def _host(self, hosts: dict[str, str], region: str) -> str:
        return f"{self.app.base_url}/{region}" if self.app.base_url else hosts[region]
