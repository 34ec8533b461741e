"""The registration of our application with an ad platform, as a block."""

import ipaddress
from typing import Self
from urllib.parse import urlsplit

from prefect.blocks.abstract import CredentialsBlock
from pydantic import Field, SecretStr, field_validator

from blocks.server import StrictBlock, load
from sivera.breaker import Breaker
from sivera.platforms import open_client
from sivera.platforms.base import AppCredentials, PlatformClient
from sivera.values import PlatformName


class PlatformApp(CredentialsBlock, StrictBlock):  # the model_config of the last base applies
    """The keys of our application on an ad platform. Each document is named after its platform."""

    _block_type_name = "Platform App"

    client_id: str = Field(
        min_length=1, description="The application's id: client id, app id or client key, as the platform calls it."
    )
    client_secret: SecretStr = Field(min_length=1, description="The application's secret.")
    base_url: str | None = Field(
        default=None, description="Replaces the platform's hosts, for the sandbox. Empty means the live platform."
    )
    developer_token: SecretStr | None = Field(default=None, description="The developer token, which only Google has.")

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write it like https://host or http://127.0.0.1:8080")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("leave out user, password, query and fragment")
        if value.endswith("/"):
            raise ValueError("leave out the slash at its end")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("use https: tokens are sent over http to this machine only, such as http://127.0.0.1:8080")
        return value

    @classmethod
    def of(cls, app: AppCredentials) -> Self:
        """Return the block that holds these credentials."""
        return cls(**dict(app))

    def get_client(self, platform: PlatformName, breaker: Breaker | None = None) -> PlatformClient:
        """Return a client of the platform for any of its grants. Clients that share a breaker wait together."""
        return open_client(platform, self.credentials(), breaker)

    def credentials(self) -> AppCredentials:
        """Return the credentials that the block holds."""
        return AppCredentials(**{name: getattr(self, name) for name in AppCredentials.model_fields})


def load_platform_app(platform: PlatformName) -> PlatformApp:
    """Load the keys of our application on a platform; see `blocks.server.load`."""
    return load(PlatformApp, platform.value, f"save it with `sivera apps set {platform.value}`")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
