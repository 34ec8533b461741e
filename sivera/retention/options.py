"""What a run of cleanup-expired-tokens can be asked for; the Prefect UI shows it as a form."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """What is cleaned up, by the name of its table; children before parents, which is the order in which it goes."""

    OAUTH_STATES = "oauth_states"
    SESSIONS = "sessions"
    TOKEN_REFRESH_LOGS = "token_refresh_logs"  # noqa: S105 - the name of a table, not a token


class CleanupOptions(BaseModel):
    """How long what has expired is kept, and whether it is deleted or only counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool = Field(default=True, description="Only count what would go; nothing is deleted.")
    oauth_states_days: int = Field(default=0, ge=0, le=30, description="Days that an expired OAuth state is kept.")
    sessions_days: int = Field(default=0, ge=0, le=365, description="Days that an expired session is kept.")
    token_refresh_logs_days: int = Field(
        default=30, ge=7, le=3650, description="Days that the log of an attempt to renew a token is kept."
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

    def words(self) -> tuple[str, ...]:
        """What tells a run with these options from others."""
        return ("dry run",) if self.dry_run else ()
