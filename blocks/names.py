"""The names of what a Prefect server stores for us."""

from sivera.values import PlatformName

WORK_POOL = "sivera"
"""The work pool of our deployments."""

TAG = "sivera"
"""The tag of all our deployments and their runs. What has it is watched by the automations, and may be pruned."""

DATABASE = "sivera-db"
TOKEN_KEY = "token-key"  # noqa: S105 - the name of a document, not a token
CRON_SECRET = "cron-secret"  # noqa: S105 - the name of a document, not a secret

RESULT_WEBHOOK = "result-webhook"
DEAD_MANS_PING = "dead-mans-ping"

REPORTS = "reports"
BACKUPS = "backups"

SYNC_JOB = "sync-campaigns"
REFRESH_JOB = "refresh-tokens"
CLEANUP_JOB = "cleanup-expired-tokens"
REPORTS_JOB = "generate-reports"
BUDGETS_JOB = "check-budgets"
ALERTS_JOB = "check-alerts"
METRICS_JOB = "collect-metrics"
BACKUP_JOB = "backup-data"

SUCCESS = "sivera.success"
"""The label `true` or `false` of the resource in `sivera.<job>.finished`, for the triggers of automations."""


def lock_name(job: str, platform: PlatformName) -> str:
    """Return the name of the global concurrency limit that allows one run of a job at a time on a platform."""
    return f"{job}-{platform.value}"


LOCKS = (
    *(lock_name(job, platform) for job in (SYNC_JOB, REFRESH_JOB) for platform in PlatformName),
    CLEANUP_JOB,
    REPORTS_JOB,
    BUDGETS_JOB,
    ALERTS_JOB,
    METRICS_JOB,
    BACKUP_JOB,
)
