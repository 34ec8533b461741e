"""What is measured and stored, on real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from sivera.breaker import Calls
from sivera.metrics import definitions as of
from sivera.metrics.collecting import BATCH, Turn, begin, collect, forget, measure
from sivera.metrics.definitions import EXPIRY_BUCKETS, EXPORTED, Collection, Metric, Sample
from sivera.metrics.queries import QUESTIONS, add_calls, read_latest, read_series, write
from sivera.metrics.rules import JobRun, JobRuns, Window
from sivera.models import Base
from sivera.values import PlatformName

GOOGLE, META = PlatformName.GOOGLE, PlatformName.META
DAILY = {GOOGLE: 200}
NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
DAY = Window(since=NOW - timedelta(days=1), until=NOW)


@pytest.fixture
def grants(engine: Engine) -> Engine:
    """A database with grants of every time to their end, and accounts of every state."""
    ends = ("-1 hour", "30 minutes", "5 hours", "3 days", "20 days", "60 days", None)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO teams (name) VALUES ('Hanok')"))
        for number, interval in enumerate(ends):
            connection.execute(
                text(
                    "INSERT INTO platform_credentials (team_id, platform, name, expires_at) "
                    "SELECT id, 'google', :name, now() + CAST(:ends AS interval) FROM teams"
                ),
                {"name": f"grant {number}", "ends": interval},
            )
        connection.execute(
            text(
                "INSERT INTO platform_credentials (team_id, platform, name, status, refresh_token) "
                "SELECT id, 'meta', 'gone', 'revoked', '\\x00' FROM teams"
            )
        )
        for grant, status, hours, rests, number in (
            ("grant 0", "active", 1, None, 1),
            ("grant 0", "active", 3, None, 2),
            ("grant 0", "active", 11, 1, 3),
            ("grant 0", "closed", 99, None, 4),
            ("gone", "active", 99, None, 5),
        ):
            connection.execute(
                text(
                    "INSERT INTO ad_accounts (team_id, credential_id, platform, external_id, name, currency, timezone, "
                    "status, last_synced_at, next_attempt_at) "
                    "SELECT team_id, id, platform, :id, 'a', 'EUR', 'UTC', :status, "
                    "now() - make_interval(hours => :hours), now() + make_interval(hours => :rests) "
                    "FROM platform_credentials WHERE name = :grant"
                ),
                {"id": str(number), "status": status, "grant": grant, "hours": hours, "rests": rests},
            )
    return engine


def measured(engine: Engine) -> Collection:
    with Session(engine) as session:
        return Collection(at=NOW, samples=tuple(measure(session, DAILY)))


def stored(engine: Engine) -> list[tuple[datetime, str, dict[str, str], float]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT at, name, labels, value FROM metric_samples ORDER BY at, name, labels"))
        return [(row.at, row.name, row.labels, row.value) for row in rows]


def run(outcome: str, minutes: int = 0, job: str = "sync-campaigns") -> JobRun:
    ended = NOW - timedelta(minutes=minutes)
    return JobRun(job=job, outcome=outcome, ended_at=ended, duration_seconds=60, queue_delay_seconds=2)


def found(*runs: JobRun) -> JobRuns:
    return JobRuns(jobs=(), runs=runs)


def test_each_question_gives_the_labels_of_its_metric(grants: Engine) -> None:
    with Session(grants) as session:
        add_calls(session, uuid4(), {GOOGLE: Calls(api=1)})
        for metric in EXPORTED:
            if metric.name in QUESTIONS:
                columns = set(session.execute(text(QUESTIONS[metric.name])).keys())
                assert columns == {*metric.labels, "value"}, metric.name
    assert QUESTIONS.keys() <= {metric.name for metric in EXPORTED}


def test_grants_are_counted_by_status_and_by_their_end(grants: Engine) -> None:
    found = measured(grants)
    assert found.values(of.GRANTS) == {("google", "active"): 7, ("meta", "revoked"): 1}
    assert found.values(of.GRANTS_BY_EXPIRY) == {("google", "no", bucket): 1 for bucket in EXPIRY_BUCKETS}


def test_accounts_are_counted_by_state_and_the_age_of_those_that_should_be_synced_is_told(grants: Engine) -> None:
    found = measured(grants)
    assert found.values(of.ACCOUNTS) == {
        ("google", "active"): 2,
        ("google", "slow_lane"): 1,
        ("google", "closed"): 1,
        ("meta", "waiting"): 1,
    }
    # Rounded to six minutes: some seconds have passed since the rows were written.
    hours = {labels: round(value / 3600, 1) for labels, value in found.values(of.SYNC_AGE).items()}
    assert hours == {("google", "0.5"): 3.0, ("google", "0.9"): 9.4, ("google", "1"): 11.0}


def test_calls_are_added_up_and_what_is_left_of_quotas_follows(engine: Engine) -> None:
    run_id = uuid4()
    with Session(engine) as session, session.begin():
        add_calls(session, run_id, {GOOGLE: Calls(api=50, login=5, throttled=1), META: Calls()})
        add_calls(session, run_id, {GOOGLE: Calls(api=30), META: Calls(api=7, used_percent=60.0)})
        add_calls(session, uuid4(), {META: Calls(api=1)})
    found = measured(engine)
    assert found.values(of.CALLS) == {
        ("google", "api"): 80,
        ("google", "login"): 5,
        ("meta", "api"): 8,
        ("meta", "login"): 0,
    }
    assert found.values(of.THROTTLES) == {("google",): 1, ("meta",): 0}
    assert found.values(of.QUOTA_LEFT) == {("google", "calls_a_day"): 0.6, ("meta", "said_by_platform"): 0.4}
    with engine.begin() as connection:
        connection.execute(text("UPDATE platform_calls SET at = at - interval '25 hours'"))
    later = measured(engine)
    assert later.values(of.QUOTA_LEFT) == {("google", "calls_a_day"): 1.0}
    assert later.values(of.CALLS) == found.values(of.CALLS)


def test_rows_and_sizes_of_every_table_are_known(grants: Engine) -> None:
    with grants.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE ad_accounts"))
    found = measured(grants)
    rows, sizes = found.values(of.TABLE_ROWS), found.values(of.TABLE_BYTES)
    assert (
        {table for (table,) in rows}
        == {table for (table,) in sizes}
        == {*Base.metadata.tables, "sivera_alembic_version"}
    )
    assert rows["ad_accounts",] == 5
    assert all(size > 0 for size in sizes.values())
    assert found.values(of.DATABASE_BYTES)[()] > sum(sizes.values())


def test_a_backup_is_as_old_as_the_last_verified_one(engine: Engine) -> None:
    turn = Turn(at=NOW, window=DAY)
    assert collect(engine, turn, found(), DAILY).values(of.BACKUP_AGE) == {}
    age = timedelta(days=2)
    assert collect(engine, turn, found(), DAILY, NOW - age).values(of.BACKUP_AGE) == {(): age.total_seconds()}


def test_a_table_in_parts_is_one_table(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE TABLE whole (day int) PARTITION BY RANGE (day)"))
        for part in (0, 1):
            connection.execute(
                text(f"CREATE TABLE part_{part} PARTITION OF whole FOR VALUES FROM ({part}) TO ({part + 1})")
            )
            connection.execute(text("INSERT INTO whole VALUES (:part)"), {"part": part})
        connection.execute(text("ANALYZE whole"))
    rows = measured(engine).values(of.TABLE_ROWS)
    assert rows["whole",] == 2
    assert not {table for (table,) in rows if table.startswith("part_")}


def test_no_label_tells_a_team_or_an_account(grants: Engine) -> None:
    texts = {value for sample in measured(grants).samples for value in sample.labels.values()}
    assert texts
    assert not {value for value in texts if "Hanok" in value or "grant" in value}


def test_a_collection_at_the_same_time_replaces_itself(grants: Engine) -> None:
    turn = Turn(at=NOW, window=DAY)
    runs = found(run("completed", 10), run("failed", 5))
    first = collect(grants, turn, runs, DAILY)
    before = [row[:3] for row in stored(grants)]
    second = collect(grants, turn, runs, DAILY)
    assert [row[:3] for row in stored(grants)] == before
    assert second.values(of.JOB_RUNS) == first.values(of.JOB_RUNS)
    with Session(grants) as session:
        latest = read_latest(session)
        durations = read_series(session, of.RUN_DURATION, NOW - timedelta(hours=1))
    assert latest
    assert latest.at == NOW
    for metric in EXPORTED:
        assert latest.values(metric) == second.values(metric)
    assert [(at, sample.labels["outcome"]) for at, sample in durations] == [
        (NOW - timedelta(minutes=10), "completed"),
        (NOW - timedelta(minutes=5), "failed"),
    ]


def test_each_collection_goes_on_where_the_last_one_ended(engine: Engine) -> None:
    first = begin(engine, timedelta(minutes=1))
    assert first.window.until - first.window.since == timedelta(days=1)
    collect(engine, first, found(run("completed")), DAILY)
    second = Turn(at=first.at + timedelta(minutes=30), window=Window(since=first.window.until, until=first.at))
    assert collect(engine, second, found(run("failed")), DAILY).values(of.JOB_RUNS) == {
        ("sync-campaigns", "completed"): 1,
        ("sync-campaigns", "failed"): 1,
    }
    with Session(engine) as session:
        assert read_latest(session, before=second.at) != read_latest(session)


def test_old_samples_go_in_batches(engine: Engine) -> None:
    def sample(number: int) -> Sample:
        return Sample(name=of.TABLE_ROWS.name, labels={"table": f"t{number}"}, value=number)

    with Session(engine) as session, session.begin():
        for start in range(0, BATCH + 10, 1_000):
            write(session, NOW - timedelta(days=91), [sample(start + n) for n in range(min(1_000, BATCH + 10 - start))])
        write(session, NOW - timedelta(days=89), [sample(1)])
    assert forget(engine, NOW - timedelta(days=90)) == BATCH + 10
    assert [row[0] for row in stored(engine)] == [NOW - timedelta(days=89)]
    assert forget(engine, NOW - timedelta(days=90)) == 0


@pytest.mark.parametrize("metric", EXPORTED, ids=lambda metric: metric.name)
def test_names_are_as_prometheus_wants_them(metric: Metric) -> None:
    assert metric.name.startswith("sivera_")
    assert metric.help.endswith(".")
    assert (metric.kind == "counter") == metric.name.endswith("_total")
