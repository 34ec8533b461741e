"""The options of generate-reports; the Prefect UI shows them as a form."""

from pydantic import Field

from sivera.values import Value


class ReportOptions(Value):
    """Which teams get reports, and how far back."""

    teams: tuple[str, ...] = Field(default=(), description="Only teams of these names; empty means all.")
    make_up_days: int = Field(
        default=14, ge=0, le=92, description="Days before the last finished day whose missing reports are made up."
    )
    check_restated: bool = Field(
        default=False, description="Look for restated days of every team, not only of teams with a report due."
    )
    batch_size: int = Field(default=50, ge=1, le=1000, description="The most teams that are mapped at once.")
    deadline_seconds: int = Field(
        default=540,
        ge=10,
        le=540,
        description="Seconds after which no report is started; the next run writes the rest.",
    )

    def words(self) -> tuple[str, ...]:
        """Return the words for these options in the name of a run."""
        return self.teams
