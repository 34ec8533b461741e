"""The metrics: names, units, labels and help texts, as Prometheus names them (prometheus.io/docs/practices/naming)."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from sivera.values import Value


class Kind(StrEnum):
    """How a metric moves: a gauge up and down, a counter only up."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Metric(Value):
    """A metric. Its name ends with its base unit: seconds, bytes, or a ratio from 0 to 1.

    No label may name a team, an account or a secret: everybody who reads the monitoring system can read labels.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE


class Sample(Value):
    """The value of a metric for one set of labels."""

    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    value: float


class Collection(Value):
    """What was measured at one time."""

    at: datetime
    samples: tuple[Sample, ...]

    def values(self, metric: Metric) -> dict[tuple[str, ...], float]:
        """Return the values of a metric by their labels, in the order of its definition."""
        return {
            tuple(sample.labels[label] for label in metric.labels): sample.value
            for sample in self.samples
            if sample.name == metric.name
        }


def _metric(name: str, help_text: str, *labels: str) -> Metric:
    kind = Kind.COUNTER if name.endswith("_total") else Kind.GAUGE
    return Metric(name=f"sivera_{name}", help=help_text, labels=labels, kind=kind)


JOB_RUNS = _metric("job_runs_total", "Runs that have ended, since the first collection.", "job", "outcome")
JOB_RUN_SECONDS = _metric("job_run_seconds_total", "How long the runs took that have ended.", "job")
JOB_QUEUE_SECONDS = _metric("job_queue_seconds_total", "How late the runs began that have ended.", "job")
LAST_RUN_TIMESTAMP = _metric("job_last_run_timestamp_seconds", "When the last run ended that was not skipped.", "job")
LAST_RUN_DURATION = _metric("job_last_run_duration_seconds", "How long the last run took.", "job")
LAST_RUN_QUEUE_DELAY = _metric("job_last_run_queue_delay_seconds", "How late the last run began.", "job")
LAST_RUN_SUCCESS = _metric("job_last_run_success", "1 if the last run ended well, else 0.", "job")

RUN_DURATION = _metric("job_run_duration_seconds", "How long a run took.", "job", "outcome")
RUN_QUEUE_DELAY = _metric("job_run_queue_delay_seconds", "How late a run began.", "job", "outcome")

GRANTS = _metric("grants", "Grants by their status.", "platform", "status")
GRANTS_BY_EXPIRY = _metric(
    "active_grants", "Grants that work, by when the access token ends.", "platform", "refresh_token", "ends_within"
)
ACCOUNTS = _metric("accounts", "Ad accounts; waiting ones need a human to reconnect.", "platform", "state")
SYNC_AGE = _metric("sync_age_seconds", "Time since accounts were last synced; 1 is the oldest.", "platform", "quantile")

CALLS = _metric("platform_calls_total", "Calls to a platform, of runs that have ended.", "platform", "kind")
THROTTLES = _metric("platform_throttles_total", "Answers of a platform that said 'slow down'.", "platform")
QUOTA_LEFT = _metric("platform_quota_remaining_ratio", "What is left of a known quota.", "platform", "quota")

TABLE_ROWS = _metric("table_rows", "Rows of a table, as PostgreSQL estimates them.", "table")
TABLE_BYTES = _metric("table_size_bytes", "Size of a table with its indexes.", "table")
DATABASE_BYTES = _metric("database_size_bytes", "Size of the database.")
BACKUP_AGE = _metric("backup_age_seconds", "Time since the last verified backup was done; none where there is none.")

COLLECTED_AT = _metric("collection_timestamp_seconds", "When these figures were collected.")
RUNS_UNTIL = _metric("runs_counted_until_timestamp_seconds", "Until when runs that had ended are counted.")
COLLECTION_AGE = _metric("collection_age_seconds", "How long ago these figures were collected; endless if never.")

EACH_RUN = (RUN_DURATION, RUN_QUEUE_DELAY)
"""Samples of single runs, stored with the time at which they ended; they are not exported."""

EXPORTED = (
    JOB_RUNS,
    JOB_RUN_SECONDS,
    JOB_QUEUE_SECONDS,
    LAST_RUN_TIMESTAMP,
    LAST_RUN_DURATION,
    LAST_RUN_QUEUE_DELAY,
    LAST_RUN_SUCCESS,
    GRANTS,
    GRANTS_BY_EXPIRY,
    ACCOUNTS,
    SYNC_AGE,
    CALLS,
    THROTTLES,
    QUOTA_LEFT,
    TABLE_ROWS,
    TABLE_BYTES,
    DATABASE_BYTES,
    BACKUP_AGE,
    COLLECTED_AT,
    RUNS_UNTIL,
)
"""The metrics of each collection."""

EXPIRY_BUCKETS = ("ended", "1h", "1d", "7d", "30d", "later", "never")
"""The values of the label `ends_within`: each grant is in the first that holds."""
