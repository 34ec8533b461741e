"""The history that a real Prefect server gives, and the times of schedules."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Cancelled, Completed, Failed, Pending, Running

from ops.deploy import deploy
from sivera.alerts.conditions import Kind
from sivera.alerts.job_rules import job_conditions
from sivera.clock import utc_now
from sivera.history.rules import Occurrence, Outcome
from tasks.history import read_history, times_between
from tests.ops.timetables import ALL, SPLIT, timetable, write
from tests.prefect_server import set_states
from tests.tasks.late_runs import deployment, schedule_runs, to_datetime

HOUR = timedelta(hours=1)
FULL = "Deployment concurrency limit reached."


@pytest.fixture
def timetable_path(clean_prefect: object, tmp_path: Path) -> Path:
    """A deployed timetable: 'example/all' every hour and daily, and 'example/split' switched off."""
    assert clean_prefect
    path = write(tmp_path, timetable(ALL, SPLIT))
    deploy(timetable_path=path)
    return path


def missed(since: datetime, now: datetime) -> set[tuple[str | None, datetime]]:
    """The schedule and the time of each occurrence without a run."""
    found = read_history(since, now)
    assert {one.deployment for one in found} <= {"example/all"}
    return {(one.schedule, one.scheduled_at) for one in found if one.outcome is Outcome.MISSED}


@pytest.mark.usefixtures("timetable_path")
def test_runs_have_the_outcomes_that_the_server_recorded() -> None:
    now = utc_now()
    runs = schedule_runs("example/all", now - 7 * HOUR, now - HOUR)[-5:]
    ran, failed, skipped, by_person, late = runs
    set_states(failed, Pending(), Running(), Failed(name="TimedOut", message="at http://admin:s3cret@host/api"))
    set_states(ran, Pending(), Running(), force=False)
    set_states(skipped, Pending(), force=False)  # the server ends it, because another run is under way
    set_states(ran, Completed())
    set_states(by_person, Cancelled(message="not today"))
    with deployment() as (client, id_):
        by_hand = client.create_flow_run_from_deployment(id_)
    found: dict[object, Occurrence] = {one.run_id: one for one in read_history(now - 8 * HOUR)}
    assert {found[run.id].outcome for run in (ran, late)} == {Outcome.LATE}
    assert (found[ran.id].ended_at is None, found[late.id].ended_at is None) == (False, True)
    assert (found[failed.id].outcome, found[failed.id].message) == (Outcome.FAILED, "TimedOut: at http://host/api")
    assert (found[skipped.id].outcome, found[skipped.id].message) == (Outcome.SKIPPED, FULL)
    assert (found[skipped.id].skipped_by, found[by_person.id].outcome) == (ran.id, Outcome.SKIPPED)
    assert {found[run.id].schedule for run in runs} <= {"hourly", "daily"}
    assert {found[run.id].scheduled_at for run in runs} == {to_datetime(run) for run in runs}
    assert (found[by_hand.id].schedule, found[by_hand.id].outcome) == (None, Outcome.WAITING)
    assert not missed(now - 8 * HOUR, now), "a schedule may not have been active before it was deployed"


@pytest.mark.usefixtures("timetable_path")
def test_for_alerts_older_good_runs_are_left_out() -> None:
    now = utc_now()
    retried, good, newest, failed, waiting = schedule_runs("example/all", now - 7 * HOUR, now - HOUR)[-5:]
    set_states(retried, Pending(), Running(), Failed())
    for run in (good, newest):
        set_states(run, Pending(), Running(), Completed())
    set_states(retried, Running(), Completed())
    set_states(failed, Pending(), Running(), Failed())
    all_of_them, some = (read_history(now - 8 * HOUR, now, for_alerts=how) for how in (False, True))
    assert len(all_of_them) - len(some) == 1, "one good run neither started nor ended last"
    assert {failed.id, newest.id, retried.id, waiting.id} <= {one.run_id for one in some}
    found = list(job_conditions(some, now))
    assert found == list(job_conditions(all_of_them, now))
    assert [one.kind for one in found] == [Kind.JOB_FAILED]


def test_times_without_a_run_are_missed_while_the_schedule_is_active(timetable_path: Path) -> None:
    now = utc_now() + timedelta(days=5)  # The server's own scheduler has not made these runs yet.
    later = now + 30 * HOUR
    made = schedule_runs("example/all", now, now + 3 * HOUR)
    expected = missed(now, later)
    hourly = {when for slug, when in expected if slug == "hourly"}
    assert {slug for slug, _ in expected} == {"hourly", "daily"}
    assert made
    assert not hourly & {to_datetime(run) for run in made}
    assert len(hourly) >= 26
    deploy(timetable_path=timetable_path)
    assert missed(now, later) == expected, "a deploy that changes nothing does not hide what was missed"
    with deployment() as (client, id_):
        schedules = {each.slug: each.id for each in client.read_deployment(id_).schedules}
        client.update_deployment_schedule(id_, schedules["daily"], active=False)
        assert {slug for slug, _ in missed(now, later)} == {"hourly"}
        client.pause_deployment(id_)
        assert missed(now, later) == set()


@pytest.mark.usefixtures("clean_prefect")
def test_a_server_with_nothing_deployed_has_no_history() -> None:
    assert read_history(utc_now() - HOUR) == []


@pytest.mark.parametrize(("cron", "count"), [("* * * * *", 48 * 60), ("0 0 31 2 *", 0)])
def test_a_schedule_has_more_times_than_prefect_computes_at_once_or_none(cron: str, count: int) -> None:
    since = datetime(2026, 10, 24, tzinfo=UTC)
    times = times_between(CronSchedule(cron=cron, timezone="UTC"), since, since + 48 * HOUR)
    assert times == [since + timedelta(minutes=minute) for minute in range(count)]
