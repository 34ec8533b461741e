"""The options of check-budgets; the Prefect UI shows them as a form."""

from typing import Annotated

from pydantic import AfterValidator, Field

from sivera.values import PlatformName, Value

Threshold = Annotated[int, Field(ge=1, le=1000)]


class BudgetOptions(Value):
    """Which budgets to check, and when to open an alert."""

    platforms: tuple[PlatformName, ...] = Field(default=(), description="Only these platforms; empty means all.")
    teams: tuple[str, ...] = Field(default=(), description="Only teams of these names; empty means all.")
    thresholds: Annotated[tuple[Threshold, ...], AfterValidator(lambda given: tuple(sorted(set(given))))] = Field(
        default=(50, 80, 100, 110),
        min_length=1,
        max_length=10,
        description="Percent of a budget at which an alert opens or rises, each from 1 to 1000.",
    )
    hysteresis: int = Field(
        default=5,
        ge=0,
        le=50,
        description="An alert closes once spending is this many percentage points below its threshold.",
    )
    stale_hours: int = Field(
        default=6,
        ge=2,
        le=168,
        description="Hours after its last sync when an account's spending is too old to judge; the run says so.",
    )
    deadline_seconds: int = Field(
        default=255,
        ge=10,
        le=255,
        description="Seconds after which nothing more is started; the next run checks accounts in another order.",
    )

    def words(self) -> tuple[str, ...]:
        """Return the words that set a run with these options apart from others."""
        return (*self.platforms, *self.teams)
