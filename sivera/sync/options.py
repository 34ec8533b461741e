"""What a run of sync-campaigns can be asked for; the Prefect UI shows it as a form."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from sivera.values import PlatformName


class SyncMode(StrEnum):
    """How much a run reads."""

    INCREMENTAL = "incremental"
    FULL = "full"


class SyncOptions(BaseModel):
    """Which accounts to sync, and how much of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: SyncMode = Field(
        default=SyncMode.INCREMENTAL,
        description="Incremental reads what changed and the last days; full reads everything and finds what vanished.",
    )
    platforms: tuple[PlatformName, ...] = Field(default=(), description="Only these platforms; empty means all.")
    teams: tuple[str, ...] = Field(default=(), description="Only teams of these names; empty means all.")
    account_ids: tuple[int, ...] = Field(
        default=(), description="Only these accounts (our ids), even from the slow lane; empty means all."
    )
    lookback_days: int | None = Field(
        default=None,
        ge=1,
        le=90,
        description="Days of metrics to read again, today included; empty means what the mode and platform need.",
    )
    batch_size: int = Field(default=100, ge=1, le=1000, description="At most so many accounts are mapped at once.")
    deadline_seconds: int = Field(
        default=255,
        ge=10,
        le=255,
        description="Seconds after which no platform is called any more; what is left comes first next time.",
    )

    def words(self) -> tuple[str, ...]:
        """What tells a run with these options from others."""
        return (self.mode, *self.platforms, *self.teams, *(f"account {one}" for one in self.account_ids[:3]))
