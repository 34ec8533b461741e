"""Blocks for monitors outside of Prefect that are notified of runs: a signed webhook, and ping URLs."""

from collections.abc import Mapping
from typing import Annotated, Any

from prefect.types import SecretDict
from pydantic import AfterValidator, Field, SecretStr, field_validator

from blocks.names import DEAD_MANS_PING, RESULT_WEBHOOK
from blocks.server import StrictBlock, find
from sivera import monitoring
from sivera.monitoring import Outcome, check_secret, check_url, host_of


class ResultWebhook(StrictBlock):
    """A URL that the result of every run is posted to, signed as Standard Webhooks describes."""

    _block_type_name = "Result Webhook"

    url: Annotated[SecretStr, AfterValidator(check_url)] = Field(
        description="Where results are posted. It is masked, because such a URL is often a secret."
    )
    secret: Annotated[SecretStr, AfterValidator(check_secret)] = Field(
        description="The signing secret: whsec_ and 24 to 64 random bytes in base64."
    )

    @property
    def host(self) -> str:
        """The host of the URL, the only part that may be shown."""
        return host_of(self.url)

    def deliver(self, message_id: str, message: Mapping[str, Any]) -> Outcome:
        """Post a message; see `sivera.monitoring.deliver`."""
        return monitoring.deliver(self.url, self.secret, message_id, message)


class DeadMansPing(StrictBlock):
    """The URLs that the runs of each job ping. A monitor there notices when no ping comes."""

    _block_type_name = "Dead-Man's Ping"
    _block_type_slug = "dead-mans-ping"

    urls: SecretDict = Field(description="URLs by job, such as sync-campaigns, or by deployment: job/name.")

    @field_validator("urls")
    @classmethod
    def _check_urls(cls, urls: SecretDict) -> SecretDict:
        for job, url in urls.get_secret_value().items():
            try:
                check_url(SecretStr(str(url)))
            except ValueError as error:
                raise ValueError(f"{job}: {error}") from None
        return urls

    @property
    def by_job(self) -> dict[str, SecretStr]:
        """The URL of each job or deployment."""
        return {job: SecretStr(str(url)) for job, url in self.urls.get_secret_value().items()}

    def url_of(self, job: str, deployment: str) -> SecretStr | None:
        """Return the URL that a deployment's runs ping: its own, or that of its job."""
        return self.by_job.get(f"{job}/{deployment}") or self.by_job.get(job)


def find_webhook() -> ResultWebhook | None:
    """Load the webhook, or None if there is none; see `blocks.server.find`."""
    return find(ResultWebhook, RESULT_WEBHOOK, "set it again with `sivera monitor set-webhook`")


def find_pings() -> DeadMansPing | None:
    """Load the ping URLs, or None if there are none; see `blocks.server.find`."""
    return find(DeadMansPing, DEAD_MANS_PING, "set them again with `sivera monitor set-ping`")
