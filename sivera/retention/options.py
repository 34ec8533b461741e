"""What a run of cleanup-expired-tokens can be asked for; the Prefect UI shows it as a form."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """What is cleaned up, by the name of its table, in the order in which it goes.

    Children come before their parents, and what is small before what may be huge: the last have what time is left.
    """

    ALERTS = "alerts"
    BUDGET_ALERTS = "budget_alerts"
    PLATFORM_OUTAGES = "platform_outages"
    BACKUPS = "backups"
    CLEANUP_RUNS = "cleanup_runs"
    SYNC_RUNS = "sync_runs"
    PLATFORM_CALLS = "platform_calls"
    OUTBOX_EVENTS = "outbox_events"
    REPORTS = "reports"
    JOB_OCCURRENCES = "job_occurrences"
    OAUTH_STATES = "oauth_states"
    SESSIONS = "sessions"
    TOKEN_REFRESH_LOGS = "token_refresh_logs"  # noqa: S105 - the name of a table, not a token


class CleanupOptions(BaseModel):
    """How long what is over is kept, and whether it is deleted or only counted.

    Each kind has its days, in an option of its name. None may be so few that a job still reads what goes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool = Field(default=True, description="Only count what would go; nothing is deleted.")
    oauth_states_days: int = Field(default=0, ge=0, le=30, description="Days that an expired OAuth state is kept.")
    sessions_days: int = Field(default=0, ge=0, le=365, description="Days that an expired session is kept.")
    token_refresh_logs_days: int = Field(
        default=30, ge=7, le=3650, description="Days that the log of an attempt to renew a token is kept."
    )
    alerts_days: int = Field(default=400, ge=30, le=3650, description="Days that an alert is kept after it was closed.")
    budget_alerts_days: int = Field(
        default=400, ge=30, le=3650, description="Days that an alert on a budget is kept after it was closed."
    )
    platform_outages_days: int = Field(
        default=400, ge=30, le=3650, description="Days that a platform's outage is kept after it ended."
    )
    backups_days: int = Field(
        default=400, ge=30, le=3650, description="Days that the account of a backup that is no longer there is kept."
    )
    cleanup_runs_days: int = Field(
        default=400, ge=30, le=3650, description="Days that the proof of what a cleanup deleted is kept."
    )
    sync_runs_days: int = Field(
        default=400, ge=30, le=3650, description="Days that the summary of a run of sync-campaigns is kept."
    )
    platform_calls_days: int = Field(
        default=90, ge=7, le=3650, description="Days that the calls of each run are kept; older ones only as a sum."
    )
    outbox_events_days: int = Field(
        default=30, ge=7, le=365, description="Days that an event is kept after it was published."
    )
    reports_days: int = Field(
        default=1100, ge=200, le=3650, description="Days that the account of a report is kept; its files stay."
    )
    job_occurrences_days: int = Field(
        default=400, ge=60, le=3650, description="Days that what became of a scheduled time is kept."
    )
    clock_confirmed: bool = Field(
        default=False,
        description="A person has seen that the database's clock is right, although the last run is long ago.",
    )
    deadline_seconds: int = Field(
        default=45,
        ge=5,
        le=45,
        description="Seconds after which no batch is begun any more; what is left goes next time.",
    )

    def days(self, kind: Kind) -> int:
        """How many days a kind is kept."""
        days: int = getattr(self, f"{kind.value}_days")
        return days

    def words(self) -> tuple[str, ...]:
        """What tells a run with these options from others."""
        return ("dry run",) if self.dry_run else ()
