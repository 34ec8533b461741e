"""The registry of platforms: the only map from a name to its client. A client is imported when it is opened."""

from importlib import import_module
from typing import TYPE_CHECKING

from sivera.values import PlatformName

if TYPE_CHECKING:
    import httpx

    from sivera.breaker import Breaker
    from sivera.platforms.base import AppCredentials, PlatformClient

CLIENTS = {
    PlatformName.GOOGLE: "GoogleAds",
    PlatformName.META: "MetaAds",
    PlatformName.AMAZON: "AmazonAds",
    PlatformName.TIKTOK: "TikTokAds",
}
"""The class of each client, in the module of the platform's name."""


def open_client(
    platform: PlatformName, app: "AppCredentials", breaker: "Breaker | None" = None, http: "httpx.Client | None" = None
) -> "PlatformClient":
    """Return the platform's client, with a connection pool and a breaker of its own unless they are given."""
    from sivera.breaker import Breaker  # noqa: PLC0415 - the commands that only need `base` are fast
    from sivera.platforms.calling import new_http_client  # noqa: PLC0415

    made = getattr(import_module(f"{__name__}.{platform.value}"), CLIENTS[platform])
    client: PlatformClient = made(app, http or new_http_client(), breaker or Breaker())
    return client
