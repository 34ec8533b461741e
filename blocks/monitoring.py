"""Blocks for the monitors outside of Prefect that are notified when runs end: a signed webhook, and ping URLs."""

from collections.abc import Mapping
from typing import Any

from prefect.types import SecretDict
from pydantic import Field, SecretStr, field_validator

from blocks.names import DEAD_MANS_PING, RESULT_WEBHOOK
from blocks.server import BlockMissingError, StrictBlock, load
from sivera import monitoring
from sivera.monitoring import Outcome, check_secret, check_url, host_of


class ResultWebhook(StrictBlock):
    """A URL to which the result of every run is posted, signed as Standard Webhooks describes."""

    _block_type_name = "Result Webhook"

    url: SecretStr = Field(description="Where to post it; kept secret, since such a URL often is.")
    secret: SecretStr = Field(description="What it is signed with: whsec_ and 24 to 64 random bytes in base64.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        check_url(url.get_secret_value())
        return url

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr) -> SecretStr:
        check_secret(secret)
        return secret

    @property
    def host(self) -> str:
        """The host that it posts to: the only part of the URL that may be shown."""
        return host_of(self.url.get_secret_value())

    def deliver(self, message_id: str, message: Mapping[str, Any]) -> Outcome:
        """Post a message; see `sivera.monitoring.deliver`."""
        return monitoring.deliver(self.url, self.secret, message_id, message)


class DeadMansPing(StrictBlock):
    """The URL that each job's runs ping, so that a monitor notices when they do not."""

    _block_type_name = "Dead-Man's Ping"
    _block_type_slug = "dead-mans-ping"

    urls: SecretDict = Field(description="URLs by job, such as sync-campaigns, or by one of its deployments: job/name.")

    @field_validator("urls")
    @classmethod
    def _check_urls(cls, urls: SecretDict) -> SecretDict:
        for job, url in urls.get_secret_value().items():
            try:
                check_url(str(url))
            except ValueError as error:
                raise ValueError(f"{job}: {error}") from None
        return urls

    @property
    def hosts(self) -> dict[str, str]:
        """The host that each job pings: the only part of the URLs that may be shown."""
        return {job: host_of(str(url)) for job, url in self.urls.get_secret_value().items()}

    def url_of(self, job: str, deployment: str) -> SecretStr | None:
        """Return the URL that a run of a deployment pings: the deployment's own, else its job's."""
        urls = self.urls.get_secret_value()
        found = urls.get(f"{job}/{deployment}") or urls.get(job)
        return SecretStr(str(found)) if found else None


def find_webhook() -> ResultWebhook | None:
    """Load the webhook; None if there is none. See `blocks.server.load`."""
    try:
        return load(ResultWebhook, RESULT_WEBHOOK, "set it with `sivera monitor set-webhook`")
    except BlockMissingError:
        return None


def find_pings() -> DeadMansPing | None:
    """Load the ping URLs; None if there are none. See `blocks.server.load`."""
    try:
        return load(DeadMansPing, DEAD_MANS_PING, "set it with `sivera monitor set-ping`")
    except BlockMissingError:
        return None
