"""The options of cleanup-expired-tokens. The Prefect UI shows them as a form."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """What is cleaned, by table name and in the order of the work: children before parents, large tables last."""

    ALERTS = "alerts"
    PLATFORM_OUTAGES = "platform_outages"
    CLEANUP_RUNS = "cleanup_runs"
    SYNC_RUNS = "sync_runs"
    PLATFORM_CALLS = "platform_calls"
    REPORTS = "reports"
    OAUTH_STATES = "oauth_states"
    SESSIONS = "sessions"
    TOKEN_REFRESH_LOGS = "token_refresh_logs"  # noqa: S105 - the name of a table, not a token


class CleanupOptions(BaseModel):
    """How many days each kind is kept, in an option of its name, and whether rows are deleted or only counted.

    The lower bounds protect rows that a job still reads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool = Field(default=True, description="Only count the rows that would be deleted.")
    oauth_states_days: int = Field(default=0, ge=0, le=30, description="Days that an expired OAuth state is kept.")
    sessions_days: int = Field(default=0, ge=0, le=365, description="Days that an expired session is kept.")
    token_refresh_logs_days: int = Field(
        default=30, ge=7, le=3650, description="Days that the log of a token renewal is kept."
    )
    alerts_days: int = Field(default=400, ge=30, le=3650, description="Days that an alert is kept after it was closed.")
    platform_outages_days: int = Field(
        default=400, ge=30, le=3650, description="Days that a platform's outage is kept after it ended."
    )
    cleanup_runs_days: int = Field(
        default=400, ge=30, le=3650, description="Days that the record of a cleanup is kept."
    )
    sync_runs_days: int = Field(
        default=400, ge=30, le=3650, description="Days that the summary of a sync-campaigns run is kept."
    )
    platform_calls_days: int = Field(
        default=90,
        ge=7,
        le=3650,
        description="Days that the calls of each run are kept. Only the sum of older ones stays.",
    )
    reports_days: int = Field(
        default=1100, ge=200, le=3650, description="Days that the record of a report is kept. Its files stay."
    )
    deadline_seconds: int = Field(
        default=45, ge=5, le=45, description="Seconds after which no batch starts. The next run deletes the rest."
    )

    def days(self, kind: Kind) -> int:
        """Return how many days a kind is kept."""
        days: int = getattr(self, f"{kind.value}_days")
        return days

    def words(self) -> tuple[str, ...]:
        """Return the words that distinguish a run with these options from others."""
        return ("dry run",) if self.dry_run else ()
