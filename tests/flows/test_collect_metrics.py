"""collect-metrics as a flow: a real Prefect server, real PostgreSQL, and a real receiver of OTLP."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.concurrency.sync import concurrency
from prefect.states import Cancelled, Completed, Failed, Running, Scheduled
from sqlalchemy import text
from sqlalchemy.orm import Session

from blocks.names import METRICS_JOB, TAG
from flows.collect_metrics import collect_metrics
from flows.sync_campaigns import sync_campaigns
from sandbox.world import World
from sivera.clock import utc_now
from sivera.metrics import definitions as of
from sivera.metrics.definitions import Collection
from sivera.metrics.options import CollectOptions
from sivera.metrics.queries import read_latest
from sivera.sync.plan import SyncMode, SyncOptions
from sivera.values import PlatformName
from tests.flows.runs import artifacts, events
from tests.stage import Stage

AT_ONCE = CollectOptions(settle_seconds=0)


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the flow does."""
    return World(seed=7)


class Pushed(NamedTuple):
    """What a receiver of OTLP was sent."""

    path: str
    headers: dict[str, str]
    request: ExportMetricsServiceRequest


class Receiver(ThreadingHTTPServer):
    """Stands for an OpenTelemetry collector."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pushed: list[Pushed] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        sent = ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.pushed.append(Pushed(self.path, dict(self.headers), sent))
        answer = ExportMetricsServiceResponse().SerializeToString()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay quiet."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        yield server
        server.shutdown()


def run(options: CollectOptions = AT_ONCE) -> State:
    state: State = collect_metrics(options, return_state=True)
    return state


def latest(stage: Stage) -> Collection:
    with Session(stage.engine) as session:
        found = read_latest(session)
    assert found
    return found


@flow(name="example-job")
def example_job() -> None:
    """Stands for a job in the server's books."""


def book(*states: State) -> FlowRun:
    """Write a run into the server's books that was due five minutes ago, and went through these states."""
    due = utc_now() - timedelta(minutes=5)
    with get_client(sync_client=True) as client:
        made = client.create_flow_run(example_job, state=Scheduled(scheduled_time=due), tags=[TAG])
        for state in states:
            client.set_flow_run_state(made.id, state, force=True)
        return client.read_flow_run(made.id)


def seconds_of(found: FlowRun) -> float:
    assert found.start_time
    assert found.end_time
    return (found.end_time - found.start_time).total_seconds()


def test_runs_are_counted_once_with_outcome_duration_and_delay(ready: Stage) -> None:
    done = [book(Running(), Completed()), book(Running(), Failed(name="TimedOut"))]
    book(Cancelled())
    under_way = book(Running())
    state = run()
    assert state.is_completed(), state
    first, job = latest(ready), "example-job"
    assert first.values(of.JOB_RUNS) == {(job, "completed"): 1, (job, "timed_out"): 1, (job, "cancelled"): 1}
    assert first.values(of.JOB_RUN_SECONDS)[job,] == pytest.approx(sum(map(seconds_of, done)))
    assert 600 <= first.values(of.JOB_QUEUE_SECONDS)[job,] < 720
    assert first.values(of.LAST_RUN_DURATION)[job,] == pytest.approx(seconds_of(done[1]))
    assert first.values(of.LAST_RUN_SUCCESS) == {(job,): 0}
    assert (run().message or "").endswith(", 0 runs counted")
    assert latest(ready).values(of.JOB_RUNS) == first.values(of.JOB_RUNS)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(under_way.id, Completed(), force=True)
    assert (run().message or "").endswith(", 1 runs counted")
    assert latest(ready).values(of.JOB_RUNS) == first.values(of.JOB_RUNS) | {(job, "completed"): 2}
    assert latest(ready).values(of.LAST_RUN_SUCCESS) == {(job,): 1}


def test_a_run_that_ended_a_moment_ago_is_left_to_the_next_collection(ready: Stage) -> None:
    book(Running(), Completed())
    assert (run(CollectOptions()).message or "").endswith(", 0 runs counted")
    assert latest(ready).values(of.JOB_RUNS) == {}


def test_what_jobs_did_is_measured_shown_and_told(ready: Stage) -> None:
    for platform in PlatformName:
        ready.connect(ready.world.add_grant(platform, accounts=1))
    synced: State = sync_campaigns(SyncOptions(mode=SyncMode.FULL), return_state=True)
    assert synced.is_completed()
    state = run()
    found = latest(ready)
    assert state.message == f"{len(found.samples)} samples, 0 runs counted"
    assert found.values(of.ACCOUNTS) == {(platform.value, "active"): 1 for platform in PlatformName}
    calls = found.values(of.CALLS)
    assert all(calls[platform.value, "api"] >= 2 for platform in PlatformName)
    called = calls["google", "api"]
    assert found.values(of.QUOTA_LEFT)["google", "calls_a_day"] == 1 - called / 15_000
    shown = artifacts(state)
    assert len(shown) == 2
    assert "sivera_sync_age_seconds" in str(shown["collect-metrics-figures"])
    assert shown["collect-metrics-summary"].count("](data:image/svg+xml;base64,") == 3
    (told,) = events("sivera.collect-metrics.finished", state)
    assert (told["success"], told["totalProcessed"], told["failed"]) == (True, len(found.samples), 0)


def test_calls_are_kept_with_their_run(ready: Stage) -> None:
    ready.connect(ready.world.add_grant(PlatformName.META, accounts=2))
    state: State = sync_campaigns(return_state=True)
    ((run_id, platform, api, throttled),) = ready.rows("SELECT run_id, platform, api, throttled FROM platform_calls")
    assert (run_id, platform, throttled) == (state.state_details.flow_run_id, "meta", 0)
    assert api >= 4


def test_what_is_too_old_goes(ready: Stage) -> None:
    assert run().is_completed()
    with ready.engine.begin() as connection:
        connection.execute(text("UPDATE metric_samples SET at = at - interval '3 days'"))
    ((old,),) = ready.rows("SELECT count(*) FROM metric_samples")
    state = run(CollectOptions(keep_days=2, settle_seconds=0))
    assert f", {old} old samples deleted" in (state.message or "")
    ((count, times),) = ready.rows("SELECT count(*), count(DISTINCT at) FROM metric_samples")
    assert (count, times) == (len(latest(ready).samples), 1)


def test_a_second_instance_ends_cancelled(ready: Stage) -> None:
    with concurrency(METRICS_JOB, strict=True, max_retries=0):
        state = run()
    assert (state.name, state.message) == ("Cancelled", "Another instance is already running")
    assert not ready.rows("SELECT 1 FROM metric_samples")


def test_the_same_figures_are_pushed_to_an_opentelemetry_collector(ready: Stage, receiver: Receiver) -> None:
    book(Running(), Completed())
    state = run()
    assert (state.message or "").endswith(", pushed by OTLP")
    (pushed,) = receiver.pushed
    assert pushed.path == "/v1/metrics"
    (resource,) = pushed.request.resource_metrics
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"] == "sivera-jobs"
    (scope,) = resource.scope_metrics
    stored = latest(ready)
    sent = {}
    for metric in scope.metrics:
        kind = metric.WhichOneof("data")
        assert (kind == "sum") == metric.name.endswith("_total")
        assert not metric.sum.data_points or metric.sum.is_monotonic
        for point in (*metric.sum.data_points, *metric.gauge.data_points):
            assert point.time_unix_nano == round(stored.at.timestamp() * 1e6) * 1_000
            labels = tuple(sorted((each.key, each.value.string_value) for each in point.attributes))
            sent[metric.name, labels] = point.as_double
    assert sent == {(s.name, tuple(sorted(s.labels.items()))): s.value for s in stored.samples}
    units = {metric.name: metric.unit for metric in scope.metrics}
    assert (units["sivera_job_run_seconds_total"], units["sivera_database_size_bytes"]) == ("s", "By")


def test_a_collector_that_refuses_leaves_the_run_red_and_the_samples_stored(ready: Stage, receiver: Receiver) -> None:
    receiver.status = 400
    state = run()
    assert state.is_failed()
    assert "not pushed: the endpoint of OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or " in (state.message or "")
    assert receiver.pushed
    assert latest(ready).samples
    (told,) = events("sivera.collect-metrics.finished", state)
    assert (told["success"], told["failed"]) == (False, 1)


def test_a_run_that_never_began_has_no_duration(ready: Stage) -> None:
    made = book(Cancelled(message=f"skipped {uuid4()}"))
    assert made.end_time is not None
    assert run().is_completed()
    rows = ready.rows("SELECT value FROM metric_samples WHERE name = 'sivera_job_run_duration_seconds'")
    assert [value for (value,) in rows] == [0.0]
