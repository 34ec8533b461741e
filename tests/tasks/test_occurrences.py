"""Accounting for what a real Prefect server ran, and what a run does whose time is long past."""

from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from ops.plan import run_times
from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow_sync
from prefect.states import AwaitingRetry, Cancelled, Completed, Failed, Late, Pending, Running, Scheduled
from sivera.occurrences import queries
from sivera.occurrences.accounting import Accounted, account
from sivera.occurrences.rules import DEPLOYMENT_IS_FULL, LATE_AFTER, LONG_PAST, Occurrence, Outcome
from sqlalchemy.orm import Session
from tasks.occurrences import PrefectRuns, account_for_occurrences

from blocks.server import connect
from ops.deploy import deploy
from sivera.clock import utc_now
from tasks.staleness import long_past, overtaken
from tests.ops.timetables import ALL, SPLIT, timetable, write
from tests.stage import Stage
from tests.tasks.late_runs import deployment, schedule_runs, to_datetime

HOUR = timedelta(hours=1)


@flow(name="accounting")
def accounting() -> Accounted:
    """Account, as the flow does that tells of what was missed."""
    return account_for_occurrences()


@flow(name="measuring")
def measuring() -> State:
    """Do nothing where the time is long past, as a job does that measures the moment."""
    return long_past(timedelta(minutes=20)) or Completed(message="Measured")


@flow(name="copying")
def copying(options: dict[str, str] | None = None) -> State:
    """Do nothing where another run has done it, as a job does that brings everything up to date."""
    assert options
    return overtaken() or Completed(message="Copied")


@pytest.fixture
def timetable_path(ready: Stage, tmp_path: Path) -> Path:
    """A timetable that is deployed: 'example/all' every hour and daily, and 'example/split' switched off."""
    assert ready
    path = write(tmp_path, timetable(ALL, SPLIT))
    deploy(timetable_path=path)
    return path


def set_states(run: FlowRun, *states: State) -> None:
    with connect() as client:
        for state in states:
            client.set_flow_run_state(run.id, state, force=True)


def rows(stage: Stage) -> dict[UUID | datetime, Occurrence]:
    """The rows by run, or by time where there is none."""
    with Session(stage.engine) as session:
        found = queries.list_occurrences(session, since=utc_now() - timedelta(days=40))
    return {row.run_id or row.scheduled_at: row for row in found if row.deployment == "example/all"}


def account_at(now: datetime, stage: Stage) -> Accounted:
    """Account as if it were then: else a time may come due between two accountings of a test."""
    with connect() as client:
        return account(stage.engine, PrefectRuns(client), now)


@pytest.mark.usefixtures("timetable_path")
def test_what_a_server_ran_is_accounted_for_in_a_flow(ready: Stage) -> None:
    now = utc_now()
    runs = schedule_runs("example/all", now - 7 * HOUR, now - HOUR)[-5:]
    ran, failed, skipped, by_person, late = runs
    set_states(failed, Pending(), Running(), Failed(name="TimedOut", message="over 300 seconds"))
    set_states(ran, Pending(), Running())
    set_states(skipped, Cancelled(message=DEPLOYMENT_IS_FULL))
    set_states(ran, Completed())
    set_states(by_person, Cancelled(message="not today"))
    accounted = accounting()
    assert sum(accounted.written.values()) >= len(runs)
    found = rows(ready)
    assert {found[run.id].outcome for run in (ran, late)} == {Outcome.LATE}
    assert (found[ran.id].ended_at is None, found[late.id].ended_at is None) == (False, True)
    assert (found[failed.id].outcome, found[failed.id].message) == (Outcome.FAILED, "TimedOut: over 300 seconds")
    assert (found[skipped.id].outcome, found[skipped.id].message) == (Outcome.SKIPPED, DEPLOYMENT_IS_FULL)
    assert (found[skipped.id].skipped_by, found[by_person.id].skipped_by) == (ran.id, None)
    assert (found[by_person.id].outcome, found[by_person.id].message) == (Outcome.SKIPPED, "not today")
    assert {found[run.id].schedule for run in runs} <= {"hourly", "daily"}
    assert {found[run.id].scheduled_at for run in runs} == {to_datetime(run) for run in runs}
    coming = [row for key, row in found.items() if isinstance(key, datetime)]
    assert {(row.outcome, row.schedule) for row in coming} == {(Outcome.WAITING, "hourly"), (Outcome.WAITING, "daily")}
    assert all(row.scheduled_at > now for row in coming)

    set_states(late, Pending(), Running())
    account_for_occurrences.fn()
    assert rows(ready)[late.id].outcome is Outcome.RUNNING


@pytest.mark.usefixtures("timetable_path")
def test_three_days_without_a_server_are_a_row_a_time(ready: Stage) -> None:
    now = utc_now()
    since = (now - 3 * 24 * HOUR).replace(minute=0, second=0, microsecond=0)
    with Session(ready.engine) as session, session.begin():
        waited = {"deployment": "example/all", "job": "example", "outcome": Outcome.WAITING, "scheduled_at": since}
        queries.record(session, [Occurrence.model_validate(waited | {"schedule": "hourly"})])
    made = schedule_runs("example/all", since, since + 3 * HOUR)
    account_at(now, ready)
    found = [row for row in rows(ready).values() if row.schedule == "hourly"]
    expected = run_times("0 * * * *", "UTC", since, now - LATE_AFTER)
    found = [row for row in found if row.scheduled_at < now - LATE_AFTER]
    assert sorted(row.scheduled_at for row in found) == expected
    by_outcome = {outcome: {row.scheduled_at for row in found if row.outcome is outcome} for outcome in Outcome}
    late = {to_datetime(run) for run in made} & set(expected)
    assert late
    assert by_outcome[Outcome.LATE] == late
    assert by_outcome[Outcome.MISSED] == set(expected) - late
    before = rows(ready)
    for run in made:
        set_states(run, Late(scheduled_time=run.expected_start_time))  # as a service of the server does in its time
    assert account_at(now, ready).written == {}
    assert rows(ready) == before


@pytest.mark.usefixtures("timetable_path")
def test_a_schedule_that_is_switched_off_waits_for_nothing(ready: Stage) -> None:
    now = utc_now()
    account_at(now, ready)
    assert {row.schedule for row in rows(ready).values()} == {"hourly", "daily"}
    with deployment() as (client, id_):
        schedules = {each.slug: each.id for each in client.read_deployment(id_).schedules}
        client.update_deployment_schedule(id_, schedules["daily"], active=False)
        account_at(now, ready)
        assert {row.schedule for row in rows(ready).values()} == {"hourly"}
        client.pause_deployment(id_)
        account_at(now, ready)
        assert rows(ready) == {}
        client.resume_deployment(id_)
        client.delete_deployment(id_)
    account_at(now, ready)
    assert rows(ready) == {}


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(("ago", "name"), [(19, "Completed"), (21, "Cancelled"), (60 * 24 * 3, "Cancelled")])
def test_a_run_whose_time_is_long_past_does_nothing(ago: int, name: str) -> None:
    with connect() as client:
        due: State = Scheduled(scheduled_time=utc_now() - timedelta(minutes=ago))
        run = client.create_flow_run(measuring, state=due)
    state = run_flow_sync(measuring, flow_run=run, return_type="state")
    assert state
    assert (state.name, state.message) == (name, "Measured" if name == "Completed" else LONG_PAST)


@pytest.mark.usefixtures("ready")
def test_a_run_that_a_person_starts_is_never_long_past() -> None:
    assert measuring(return_state=True).is_completed()


def run_late(run: FlowRun) -> str | None:
    state = run_flow_sync(copying, flow_run=run, parameters=run.parameters, return_type="state")
    assert state
    return state.message


@pytest.mark.usefixtures("timetable_path")
def test_a_late_run_does_nothing_once_another_has_begun_its_work() -> None:
    now = utc_now()
    hourly = [
        run for run in schedule_runs("example/all", now - 9 * HOUR, now - HOUR) if "full" not in str(run.parameters)
    ]
    failed, ran, late, retried = hourly[:4]
    set_states(failed, Pending(), Running(), Failed())
    assert run_late(ran) == "Copied", "what failed has not done it"
    assert run_late(late) == LONG_PAST
    set_states(retried, Pending(), Running(), Failed(), AwaitingRetry())
    with connect() as client:
        assert run_late(client.read_flow_run(retried.id)) == "Copied", "a person wants it"
        by_hand = client.create_flow_run_from_deployment(
            client.read_deployment_by_name("example/all").id,
            state=Scheduled(scheduled_time=now - HOUR),
            parameters=ran.parameters,
        )
    assert run_late(by_hand) == "Copied", "of no schedule"


@pytest.mark.usefixtures("timetable_path")
def test_a_late_run_with_other_parameters_has_work_of_its_own() -> None:
    now = utc_now()
    runs = schedule_runs("example/all", now - 49 * HOUR, now - HOUR)
    full = next(run for run in runs if "full" in str(run.parameters))
    hourly = next(run for run in runs if "full" not in str(run.parameters))
    assert run_late(hourly) == "Copied"
    assert run_late(full) == "Copied"
