"""The options of collect-metrics; the Prefect UI shows them as a form."""

from pydantic import Field

from sivera.values import Value


class CollectOptions(Value):
    """How long samples are kept, and what is counted and charted."""

    keep_days: int = Field(default=90, ge=1, le=3650, description="Days to keep samples.")
    chart_hours: int = Field(default=24, ge=1, le=24 * 90, description="Hours shown in the charts.")
    settle_seconds: int = Field(
        default=60, ge=0, le=600, description="The next collection counts runs that ended fewer seconds ago than this."
    )
