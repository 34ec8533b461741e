"""The monitors outside of Prefect that are told how runs end, as blocks: a signed webhook, and dead-man's pings."""

from collections.abc import Mapping
from typing import Any, ClassVar

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import ConfigDict, Field, SecretStr, field_validator

from blocks.names import DEAD_MANS_PING, RESULT_WEBHOOK
from blocks.server import BlockMissingError, load
from sivera.monitoring import webhook
from sivera.monitoring.sending import Outcome, check_url, host_of


class ResultWebhook(Block):
    """Where the result of every run is posted, signed as Standard Webhooks has it.

    Example:
        Post a message:
        ```python
        from blocks.monitoring import ResultWebhook

        ResultWebhook.load("result-webhook").deliver("its id", {"type": "a.message"})
        ```
    """

    _block_type_name = "Result Webhook"
    _block_type_slug = "result-webhook"
    _description = "Where the result of every run is posted, signed."

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)

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
        webhook.decode_secret(secret)
        return secret

    @property
    def host(self) -> str:
        """The host that it posts to, which is all that may be shown of the URL."""
        return host_of(self.url.get_secret_value())

    def deliver(self, message_id: str, message: Mapping[str, Any]) -> Outcome:
        """Post a message; see `sivera.monitoring.webhook.deliver`."""
        return webhook.deliver(self.url, self.secret, message_id, message)


class DeadMansPing(Block):
    """The checks that wait for our jobs: for each the URL that its runs ping.

    Example:
        Find the URL of a job:
        ```python
        from blocks.monitoring import DeadMansPing

        url = DeadMansPing.load("dead-mans-ping").url_of("sync-campaigns", "all")
        ```
    """

    _block_type_name = "Dead-Man's Ping"
    _block_type_slug = "dead-mans-ping"
    _description = "The URL that the runs of each job ping, so that a monitor notices when they do not."

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)

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
        """The hosts that are pinged by job, which is all that may be shown of the URLs."""
        return {job: host_of(str(url)) for job, url in self.urls.get_secret_value().items()}

    def url_of(self, job: str, deployment: str) -> SecretStr | None:
        """Return the URL that a run of a deployment pings: its own, else that of its job."""
        urls = self.urls.get_secret_value()
        found = urls.get(f"{job}/{deployment}") or urls.get(job)
        return SecretStr(str(found)) if found else None


def find_webhook() -> ResultWebhook | None:
    """Load the webhook; None where nobody set one.

    Raises:
        ConfigurationError: It does not fit, or the Prefect server does not answer.
    """
    try:
        return load(ResultWebhook, RESULT_WEBHOOK, "set it with `sivera monitor set-webhook`")
    except BlockMissingError:
        return None


def find_pings() -> DeadMansPing | None:
    """Load the dead-man's pings; None where nobody set one.

    Raises:
        ConfigurationError: They do not fit, or the Prefect server does not answer.
    """
    try:
        return load(DeadMansPing, DEAD_MANS_PING, "set it with `sivera monitor set-ping`")
    except BlockMissingError:
        return None
