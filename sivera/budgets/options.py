"""What a run of check-budgets can be asked for; the Prefect UI shows it as a form."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sivera.values import PlatformName

Threshold = Annotated[int, Field(ge=1, le=1000)]


class BudgetOptions(BaseModel):
    """Which budgets to check, and when to tell of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    platforms: tuple[PlatformName, ...] = Field(default=(), description="Only these platforms; empty means all.")
    teams: tuple[str, ...] = Field(default=(), description="Only teams of these names; empty means all.")
    thresholds: Annotated[tuple[Threshold, ...], AfterValidator(lambda given: tuple(sorted(set(given))))] = Field(
        default=(50, 80, 100, 110),
        min_length=1,
        max_length=10,
        description="Percent of a budget at which an alert opens; each from 1 to 1000.",
    )
    hysteresis: int = Field(
        default=5,
        ge=0,
        le=50,
        description="An alert closes once spending is so many percentage points below its threshold.",
    )
    stale_hours: int = Field(
        default=6,
        ge=2,
        le=168,
        description="Spending is not judged where an account was last synced so many hours ago; that is told instead.",
    )
    deadline_seconds: int = Field(
        default=255,
        ge=10,
        le=255,
        description="Seconds after which nothing more is begun; the next run begins with that.",
    )

    def words(self) -> tuple[str, ...]:
        """What tells a run with these options from others."""
        return (*self.platforms, *self.teams)
