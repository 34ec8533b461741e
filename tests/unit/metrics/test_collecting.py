"""What is measured and stored, with real PostgreSQL."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, Row
from sqlalchemy.orm import Session

from sivera.breaker import Calls
from sivera.metrics import definitions as of
from sivera.metrics.collecting import Turn, begin, collect, forget
from sivera.metrics.definitions import EXPIRY_BUCKETS, EXPORTED, Collection
from sivera.metrics.queries import QUESTIONS, add_calls, measure, read_latest, read_series, write
from sivera.metrics.rules import JobRun, JobRuns, Window
from sivera.models import Base
from sivera.values import PlatformName
from tests.unit.metrics.test_rules import NOW, run
from tests.unit.tables import Tables

GOOGLE, META, TIKTOK = PlatformName.GOOGLE, PlatformName.META, PlatformName.TIKTOK
DAILY = {GOOGLE: 200, TIKTOK: 5}

GRANTS = """
    INSERT INTO teams (name) VALUES ('Hanok');
    INSERT INTO platform_credentials (team_id, platform, name, expires_at)
    SELECT 1, 'google', 'grant ' || n, now() + CAST(ends AS interval)
    FROM unnest(ARRAY['-1 hour', '30 minutes', '5 hours', '3 days', '20 days', '60 days', NULL])
         WITH ORDINALITY AS each (ends, n);
    INSERT INTO platform_credentials (team_id, platform, name, status, refresh_token)
    VALUES (1, 'meta', 'gone', 'revoked', '\\x00'), (1, 'meta', 'let go', 'disconnected', NULL);
    INSERT INTO ad_accounts (team_id, credential_id, platform, external_id, name, currency, timezone, status,
                             last_synced_at, next_attempt_at)
    SELECT 1, c.id, c.platform, n::text, 'a', 'EUR', 'UTC', state, now() - make_interval(hours => hours),
           now() + make_interval(hours => rests)
    FROM (VALUES ('grant 1', 'active', 1, NULL, 1), ('grant 1', 'active', 3, 48, 2),
                 ('grant 1', 'active', 11, 1, 3), ('grant 1', 'closed', 99, NULL, 4), ('gone', 'active', 99, NULL, 5),
                 ('let go', 'active', 99, NULL, 6)
         ) AS a (name, state, hours, rests, n)
    JOIN platform_credentials AS c USING (name)"""
"""A grant for each time to expiry, and accounts in every state."""


@pytest.fixture
def grants(engine: Engine) -> Engine:
    for statement in GRANTS.split(";"):
        Tables(engine).execute(statement)
    return engine


def measured(engine: Engine) -> Collection:
    with Session(engine) as session:
        return Collection(at=NOW, samples=tuple(measure(session, DAILY)))


def stored(engine: Engine) -> Sequence[Row[Any]]:
    return Tables(engine).rows("SELECT at, name, labels FROM metric_samples ORDER BY at, name, labels")


def found(*runs: JobRun) -> JobRuns:
    return JobRuns(jobs=(), runs=runs)


def test_grants_and_accounts_are_counted_and_labels_name_nobody(grants: Engine) -> None:
    with Session(grants) as session, session.begin():
        add_calls(session, uuid4(), {GOOGLE: Calls(api=1)})
    found = measured(grants)
    labels = {metric.name: set(metric.labels) for metric in EXPORTED}
    assert {sample.name for sample in found.samples} == QUESTIONS.keys() <= labels.keys()
    assert all(sample.labels.keys() == labels[sample.name] for sample in found.samples)
    texts = {value for sample in found.samples for value in sample.labels.values()}
    assert not {value for value in texts if "Hanok" in value or "grant" in value.replace("grants", "")}
    assert found.values(of.GRANTS) == {("google", "active"): 7, ("meta", "revoked"): 1, ("meta", "disconnected"): 1}
    assert found.values(of.GRANTS_BY_EXPIRY) == {("google", "no", bucket): 1 for bucket in EXPIRY_BUCKETS}
    assert found.values(of.ACCOUNTS) == {
        ("google", "active"): 2,
        ("google", "slow_lane"): 1,
        ("google", "closed"): 1,
        ("meta", "waiting"): 1,
        ("meta", "disconnected"): 1,
    }
    # A time ahead of the clock is ignored, and the age counted from the connection.
    ahead = "last_synced_at = now() + interval '2 days', created_at = now() - interval '11 hours'"
    for change in ("status = status", ahead):
        Tables(grants).execute(f"UPDATE ad_accounts SET {change} WHERE external_id = '3'")  # noqa: S608
        # Rounded to six minutes, because some seconds have passed since the rows were written.
        hours = {labels: round(age / 3600, 1) for labels, age in measured(grants).values(of.SYNC_AGE).items()}
        assert hours == {("google", "0.5"): 3.0, ("google", "0.9"): 9.4, ("google", "1"): 11.0}


def test_calls_add_up_and_reduce_the_quotas(engine: Engine) -> None:
    run_id = uuid4()
    with Session(engine) as session, session.begin():
        add_calls(session, run_id, {GOOGLE: Calls(api=50, login=5, throttled=1), META: Calls()})
        add_calls(session, run_id, {GOOGLE: Calls(api=30), META: Calls(api=7, used_percent=60.0)})
        add_calls(session, run_id, {META: Calls(login=2)})
        add_calls(session, uuid4(), {META: Calls(api=1), TIKTOK: Calls(api=9, used_percent=101.0)})
    found = measured(engine)
    calls = {("google", "api"): 80, ("google", "login"): 5, ("meta", "api"): 8, ("meta", "login"): 2}
    assert found.values(of.CALLS) == calls | {("tiktok", "api"): 9, ("tiktok", "login"): 0}
    assert found.values(of.THROTTLES) == {("google",): 1, ("meta",): 0, ("tiktok",): 0}
    assert found.values(of.QUOTA_LEFT) == {
        ("google", "calls_a_day"): 0.6,
        ("tiktok", "calls_a_day"): 0.0,
        ("meta", "said_by_platform"): 0.4,
        ("tiktok", "said_by_platform"): 0.0,
    }
    Tables(engine).execute("UPDATE platform_calls SET at = at - interval '25 hours'")
    later = measured(engine)
    assert later.values(of.QUOTA_LEFT) == {("google", "calls_a_day"): 1.0, ("tiktok", "calls_a_day"): 1.0}
    assert later.values(of.CALLS) == found.values(of.CALLS)
    with Session(engine) as session, session.begin():
        add_calls(session, run_id, {META: Calls(api=1)})
    assert measured(engine).values(of.QUOTA_LEFT)["meta", "said_by_platform"] == 0.4, "the run is of now"


def test_rows_and_sizes_of_every_table_are_known(grants: Engine) -> None:
    Tables(grants).execute("ANALYZE ad_accounts")
    found = measured(grants)
    rows, sizes = found.values(of.TABLE_ROWS), found.values(of.TABLE_BYTES)
    assert rows.keys() == sizes.keys()
    assert {table for (table,) in rows} == {*Base.metadata.tables, "sivera_alembic_version"}
    assert rows["ad_accounts",] == 6
    assert all(size > 0 for size in sizes.values())
    assert found.values(of.DATABASE_BYTES)[()] > sum(sizes.values())


def test_a_repeated_collection_replaces_itself_and_the_next_continues(engine: Engine) -> None:
    first = begin(engine, timedelta(minutes=1))
    runs = found(run("completed", 10), run("failed", 5))
    collected = collect(engine, first, runs, DAILY, first.at - timedelta(days=2))
    assert collected.values(of.BACKUP_AGE) == {(): 2 * 86_400}
    before = stored(engine)
    again = collect(engine, first, runs, DAILY, first.at - timedelta(days=2))
    assert stored(engine) == before
    assert again.values(of.JOB_RUNS) == collected.values(of.JOB_RUNS)
    with Session(engine) as session:
        latest = read_latest(session)
        durations = read_series(session, of.RUN_DURATION, NOW - timedelta(hours=1))
    assert latest
    assert latest.at == first.at
    for metric in EXPORTED:
        assert latest.values(metric) == again.values(metric)
    assert [(at, sample.labels["outcome"]) for at, sample in durations] == [
        (NOW - timedelta(minutes=10), "completed"),
        (NOW - timedelta(minutes=5), "failed"),
    ]
    second = Turn(at=first.at + timedelta(minutes=30), window=Window(since=first.window.until, until=first.at))
    later = collect(engine, second, found(run("failed", 0)), DAILY)
    assert later.values(of.JOB_RUNS) == {("sync-campaigns", "completed"): 1, ("sync-campaigns", "failed"): 2}
    assert later.values(of.BACKUP_AGE) == {}, "there is no backup"


def test_old_samples_are_deleted(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        for days in (91, 90, 89):
            write(session, NOW - timedelta(days=days), [of.TABLE_ROWS.sample(1, "t1"), of.TABLE_ROWS.sample(1, "t2")])
    assert forget(engine, NOW - timedelta(days=90)) == 2
    assert {row.at for row in stored(engine)} == {NOW - timedelta(days=90), NOW - timedelta(days=89)}
