"""How a run behaves when its scheduled time is long past, with a real Prefect server."""

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import AwaitingRetry, Completed, Failed, Pending, Running, Scheduled

from blocks.server import connect
from ops.deploy import deploy
from sivera.clock import utc_now
from sivera.history.rules import LONG_PAST
from tasks.staleness import long_past, overtaken
from tests.flows.runs import run_as
from tests.ops.timetables import ALL, timetable, write
from tests.prefect_server import set_states
from tests.tasks.late_runs import deployment, schedule_runs

HOUR = timedelta(hours=1)


@flow(name="measuring")
def measuring(skew_hours: int = 0) -> State:
    """End early if the time is long past, like a job that measures the present."""
    with time_machine.travel(utc_now() + timedelta(hours=skew_hours)):
        return long_past(timedelta(minutes=20)) or Completed(message="Measured")


@flow(name="copying")
def copying(options: dict[str, str] | None = None) -> State:
    """End early if a newer run has taken over, like a job that brings everything up to date."""
    assert options
    return overtaken() or Completed(message="Copied")


def message_of(run: FlowRun) -> str | None:
    return run_as(copying, run, **run.parameters).message


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("ago", "skew_hours", "name"),
    [(19, 0, "Completed"), (21, 0, "Cancelled"), (0, 48, "Completed"), (0, -48, "Completed")],
)
def test_a_job_that_measures_the_present_ends_early_when_it_is_late(ago: int, skew_hours: int, name: str) -> None:
    with connect() as client:
        due: State = Scheduled(scheduled_time=utc_now() - timedelta(minutes=ago))
        run = client.create_flow_run(measuring, state=due)
    state = run_as(measuring, run, skew_hours=skew_hours)
    assert (state.name, state.message) == (name, "Measured" if name == "Completed" else LONG_PAST)


@pytest.mark.usefixtures("clean_prefect")
def test_a_late_run_ends_early_when_another_has_taken_over(tmp_path: Path) -> None:
    deploy(timetable_path=write(tmp_path, timetable(ALL)))
    now = utc_now()
    runs = schedule_runs("example/all", now - 49 * HOUR, now - HOUR)
    full = next(run for run in runs if "full" in str(run.parameters))
    failed, ran, late, retried = [run for run in runs if "full" not in str(run.parameters)][-4:]
    with deployment() as (client, id_):
        set_states(failed, Pending(), Running(), Failed())
        assert message_of(ran) == "Copied", "the failed run did not do the work"
        assert message_of(late) == LONG_PAST
        assert message_of(full) == "Copied", "other parameters are other work"
        set_states(retried, Pending(), Running(), Failed(), AwaitingRetry())
        assert message_of(client.read_flow_run(retried.id)) == "Copied", "a person retried it"
        due: State = Scheduled(scheduled_time=now - HOUR)
        by_hand = client.create_flow_run_from_deployment(id_, state=due, parameters=ran.parameters)
        assert message_of(by_hand) == "Copied", "no schedule made it"
