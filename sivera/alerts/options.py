"""The options of check-alerts, and the channels of its messages."""

from enum import StrEnum

from pydantic import Field

from sivera.values import Value


class Channel(StrEnum):
    """A way to reach people. `URL` is any other service, by its Apprise URL."""

    SLACK = "slack"
    DISCORD = "discord"
    URL = "url"


class AlertOptions(Value):
    """When to open an alert."""

    late_minutes: int = Field(
        default=15, ge=5, le=1440, description="Minutes after its time from which a job that has not started is missed."
    )
    stale_hours: int = Field(
        default=3, ge=1, le=168, description="Hours after which an account that was not synced is stale."
    )
    most_of_platform: int = Field(
        default=5,
        ge=1,
        le=100,
        description="With more accounts or grants of one platform than this at once, there is one alert for it.",
    )


DEFAULTS = AlertOptions()
