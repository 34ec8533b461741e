"""How a run behaves when its scheduled time is long past: a real Prefect server and a worker."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow_sync
from prefect.states import AwaitingRetry, Completed, Failed, Pending, Running, Scheduled
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.names import WORK_POOL
from blocks.server import connect
from ops.deploy import deploy
from ops.stack.prefect_server import CLIENT, WORKER
from sivera.clock import utc_now
from sivera.history.rules import LONG_PAST, Occurrence, Outcome
from tasks.history import read_history
from tasks.staleness import long_past, overtaken
from tests.conftest import PATIENCE_SECONDS
from tests.ops.timetables import ALL, timetable, write
from tests.prefect_server import PrefectServer
from tests.tasks.late_runs import deployment, schedule_runs

HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[2]
WORKER_COMMAND = ["-P", "-m", "prefect", "worker", "start", "--pool", WORK_POOL, "--install-policy", "never"]


@flow(name="measuring")
def measuring(skew_hours: int = 0) -> State:
    """End early if the time is long past, like a job that measures the moment."""
    with time_machine.travel(utc_now() + timedelta(hours=skew_hours)):
        return long_past(timedelta(minutes=20)) or Completed(message="Measured")


@flow(name="copying")
def copying(options: dict[str, str] | None = None) -> State:
    """End early if a newer run has taken over, like a job that brings everything up to date."""
    assert options
    return overtaken() or Completed(message="Copied")


def message_of(run: FlowRun) -> str | None:
    state = run_flow_sync(copying, flow_run=run, parameters=run.parameters, return_type="state")
    assert state
    return state.message


@pytest.mark.usefixtures("clean_prefect")
@pytest.mark.parametrize(
    ("ago", "skew_hours", "name"),
    [(0, 0, "Completed"), (19, 0, "Completed"), (21, 0, "Cancelled"), (0, 48, "Completed"), (0, -48, "Completed")],
)
def test_a_job_that_measures_the_moment_ends_early_when_it_is_late(ago: int, skew_hours: int, name: str) -> None:
    with connect() as client:
        due: State = Scheduled(scheduled_time=utc_now() - timedelta(minutes=ago))
        run = client.create_flow_run(measuring, state=due)
    state = run_flow_sync(measuring, flow_run=run, parameters={"skew_hours": skew_hours}, return_type="state")
    assert state
    assert (state.name, state.message) == (name, "Measured" if name == "Completed" else LONG_PAST)


@pytest.mark.usefixtures("clean_prefect")
def test_a_late_run_ends_early_when_another_has_taken_over(tmp_path: Path) -> None:
    deploy(timetable_path=write(tmp_path, timetable(ALL)))
    now = utc_now()
    runs = schedule_runs("example/all", now - 49 * HOUR, now - HOUR)
    full = next(run for run in runs if "full" in str(run.parameters))
    failed, ran, late, retried = [run for run in runs if "full" not in str(run.parameters)][-4:]
    with deployment() as (client, id_):
        states: list[State] = [Pending(), Running(), Failed()]
        for state in states:
            client.set_flow_run_state(failed.id, state, force=True)
        assert message_of(ran) == "Copied", "the failed run did not do the work"
        assert message_of(late) == LONG_PAST
        assert message_of(full) == "Copied", "its parameters are different, so its work is too"
        for state in [*states, AwaitingRetry()]:
            client.set_flow_run_state(retried.id, state, force=True)
        assert message_of(client.read_flow_run(retried.id)) == "Copied", "a person retried it"
        due: State = Scheduled(scheduled_time=now - HOUR)
        by_hand = client.create_flow_run_from_deployment(id_, state=due, parameters=ran.parameters)
        assert message_of(by_hand) == "Copied", "no schedule made it"


@contextmanager
def worker(server: PrefectServer, folder: Path) -> Iterator[Path]:
    """Run a worker of our work pool as the stack does; yield its log."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    log = folder / "worker.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, *WORKER_COMMAND],
            env=inherited | CLIENT | WORKER | server.environment | {"PYTHONPATH": str(ROOT)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield log
        finally:
            process.terminate()


def test_after_three_days_down_one_run_does_the_work(clean_prefect: PrefectServer, tmp_path: Path) -> None:
    late = ALL | {"entrypoint": f"{__name__}.copying", "schedules": ALL["schedules"][:1]}
    deploy(timetable_path=write(tmp_path, timetable(late)))
    since = utc_now() - timedelta(days=3)
    runs = {run.id for run in schedule_runs("copying/all", since, since + 3 * HOUR)}
    assert len(runs) == 3

    def found() -> list[Occurrence]:
        return [one for one in read_history(since) if one.run_id in runs]

    with worker(clean_prefect, tmp_path) as log:
        for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(2 * PATIENCE_SECONDS), reraise=True):
            with attempt:
                assert all(one.ended_at for one in found()), log.read_text()[-2000:]
    (ran,) = [one for one in found() if one.ended_well]
    skipped = [one for one in found() if one != ran]
    assert ran.outcome is Outcome.LATE
    assert {one.outcome for one in skipped} == {Outcome.SKIPPED}
    # If the server stalls for a minute, the first run's slot is lost; another run gets it, and ends early by itself.
    assert {one.skipped_by for one in skipped if one.message != LONG_PAST} <= {ran.run_id}
