"""The registry of platforms: the only map from a name to its client."""

from collections.abc import Callable

import httpx

from sivera.breaker import Breaker
from sivera.platforms.amazon import AmazonAds
from sivera.platforms.base import AppCredentials, PlatformClient
from sivera.platforms.calling import new_http_client
from sivera.platforms.google import GoogleAds
from sivera.platforms.meta import MetaAds
from sivera.platforms.tiktok import TikTokAds
from sivera.values import PlatformName

CLIENTS: dict[PlatformName, Callable[[AppCredentials, httpx.Client, Breaker], PlatformClient]] = {
    PlatformName.GOOGLE: GoogleAds,
    PlatformName.META: MetaAds,
    PlatformName.AMAZON: AmazonAds,
    PlatformName.TIKTOK: TikTokAds,
}


def open_client(platform: PlatformName, app: AppCredentials, breaker: Breaker | None = None) -> PlatformClient:
    """Return the platform's client with its own connection pool."""
    return CLIENTS[platform](app, new_http_client(), breaker or Breaker())
