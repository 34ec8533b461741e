"""The options of generate-reports; the Prefect UI shows them as a form."""

from pydantic import Field

from sivera.values import Value


class ReportOptions(Value):
    """Which teams get their reports, and how far back."""

    teams: tuple[str, ...] = Field(default=(), description="Only teams of these names; empty means all.")
    make_up_days: int = Field(
        default=14, ge=0, le=92, description="Days before the last one that ended whose missing reports are made up."
    )
    check_restated: bool = Field(
        default=False,
        description="Look for restated days of every team, not only of those whose report is due.",
    )
    batch_size: int = Field(default=50, ge=1, le=1000, description="The most teams that are mapped at once.")
    deadline_seconds: int = Field(
        default=540,
        ge=10,
        le=540,
        description="Seconds after which no report is begun; the next run writes what is left.",
    )

    def words(self) -> tuple[str, ...]:
        """Return what tells a run with these options from others."""
        return self.teams
