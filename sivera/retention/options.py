"""The options of cleanup-expired-tokens; the Prefect UI shows them as a form."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from sivera.values import Value


class Kind(StrEnum):
    """The cleaned tables, in the order of the work: children before parents, large tables last."""

    ALERTS = "alerts"
    PLATFORM_OUTAGES = "platform_outages"
    CLEANUP_RUNS = "cleanup_runs"
    SYNC_RUNS = "sync_runs"
    PLATFORM_CALLS = "platform_calls"
    REPORTS = "reports"
    OAUTH_STATES = "oauth_states"
    SESSIONS = "sessions"
    TOKEN_REFRESH_LOGS = "token_refresh_logs"  # noqa: S105 - the name of a table, not a token


def _days(what: str, days: int, least: int = 30, most: int = 3650) -> Any:
    return Field(default=days, ge=least, le=most, description=f"Days to keep {what}.")


class CleanupOptions(Value):
    """How long each kind is kept, and whether rows are deleted or only counted.

    The lower bounds protect rows that a job still reads.
    """

    dry_run: bool = Field(default=True, description="Only count the rows that would be deleted.")
    oauth_states_days: int = _days("expired OAuth states", 0, least=0, most=30)
    sessions_days: int = _days("expired sessions", 0, least=0, most=365)
    token_refresh_logs_days: int = _days("the log of token renewals", 30, least=7)
    alerts_days: int = _days("closed alerts", 400)
    platform_outages_days: int = _days("ended outages of platforms", 400)
    cleanup_runs_days: int = _days("the records of cleanups", 400)
    sync_runs_days: int = _days("the summaries of sync-campaigns runs", 400)
    platform_calls_days: int = _days("each run's calls to platforms. The sum of older ones stays", 90, least=7)
    reports_days: int = _days("the records of reports. The files stay", 1100, least=200)
    deadline_seconds: int = Field(
        default=45, ge=5, le=45, description="Seconds after which no batch starts. The next run deletes the rest."
    )

    def words(self) -> tuple[str, ...]:
        """Return words for the name of a run."""
        return ("dry run",) if self.dry_run else ()
