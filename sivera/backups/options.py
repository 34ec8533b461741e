"""The options of backup-data; the Prefect UI shows them as a form."""

from pydantic import Field

from sivera.values import Value


class BackupOptions(Value):
    """How many backups are kept, and how long a run may take."""

    keep_daily: int = Field(default=7, ge=1, le=366, description="For this many days, keep the last backup.")
    keep_weekly: int = Field(default=5, ge=0, le=520, description="For this many weeks, keep the last backup.")
    keep_monthly: int = Field(default=12, ge=0, le=120, description="For this many months, keep the last backup.")
    deadline_seconds: int = Field(
        default=10800, ge=10, le=10800, description="Seconds after which the dump or its check is stopped."
    )
