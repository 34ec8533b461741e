"""collect-metrics as a flow: a real Prefect server and real PostgreSQL."""

from datetime import timedelta

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Failed, Running, Scheduled
from sqlalchemy.orm import Session

from blocks.names import TAG
from flows.collect_metrics import collect_metrics
from flows.sync_campaigns import sync_campaigns
from sivera.clock import utc_now
from sivera.metrics import definitions as of
from sivera.metrics.definitions import Collection
from sivera.metrics.options import CollectOptions
from sivera.metrics.queries import read_latest
from sivera.sync.plan import SyncMode, SyncOptions
from sivera.values import PlatformName
from tasks import resources
from tests.conftest import READ_ONLY, run_alone
from tests.flows.runs import announced, artifacts, run
from tests.stage import Stage

JOB = "example-job"
AT_ONCE = CollectOptions(settle_seconds=0)


def test_a_run_on_a_read_only_database_says_so_in_one_sentence(ready: Stage) -> None:
    run_alone(ready.engine, READ_ONLY)
    resources.close()  # a run opens connections of its own
    state = run(collect_metrics, AT_ONCE)
    assert state.is_failed()
    assert (state.message or "").startswith("The database test_sivera takes no writes: make room on its disk")
    assert ".." not in (state.message or "")


def latest(stage: Stage) -> Collection:
    with Session(stage.engine) as session:
        found = read_latest(session)
    assert found
    return found


@flow(name=JOB)
def example_job() -> None:
    """A job of the server."""


def make_run(*states: State) -> FlowRun:
    """Make a run that was due five minutes ago and has gone through these states."""
    due = utc_now() - timedelta(minutes=5)
    with get_client(sync_client=True) as client:
        made = client.create_flow_run(example_job, state=Scheduled(scheduled_time=due), tags=[TAG])
        for state in states:
            client.set_flow_run_state(made.id, state, force=True)
        return client.read_flow_run(made.id)


def seconds_of(found: FlowRun) -> float:
    assert found.start_time
    assert found.end_time
    return float((found.end_time - found.start_time).total_seconds())


def test_runs_are_counted_once_with_outcome_duration_and_delay(ready: Stage) -> None:
    done = [make_run(Running(), Completed()), make_run(Running(), Failed(name="TimedOut"))]
    make_run(Cancelled())
    under_way = make_run(Running())
    run(collect_metrics)
    assert latest(ready).values(of.JOB_RUNS) == {}, "runs that have just ended are left to the next collection"
    run(collect_metrics, AT_ONCE)
    first = latest(ready)
    assert first.values(of.JOB_RUNS) == {(JOB, "completed"): 1, (JOB, "timed_out"): 1, (JOB, "cancelled"): 1}
    assert first.values(of.JOB_RUN_SECONDS)[JOB,] == pytest.approx(sum(map(seconds_of, done)))
    assert 600 <= first.values(of.JOB_QUEUE_SECONDS)[JOB,] < 720
    assert first.values(of.LAST_RUN_DURATION)[JOB,] == pytest.approx(seconds_of(done[1]))
    assert first.values(of.LAST_RUN_SUCCESS) == {(JOB,): 0}
    cancelled = "name = 'sivera_job_run_duration_seconds' AND labels ->> 'outcome' = 'cancelled'"
    ((duration,),) = ready.rows(f"SELECT value FROM metric_samples WHERE {cancelled}")  # noqa: S608
    assert duration == 0.0, "it never started"
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(under_way.id, Completed(), force=True)
    assert (run(collect_metrics, AT_ONCE).message or "").endswith(", 1 run counted")
    assert latest(ready).values(of.JOB_RUNS) == first.values(of.JOB_RUNS) | {(JOB, "completed"): 2}
    assert latest(ready).values(of.LAST_RUN_SUCCESS) == {(JOB,): 1}


def test_the_work_of_jobs_is_measured_shown_and_announced(ready: Stage) -> None:
    ready.connect_all(accounts=1)
    synced = run(sync_campaigns, SyncOptions(mode=SyncMode.FULL))
    assert synced.is_completed()
    calls_of_run = ready.rows("SELECT DISTINCT run_id FROM platform_calls")
    assert [run_id for (run_id,) in calls_of_run] == [synced.state_details.flow_run_id]
    state = run(collect_metrics)
    found = latest(ready)
    assert state.message == f"{len(found.samples)} samples, 0 runs counted"
    assert found.values(of.ACCOUNTS) == {(platform.value, "active"): 1 for platform in PlatformName}
    calls = found.values(of.CALLS)
    assert all(calls[platform.value, "api"] >= 2 for platform in PlatformName)
    assert found.values(of.QUOTA_LEFT)["google", "calls_a_day"] == 1 - calls["google", "api"] / 15_000
    shown = artifacts(state)
    assert len(shown) == 2
    assert "sivera_sync_age_seconds" in str(shown["collect-metrics-figures"])
    assert shown["collect-metrics-summary"].count("](data:image/svg+xml;base64,") == 3
    assert announced(collect_metrics, state) == [True, len(found.samples), 0]
