"""The options of collect-metrics; the Prefect UI shows them as a form."""

from pydantic import Field

from sivera.values import Value


class CollectOptions(Value):
    """How long samples are kept, and what the charts show."""

    keep_days: int = Field(default=90, ge=1, le=3650, description="Days that samples are kept.")
    chart_hours: int = Field(default=24, ge=1, le=24 * 90, description="Hours that the charts show.")
    settle_seconds: int = Field(
        default=60,
        ge=0,
        le=600,
        description="A run that ended fewer seconds ago than this is counted by the next collection.",
    )
