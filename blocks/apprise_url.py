"""Any service that Apprise knows, as a notification block.

The Prefect server uses it too, for the watchdog on check-alerts. It finds the block by the entry point
`prefect.collections`, so this package must be installed where the server runs.
"""

from typing import ClassVar

from prefect.blocks.notifications import AppriseNotificationBlock
from pydantic import ConfigDict, Field, SecretStr, field_validator


class AppriseUrl(AppriseNotificationBlock):
    """Sends messages to any service that Apprise has a URL for, such as mailto:// or json://."""

    _block_type_name = "Apprise URL"

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: SecretStr = Field(
        title="Apprise URL", description="As mailtos://user:password@example.com or msteams://...; it is a secret."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        from apprise import Apprise  # noqa: PLC0415 - most runs send no message

        text = url.get_secret_value()
        # Apprise reads whatever follows a space as part of the path.
        if text.split() != [text] or Apprise.instantiate(text, suppress_exceptions=True) is None:
            raise ValueError("Apprise does not know it: its documentation lists the URLs by service")
        return url

    def _start_apprise_client(self, url: SecretStr) -> None:
        """Send plain text, even by mail. A service with a lower limit gets a message in parts."""
        from apprise.common import NotifyFormat, OverflowMode  # noqa: PLC0415 - most runs send no message

        super()._start_apprise_client(url)
        for service in self._apprise_client:
            service.notify_format = NotifyFormat.TEXT
            service.overflow_mode = OverflowMode.SPLIT
