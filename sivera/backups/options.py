"""The options of backup-data. The Prefect UI shows them as a form."""

from pydantic import Field

from sivera.values import Value


class BackupOptions(Value):
    """How many backups are kept, and how long a run may work."""

    keep_daily: int = Field(default=7, ge=1, le=366, description="The last backup of this many days is kept.")
    keep_weekly: int = Field(default=5, ge=0, le=520, description="The last backup of this many weeks is kept.")
    keep_monthly: int = Field(default=12, ge=0, le=120, description="The last backup of this many months is kept.")
    deadline_seconds: int = Field(
        default=10800, ge=10, le=10800, description="Seconds after which the dump or its check is stopped."
    )
