"""A check against real PostgreSQL: what opens an alert, what closes it, and that each is said once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.alerts import queries
from sivera.alerts.checking import SILENCE, AlertDependencies, CheckSummary, check_alerts
from sivera.alerts.conditions import Condition, Kind, Links
from sivera.alerts.options import AlertOptions
from sivera.occurrences.rules import DEPLOYMENT_IS_FULL
from sivera.values import PlatformName
from tests.stage import Stage

JOB = "check-alerts"
CONDITION = Condition(
    kind=Kind.JOB_FAILED, subject="a/all", title="a/all failed", message="It did.", since=datetime.now(UTC)
)


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the check does."""
    return World(seed=7)


def check(stage: Stage, **options: int) -> CheckSummary:
    return check_alerts(AlertDependencies(stage.engine, Links(), JOB), AlertOptions(**options))


def execute(stage: Stage, statement: str, **parameters: object) -> None:
    with stage.engine.begin() as connection:
        connection.execute(text(statement), parameters)


def events(stage: Stage) -> list[tuple[str, str]]:
    found = stage.rows("SELECT name, resource FROM outbox_events WHERE name LIKE 'sivera.alert.%' ORDER BY created_at")
    return [(row.name.removeprefix("sivera.alert."), row.resource.removeprefix("sivera.alert.")) for row in found]


def payload(stage: Stage) -> dict[str, Any]:
    row: dict[str, Any] = stage.rows("SELECT payload FROM outbox_events ORDER BY created_at DESC LIMIT 1")[0][0]
    return row


def occurrence(stage: Stage, job: str, minutes_ago: int, outcome: str) -> None:
    execute(
        stage,
        """INSERT INTO job_occurrences
               (deployment, scheduled_at, job, schedule, outcome, started_at, ended_at, message)
           VALUES (:job || '/all', now() - :ago, :job, 'hourly', :outcome,
                   CASE WHEN :outcome NOT IN ('missed', 'skipped') THEN now() - :ago END, now() - :ago, :message)""",
        job=job,
        ago=timedelta(minutes=minutes_ago),
        outcome=outcome,
        message=DEPLOYMENT_IS_FULL if outcome == "skipped" else "so it was",
    )


def test_a_failed_job_opens_one_alert_and_the_next_run_closes_it(stage: Stage) -> None:
    occurrence(stage, "sync-campaigns", 180, "ran")
    assert check(stage) == CheckSummary(opened=(), closed=(), still_open=0)
    occurrence(stage, "sync-campaigns", 120, "failed")
    assert check(stage).opened == ("sync-campaigns/all failed",)
    assert check(stage) == CheckSummary(opened=(), closed=(), still_open=1)
    occurrence(stage, "sync-campaigns", 60, "failed")
    assert check(stage) == CheckSummary(opened=(), closed=(), still_open=1)
    occurrence(stage, "sync-campaigns", 0, "ran")
    assert check(stage) == CheckSummary(opened=(), closed=("sync-campaigns/all failed",), still_open=0)
    assert check(stage) == CheckSummary(opened=(), closed=(), still_open=0)
    assert events(stage) == [
        ("opened", "job-failed.sync-campaigns/all"),
        ("closed", "job-failed.sync-campaigns/all"),
    ]
    assert payload(stage).keys() == {"kind", "subject", "title", "message", "since", "link"}
    assert datetime.fromisoformat(payload(stage)["since"]).utcoffset() == timedelta(0)


def test_a_condition_that_comes_back_is_told_of_again(stage: Stage) -> None:
    for minutes_ago, outcome in ((240, "failed"), (180, "ran"), (120, "failed"), (60, "ran")):
        occurrence(stage, "refresh-tokens", minutes_ago, outcome)
        check(stage)
    assert [what for what, _ in events(stage)] == ["opened", "closed", "opened", "closed"]


def test_a_run_that_began_late_and_ended_well_closes_as_any_other(stage: Stage) -> None:
    occurrence(stage, "backup-data", 8 * 24 * 60 - 60, "failed")
    assert check(stage).opened == ("backup-data/all failed",)
    occurrence(stage, "backup-data", 60, "late")
    assert check(stage) == CheckSummary(opened=(), closed=("backup-data/all failed",), still_open=0)


def test_what_lies_before_the_last_run_that_ended_well_is_not_read(stage: Stage) -> None:
    for minutes_ago, outcome in ((180, "failed"), (120, "late"), (60, "failed")):
        occurrence(stage, "sync-campaigns", minutes_ago, outcome)
    with Session(stage.engine) as session:
        read = queries.read_occurrences(session, datetime.now(UTC) - timedelta(days=8), but=JOB)
        assert sorted(found.outcome for found in read) == ["failed", "late"]


def test_a_run_of_an_earlier_time_that_fails_after_a_later_one_is_read(stage: Stage) -> None:
    occurrence(stage, "sync-campaigns", 120, "failed")
    occurrence(stage, "sync-campaigns", 60, "ran")
    assert check(stage).opened == ()
    execute(stage, "UPDATE job_occurrences SET ended_at = now() WHERE outcome = 'failed'")
    assert check(stage).opened == ("sync-campaigns/all failed",)


@pytest.mark.parametrize(("outcome", "kind"), [("missed", "job-missed"), ("skipped", "job-skipped")])
def test_a_job_that_did_not_run_opens_one_alert_whatever_the_count_of_its_times(
    stage: Stage, outcome: str, kind: str
) -> None:
    for minutes_ago in (600, 540, 480, 420):
        occurrence(stage, "sync-campaigns", minutes_ago, outcome)
    check(stage)
    check(stage)
    assert events(stage) == [("opened", f"{kind}.sync-campaigns/all")]
    # It caught up: the server let it run for one of these times, not the newest.
    execute(
        stage,
        "UPDATE job_occurrences SET outcome = 'ran', started_at = now() "
        "WHERE scheduled_at = (SELECT min(scheduled_at) FROM job_occurrences)",
    )
    check(stage)
    assert events(stage)[1:] == [("closed", f"{kind}.sync-campaigns/all")]


def test_neither_its_own_runs_nor_what_is_long_ago_count(stage: Stage) -> None:
    occurrence(stage, JOB, 5, "failed")
    occurrence(stage, "removed-job", 60 * 24 * 9, "failed")
    check(stage)
    assert events(stage) == []


def test_a_revoked_grant_is_told_of_once_and_its_accounts_are_not_stale(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.META, accounts=2), team="Northwind Goods")
    execute(stage, "UPDATE ad_accounts SET created_at = now() - interval '1 day'")
    execute(
        stage,
        "UPDATE platform_credentials SET status = 'revoked', status_reason = 'its user took it away', "
        "status_since = now() - interval '5 hours'",
    )
    summary = check(stage)
    id_ = connection.credential_id
    assert summary.opened == (f"meta grant {id_} (main) of team Northwind Goods must be connected again",)
    assert check(stage).opened == ()
    assert events(stage) == [("opened", f"reauthorization-required.{id_}")]
    names = [row.name for row in stage.rows("SELECT name FROM ad_accounts ORDER BY id")]
    assert f"It carries the accounts {names[0]}, {names[1]};" in payload(stage)["message"]

    execute(stage, "UPDATE platform_credentials SET status = 'active', status_reason = NULL, status_since = now()")
    # Connected again just now, its accounts have their time to be synced.
    assert check(stage) == CheckSummary(opened=(), closed=summary.opened, still_open=0)


def test_an_account_whose_reports_do_not_come_is_told_of_though_it_is_synced(stage: Stage, world: World) -> None:
    stage.connect(world.add_grant(PlatformName.AMAZON, accounts=1))
    execute(stage, "UPDATE platform_credentials SET status_since = now() - interval '2 days'")
    execute(stage, "UPDATE ad_accounts SET created_at = now() - interval '2 days', last_synced_at = now()")
    for product, hours in (("SPONSORED_PRODUCTS", 1), ("SPONSORED_BRANDS", 10)):
        execute(
            stage,
            "INSERT INTO report_arrivals SELECT id, :product, now() - interval '1 hour' * :hours FROM ad_accounts",
            product=product,
            hours=hours,
        )
    assert check(stage).still_open == 0, "reports may take their time"
    execute(stage, "UPDATE report_arrivals SET as_of = as_of - interval '2 hours'")
    (title,) = check(stage).opened
    assert title.endswith("gets no reports of its metrics")
    assert payload(stage)["message"].startswith("Its campaigns are synced, and what they spend is not known.")
    execute(stage, "UPDATE report_arrivals SET as_of = now() - interval '4 hours'")
    assert check(stage).closed == (title,)
    # Its sync itself stopped: its campaigns are as old.
    execute(stage, "UPDATE report_arrivals SET as_of = now() - interval '20 hours'")
    execute(stage, "UPDATE ad_accounts SET last_synced_at = now() - interval '4 hours'")
    (title,) = check(stage).opened
    assert title.endswith("was not synced")
    assert payload(stage)["message"].startswith("No run has got to it.")


def test_stale_accounts_open_one_alert_each_and_many_of_a_platform_one_in_all(stage: Stage, world: World) -> None:
    stage.connect(world.add_grant(PlatformName.META, accounts=6))
    stage.connect(world.add_grant(PlatformName.TIKTOK, accounts=2))
    execute(stage, "UPDATE platform_credentials SET status_since = now() - interval '1 day'")
    execute(stage, "UPDATE ad_accounts SET created_at = now() - interval '1 day', last_synced_at = now()")
    assert check(stage).still_open == 0
    execute(stage, "UPDATE ad_accounts SET last_synced_at = now() - interval '2 hours 55 minutes'")
    assert check(stage).still_open == 0
    execute(stage, "UPDATE ad_accounts SET last_synced_at = now() - interval '3 hours 5 minutes'")
    assert check(stage, stale_hours=4).still_open == 0
    opened = check(stage).opened
    assert len(opened) == 3
    assert "6 accounts of meta have old data" in opened
    assert check(stage).opened == ()

    execute(stage, "UPDATE ad_accounts SET last_synced_at = now() WHERE platform = 'tiktok'")
    assert len(check(stage).closed) == 2
    # Half of them are well again: the alert of the platform lasts.
    ids = [row.id for row in stage.rows("SELECT id FROM ad_accounts WHERE platform = 'meta' ORDER BY id")]
    execute(stage, "UPDATE ad_accounts SET last_synced_at = now() WHERE id = ANY(:ids)", ids=ids[:3])
    assert check(stage) == CheckSummary(opened=(), closed=(), still_open=1)
    # All but one: it is told of by its own name, and so is one that comes anew.
    execute(stage, "UPDATE ad_accounts SET last_synced_at = now() WHERE id = ANY(:ids)", ids=ids[:5])
    summary = check(stage)
    assert summary.closed == ("6 accounts of meta have old data",)
    assert [f"meta account {ids[5]} " in title for title in summary.opened] == [True]
    execute(stage, "UPDATE ad_accounts SET last_synced_at = now() - interval '4 hours' WHERE id = :id", id=ids[0])
    assert [f"meta account {ids[0]} " in title for title in check(stage).opened] == [True]
    execute(stage, "UPDATE ad_accounts SET last_synced_at = now()")
    assert len(check(stage).closed) == 2
    assert len(events(stage)) == 10


def test_after_a_silence_the_first_check_says_that_it_is_over(stage: Stage) -> None:
    check(stage)
    execute(stage, "UPDATE alert_checks SET checked_at = now() - :ago", ago=SILENCE - timedelta(minutes=1))
    check(stage)
    assert events(stage) == []
    execute(stage, "UPDATE alert_checks SET checked_at = now() - :ago", ago=SILENCE + timedelta(minutes=1))
    summary = check(stage)
    check(stage)
    # Its beginning was told of by the Prefect server.
    assert events(stage) == [("closed", "alerts-silent.check-alerts")]
    assert summary.closed == ("check-alerts does not do its work",)
    assert datetime.now(UTC) - datetime.fromisoformat(payload(stage)["since"]) > SILENCE


def test_a_check_of_a_part_neither_ends_a_silence_nor_is_one_that_ended_well(stage: Stage) -> None:
    def last() -> datetime:
        found: datetime = stage.rows("SELECT checked_at FROM alert_checks")[0].checked_at
        return found

    check(stage)
    execute(stage, "UPDATE alert_checks SET checked_at = now() - :ago", ago=SILENCE * 2)
    before = last()
    occurrence(stage, "sync-campaigns", 60, "failed")
    summary = check_alerts(AlertDependencies(stage.engine, Links(), JOB), AlertOptions(), is_complete=False)
    assert (summary.opened, summary.closed) == (("sync-campaigns/all failed",), ())
    assert last() == before
    assert check(stage).closed == ("check-alerts does not do its work",)
    assert last() > before


def test_two_checks_at_once_open_and_close_once(stage: Stage) -> None:
    occurrence(stage, "sync-campaigns", 60, "failed")
    barrier = threading.Barrier(4)

    def one(_: int) -> CheckSummary:
        barrier.wait()
        return check(stage)

    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(one, range(4)))
        occurrence(stage, "sync-campaigns", 0, "ran")
        closed = list(pool.map(one, range(4)))
    assert sorted(len(summary.opened) for summary in opened) == [0, 0, 0, 1]
    assert sorted(len(summary.closed) for summary in closed) == [0, 0, 0, 1]
    assert [what for what, _ in events(stage)] == ["opened", "closed"]


@pytest.fixture
def two(stage: Stage) -> Iterator[tuple[Session, Session]]:
    """Two transactions beside each other."""
    with Session(stage.engine) as first, Session(stage.engine) as second:
        yield first, second


def test_of_two_transactions_that_open_or_close_the_same_alert_one_does(
    two: tuple[Session, Session], stage: Stage
) -> None:
    first, second = two
    with ThreadPoolExecutor(1) as pool:
        assert queries.open_alert(first, CONDITION)
        waiting = pool.submit(queries.open_alert, second, CONDITION)
        first.commit()
        assert waiting.result() is False
        second.commit()
        assert queries.close_alerts(first, ()) == ["a/all failed"]
        waiting_to_close = pool.submit(queries.close_alerts, second, ())
        first.commit()
        assert waiting_to_close.result() == []
        second.commit()
    assert [what for what, _ in events(stage)] == ["opened", "closed"]


def test_an_alert_that_is_rolled_back_leaves_no_event(two: tuple[Session, Session], stage: Stage) -> None:
    first, _ = two
    queries.open_alert(first, CONDITION)
    first.rollback()
    assert events(stage) == []


def test_alerts_of_other_jobs_are_left_alone(stage: Stage) -> None:
    execute(
        stage,
        "INSERT INTO alerts (kind, subject, title, message, since, link) VALUES ('budget', '1', 't', 'm', now(), '')",
    )
    assert check(stage).closed == ()
