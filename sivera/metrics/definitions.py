"""The metrics: names, units, labels and help texts, as Prometheus names them (prometheus.io/docs/practices/naming)."""

from datetime import datetime
from typing import NamedTuple

from pydantic import Field

from sivera.values import Value


class Sample(Value):
    """The value of a metric for one set of labels."""

    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    value: float


class Metric(NamedTuple):
    """A metric: a counter if its name ends with `_total`, otherwise a gauge.

    Names end with the base unit: seconds, bytes, or a ratio from 0 to 1. Everyone with access to the monitoring system
    can read labels, so no label may name a team, an account or a secret.
    """

    name: str
    help: str
    labels: tuple[str, ...]

    def sample(self, value: float, *labels: str) -> Sample:
        """Return a sample with these label values."""
        return Sample(name=self.name, labels=dict(zip(self.labels, labels, strict=True)), value=value)


class Collection(Value):
    """The samples of one time."""

    at: datetime
    samples: tuple[Sample, ...]

    def values(self, metric: Metric) -> dict[tuple[str, ...], float]:
        """Return a metric's values by their labels, which are in the order of its definition."""
        return {
            tuple(sample.labels[label] for label in metric.labels): sample.value
            for sample in self.samples
            if sample.name == metric.name
        }


EXPORTED: list[Metric] = []
"""The metrics that every collection has."""


def _metric(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"sivera_{name}", help_text, labels)


def _exported(name: str, help_text: str, *labels: str) -> Metric:
    EXPORTED.append(_metric(name, help_text, *labels))
    return EXPORTED[-1]


JOB_RUNS = _exported("job_runs_total", "Finished runs since the first collection.", "job", "outcome")
JOB_RUN_SECONDS = _exported("job_run_seconds_total", "How long the finished runs took.", "job")
JOB_QUEUE_SECONDS = _exported("job_queue_seconds_total", "How late the finished runs started.", "job")
LAST_RUN_TIMESTAMP = _exported("job_last_run_timestamp_seconds", "When the last run ended, skipped runs aside.", "job")
LAST_RUN_DURATION = _exported("job_last_run_duration_seconds", "How long the last run took.", "job")
LAST_RUN_QUEUE_DELAY = _exported("job_last_run_queue_delay_seconds", "How late the last run started.", "job")
LAST_RUN_SUCCESS = _exported("job_last_run_success", "1 if the last run completed, otherwise 0.", "job")

# Of single runs: stored with the time at which the run ended, and not exported.
RUN_DURATION = _metric("job_run_duration_seconds", "How long a run took.", "job", "outcome")
RUN_QUEUE_DELAY = _metric("job_run_queue_delay_seconds", "How late a run started.", "job", "outcome")

GRANTS = _exported("grants", "Grants by status.", "platform", "status")
GRANTS_BY_EXPIRY = _exported(
    "active_grants", "Active grants by when the access token expires.", "platform", "refresh_token", "ends_within"
)
ACCOUNTS = _exported("accounts", "Ad accounts; the grant of waiting ones must be reconnected.", "platform", "state")
SYNC_AGE = _exported(
    "sync_age_seconds", "Time since accounts were last synced; quantile 1 is the oldest.", "platform", "quantile"
)

CALLS = _exported("platform_calls_total", "Calls to a platform by finished runs.", "platform", "kind")
THROTTLES = _exported("platform_throttles_total", "How often a platform throttled a call.", "platform")
QUOTA_LEFT = _exported("platform_quota_remaining_ratio", "The unused share of a known quota.", "platform", "quota")

TABLE_ROWS = _exported("table_rows", "Rows of a table, as PostgreSQL estimates them.", "table")
TABLE_BYTES = _exported("table_size_bytes", "Size of a table with its indexes.", "table")
DATABASE_BYTES = _exported("database_size_bytes", "Size of the database.")
BACKUP_AGE = _exported("backup_age_seconds", "Age of the last verified backup; absent if there is none.")

COLLECTED_AT = _exported("collection_timestamp_seconds", "When these figures were collected.")
RUNS_UNTIL = _exported("runs_counted_until_timestamp_seconds", "The time up to which finished runs are counted.")
COLLECTION_AGE = _metric("collection_age_seconds", "How long ago these figures were collected; infinite if never.")

EXPIRY_BUCKETS = ("ended", "1h", "1d", "7d", "30d", "later", "never")
"""The values of the label `ends_within`: each grant is in the first one that applies."""
