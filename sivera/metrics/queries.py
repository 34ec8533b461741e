"""SQL of the metrics: the current state, the samples and the calls to platforms. All times are the database's.

To add a gauge, add a query to `QUESTIONS`. Its column `value` is the value, and every other column a label.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sivera.breaker import Calls
from sivera.metrics import definitions as of
from sivera.metrics.definitions import Collection, Metric, Sample
from sivera.models import MetricSample, PlatformCall
from sivera.values import PlatformName

_ACCOUNTS = "ad_accounts AS a JOIN platform_credentials AS c ON c.id = a.credential_id"
_TABLES = "pg_class WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace)"

QUESTIONS: Mapping[str, str] = {
    of.GRANTS.name: "SELECT platform, status, count(*) AS value FROM platform_credentials GROUP BY 1, 2",
    of.GRANTS_BY_EXPIRY.name: """
        SELECT platform,
               CASE WHEN refresh_token IS NULL THEN 'no' ELSE 'yes' END AS refresh_token,
               CASE WHEN expires_at IS NULL THEN 'never'
                    WHEN expires_at <= now() THEN 'ended'
                    WHEN expires_at <= now() + interval '1 hour' THEN '1h'
                    WHEN expires_at <= now() + interval '1 day' THEN '1d'
                    WHEN expires_at <= now() + interval '7 days' THEN '7d'
                    WHEN expires_at <= now() + interval '30 days' THEN '30d'
                    ELSE 'later' END AS ends_within,
               count(*) AS value
        FROM platform_credentials WHERE status = 'active' GROUP BY 1, 2, 3""",
    of.ACCOUNTS.name: f"""
        SELECT a.platform,
               CASE WHEN a.status <> 'active' THEN a.status
                    WHEN c.status = 'disconnected' THEN c.status
                    WHEN c.status <> 'active' THEN 'waiting'
                    WHEN a.next_attempt_at > now() AND a.next_attempt_at <= now() + interval '1 day' THEN 'slow_lane'
                    ELSE 'active' END AS state,
               count(*) AS value
        FROM {_ACCOUNTS} GROUP BY 1, 2""",  # noqa: S608 - constants
    of.SYNC_AGE.name: f"""
        SELECT platform, quantile, value
        FROM (SELECT a.platform, percentile_cont(ARRAY[0.5, 0.9, 1]) WITHIN GROUP (
                     ORDER BY extract(epoch FROM now() - CASE WHEN a.last_synced_at <= now() THEN a.last_synced_at
                                                              ELSE a.created_at END)) AS ages
              FROM {_ACCOUNTS} WHERE a.status = 'active' AND c.status = 'active' GROUP BY 1) AS aged,
             unnest(ARRAY['0.5', '0.9', '1'], ages) AS each (quantile, value)""",  # noqa: S608 - constants
    of.CALLS.name: """
        SELECT platform, kind, sum(counted) AS value
        FROM platform_calls, unnest(ARRAY['api', 'login'], ARRAY[api, login]) AS each (kind, counted)
        GROUP BY 1, 2""",
    of.THROTTLES.name: "SELECT platform, sum(throttled) AS value FROM platform_calls GROUP BY 1",
    of.QUOTA_LEFT.name: """
        SELECT platform, quota, greatest(0, least(1, remaining)) AS value FROM (
            SELECT known.platform, 'calls_a_day' AS quota,
                   1 - CAST((SELECT coalesce(sum(api), 0) FROM platform_calls AS calls
                             WHERE calls.platform = known.platform AND at > now() - interval '24 hours') AS float)
                       / CAST(known.calls AS float) AS remaining
            FROM jsonb_each_text(CAST(:daily_calls AS jsonb)) AS known (platform, calls)
            UNION ALL
            (SELECT DISTINCT ON (platform) platform, 'said_by_platform', 1 - used_percent / 100 FROM platform_calls
             WHERE used_percent IS NOT NULL AND at > now() - interval '1 hour' ORDER BY platform, at DESC)
        ) AS quotas""",
    of.TABLE_ROWS.name: f"""
        SELECT relname AS "table",
               CASE WHEN reltuples < 0 THEN pg_stat_get_live_tuples(oid) ELSE reltuples END AS value
        FROM {_TABLES}""",  # noqa: S608 - constants
    of.TABLE_BYTES.name: f'SELECT relname AS "table", pg_total_relation_size(oid) AS value FROM {_TABLES}',  # noqa: S608
    of.DATABASE_BYTES.name: "SELECT pg_database_size(current_database()) AS value",
}
"""The query of each gauge. A null value gives no sample."""

# Columns, not objects: the labels are part of the primary key, and SQLAlchemy cannot hash a dictionary.
_SAMPLES = select(MetricSample.at, MetricSample.name, MetricSample.labels, MetricSample.value)


def measure(session: Session, daily_calls: Mapping[PlatformName, int]) -> Iterator[Sample]:
    """Yield the current state: a sample for each row of each query."""
    parameters = {"daily_calls": json.dumps(daily_calls)}
    for name, question in QUESTIONS.items():
        for row in session.execute(text(question), parameters).mappings():
            if row["value"] is not None:
                labels = {label: str(value) for label, value in row.items() if label != "value"}
                yield Sample(name=name, labels=labels, value=float(row["value"]))


def write(session: Session, at: datetime, samples: Sequence[Sample]) -> None:
    """Insert or update the samples of one time."""
    statement = insert(MetricSample).values([{"at": at, **sample.model_dump()} for sample in samples])
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["name", "at", "labels"], set_={"value": statement.excluded.value}
        )
    )


def read_latest(session: Session, before: datetime | None = None) -> Collection | None:
    """Return the last collection, or the last one before a time."""
    newest = select(func.max(MetricSample.at)).where(MetricSample.name == of.COLLECTED_AT.name)
    at = session.scalar(newest if before is None else newest.where(MetricSample.at < before))
    if at is None:
        return None
    found = session.execute(_SAMPLES.where(MetricSample.at == at).order_by(MetricSample.name, MetricSample.labels))
    samples = [Sample(name=name, labels=labels, value=value) for _, name, labels, value in found]
    return Collection(at=at, samples=tuple(samples))


def read_series(session: Session, metric: Metric, since: datetime) -> list[tuple[datetime, Sample]]:
    """Return a metric's samples since a time, oldest first."""
    of_metric = _SAMPLES.where(MetricSample.name == metric.name, MetricSample.at >= since)
    found = session.execute(of_metric.order_by(MetricSample.at, MetricSample.labels))
    return [(at, Sample(name=name, labels=labels, value=value)) for at, name, labels, value in found]


def delete_old(session: Session, before: datetime) -> int:
    """Delete the samples before a time; return how many."""
    gone = text("WITH gone AS (DELETE FROM metric_samples WHERE at < :before RETURNING 1) SELECT count(*) FROM gone")
    deleted: int = session.scalars(gone, {"before": before}).one()
    return deleted


def add_calls(session: Session, run_id: UUID, calls: Mapping[PlatformName, Calls]) -> None:
    """Add to the calls of a run, which may have been retried."""
    rows = [
        {"run_id": run_id, "platform": platform.value, **each.model_dump()}
        for platform, each in calls.items()
        if each.api or each.login
    ]
    if not rows:
        return
    statement = insert(PlatformCall).values(rows)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id", "platform"],
            set_={
                "at": func.now(),
                "api": PlatformCall.api + new.api,
                "login": PlatformCall.login + new.login,
                "throttled": PlatformCall.throttled + new.throttled,
                "used_percent": func.coalesce(new.used_percent, PlatformCall.used_percent),
            },
        )
    )
