"""The options of cleanup-expired-tokens. The Prefect UI shows them as a form."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from sivera.values import Value


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


def _kept(what: str, days: int, least: int = 30, most: int = 3650) -> Any:
    return Field(default=days, ge=least, le=most, description=f"Days that {what}.")


class CleanupOptions(Value):
    """How many days each kind is kept, in an option of its name, and whether rows are deleted or only counted.

    The lower bounds protect rows that a job still reads.
    """

    dry_run: bool = Field(default=True, description="Only count the rows that would be deleted.")
    oauth_states_days: int = _kept("an expired OAuth state is kept", 0, least=0, most=30)
    sessions_days: int = _kept("an expired session is kept", 0, least=0, most=365)
    token_refresh_logs_days: int = _kept("the log of a token renewal is kept", 30, least=7)
    alerts_days: int = _kept("an alert is kept after it was closed", 400)
    platform_outages_days: int = _kept("a platform's outage is kept after it ended", 400)
    cleanup_runs_days: int = _kept("the record of a cleanup is kept", 400)
    sync_runs_days: int = _kept("the summary of a sync-campaigns run is kept", 400)
    platform_calls_days: int = _kept("the calls of each run are kept. Only the sum of older ones stays", 90, least=7)
    reports_days: int = _kept("the record of a report is kept. Its files stay", 1100, least=200)
    deadline_seconds: int = Field(
        default=45, ge=5, le=45, description="Seconds after which no batch starts. The next run deletes the rest."
    )

    def words(self) -> tuple[str, ...]:
        """Return the words that distinguish a run with these options from others."""
        return ("dry run",) if self.dry_run else ()
