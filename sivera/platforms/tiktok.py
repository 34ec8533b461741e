"""TikTok Ads."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar

import httpx

from sivera.breaker import Breaker
from sivera.platforms.base import AppCredentials, TokenSource
from sivera.values import (
    AdAccount,
    CampaignListing,
    DateWindow,
    GrantTokens,
    MetricsReading,
    PlatformName,
    ReportRequest,
)


class TikTokAds:
    """TikTok Ads, for any grant."""

    platform: ClassVar[PlatformName] = PlatformName.TIKTOK

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker, now: Callable[[], datetime]) -> None:
        self._app, self._http, self._breaker, self._now = app, http, breaker, now

    def list_accounts(self, tokens: TokenSource) -> tuple[AdAccount, ...]:
        """List the ad accounts that the grant can reach."""
        raise NotImplementedError

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, changed_since: datetime | None = None
    ) -> CampaignListing:
        """List the account's campaigns."""
        raise NotImplementedError

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, outstanding: Sequence[ReportRequest] = ()
    ) -> MetricsReading:
        """Read daily metrics."""
        raise NotImplementedError

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Renew the grant's tokens."""
        raise NotImplementedError
