"""The HTTP API over real HTTP, with a real Prefect server."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled, Completed, Failed, Pending, Running, Scheduled
from schemathesis.core.result import Ok
from sqlalchemy import Engine
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.database import to_connector
from blocks.names import DATABASE
from blocks.server import connect
from ops.api.app import Times, create_app
from ops.api.connections import NO_STORE
from ops.api.jobs import read_jobs
from sivera.sync.plan import SyncOptions
from tests.conftest import READ_ONLY, run_alone
from tests.ops.http_api import AT_ONCE, JOB, JOBS, SECRET, WAIT_SECONDS, calling, check, forwarding, runs, serving
from tests.ops.timetables import ALL, SPLIT, ExampleOptions, timetable, write
from tests.prefect_server import PrefectServer, set_states
from tests.unit.tables import Tables


def started() -> list[FlowRun]:
    """The runs that the API created and no worker picked up."""
    return [run for run in runs() if run.state and run.state.is_scheduled()]


def new_run() -> FlowRun:
    """The run that the API is about to create."""
    for attempt in Retrying(wait=wait_fixed(0.1), stop=stop_after_delay(60), reraise=True):
        with attempt:
            (run,) = started()
    return run


@contextmanager
def waiting(call: Callable[..., httpx.Response], **more: Any) -> Iterator[Future[httpx.Response]]:
    """Call the job and wait for its run, while the body runs."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call, JOB, params={"wait": 100}, **more)


def test_a_call_starts_the_job_and_returns_its_run(api: httpx.Client, deployed: PrefectServer) -> None:
    for method in ("GET", "POST"):
        body = check(api.request(method, JOB), 202)
        (run,) = started()
        url = f"{deployed.api_url.removesuffix('/api')}/runs/flow-run/{run.id}"
        assert body == {"success": True, "run": {"id": str(run.id), "name": run.name, "url": url}}
        assert run.parameters == {"options": {"mode": "incremental"}}
        with connect() as client:
            assert run.deployment_id == client.read_deployment_by_name("sync-campaigns/all").id
            client.delete_flow_run(run.id)


def test_a_running_job_is_a_conflict_until_it_ends(api: httpx.Client) -> None:
    with connect() as client:
        deployment = client.read_deployment_by_name("sync-campaigns/all")
        later: State = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
        client.create_flow_run_from_deployment(deployment.id, state=later)
    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(lambda _: api.post(JOB), range(4)), key=lambda answer: answer.status_code)
    first = check(answers[0], 202)["run"]
    conflict = {"success": False, "message": "Another instance is already running", "run": first}
    assert [check(answer, 409) for answer in answers[1:]] == [conflict] * 3
    under_way: list[State] = [Pending(), Running()]
    for state in under_way:
        set_states(first["id"], state)
        assert check(api.post(JOB), 409) == conflict
    set_states(first["id"], Completed())
    assert check(api.post(JOB), 202)["run"]["id"] != first["id"]


OPTIONS: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = [
    ("?mode=full&platforms=google&platforms=meta", None, {"mode": "full", "platforms": ["google", "meta"]}),
    ("", {"account_ids": [1, 2]}, {"mode": "incremental", "account_ids": [1, 2]}),
    ("?mode=full", {"mode": "incremental", "batch_size": 5}, {"mode": "full", "batch_size": 5}),
]
"""Query, body, and the options of the run."""


def test_query_and_body_override_options_of_the_deployment(api: httpx.Client) -> None:
    for query, body, options in OPTIONS:
        check(api.post(f"{JOB}{query}", json=body), 202)
        (run,) = started()
        assert run.parameters["options"] == options
        SyncOptions.model_validate(run.parameters["options"])
        set_states(run, Completed())


BAD = [
    ("?mode=sometimes", None, "query.mode"),
    ("?no_such_option=1", None, "query.no_such_option"),
    ("?wait=301", None, "query.wait"),
    ("?wait=1&wait=301", None, "query.wait"),
    ("?platforms=google&platforms=nope", None, "query.platforms.1"),
    ("", '{"mode": "sometimes"}', "body.mode"),
    ("", '{"wait": 5}', "body.wait"),
    ("", '{"mode": ', "body"),
    ("", "[" * 5000, "body"),
    ("", b"\xff\x02", "body"),
]
"""Query, body, and the parameter that the answer names."""


def test_bad_parameters_are_named_and_nothing_is_started(api: httpx.Client) -> None:
    for query, content, where in BAD:
        body = check(api.post(f"{JOB}{query}", content=content), 422)
        assert [error["where"] for error in body["errors"]] == [where]
        assert where in body["message"]
    assert runs() == []
    assert "run `sivera deploy`" in check(api.post("/api/cron/backup-data"), 503)["message"]


def test_the_index_shows_schedules_and_the_last_result(api: httpx.Client) -> None:
    def entry() -> dict[str, Any]:
        jobs = check(api.get("/api/cron"), 200)["jobs"]
        assert [job["name"] for job in jobs] == list(JOBS)
        (found,) = [job for job in jobs if job["name"] == "sync-campaigns"]
        return dict(found)

    def schedules() -> dict[str, dict[str, Any]]:
        return {each["deployment"]: each for each in entry()["schedules"]}

    assert entry()["last_result"] is None
    found = schedules()
    hourly = {"deployment": "all", "slug": "hourly", "cron": "0 0 29 2 *", "timezone": "UTC", "active": True}
    assert found["all"] == hourly
    assert found["google"] == hourly | {"deployment": "google", "active": False}, "its deployment is paused"
    run = check(api.post(JOB), 202)["run"]
    assert datetime.fromisoformat(entry()["next_run"]) <= datetime.now(UTC)
    set_states(run["id"], Pending(), Running(), Failed(message="1 of 2 accounts synced, 1 failed"))
    last = entry()["last_result"]
    assert last.pop("ended_at")
    assert last == {"success": False, "state": "Failed", "message": "1 of 2 accounts synced, 1 failed", "run": run}
    set_states(check(api.post(JOB), 202)["run"]["id"], Cancelled())
    assert entry()["last_result"]["run"] == run


def test_a_waiting_caller_gets_the_outcome_and_delays_nobody(api: httpx.Client, url: str) -> None:
    with waiting(api.post) as answer, calling(url) as other:
        run = new_run()
        check(other.get("/healthz"), 200)
        assert not answer.done()
        set_states(run, Pending(), Running(), Completed(message="Done."))
        body = check(answer.result(), 200)
    assert (body["success"], body["message"], body["data"]) == (True, "Done.", None)
    assert body["run"]["id"] == str(run.id)
    with waiting(api.get) as answer:
        set_states(new_run(), Pending(), Running(), Cancelled(message="By hand."))
        body = check(answer.result(), 200)
    assert (body["success"], body["message"], body["data"]) == (False, "By hand.", None)
    assert check(api.post(JOB, params={"wait": 1}), 202)["run"]["id"] == str(new_run().id)


SKIPPED: dict[str, list[State]] = {
    "by the server": [Cancelled(message="Any words.")],
    "by the flow's lock": [Pending(), Running(), Cancelled(message="Another instance is already running")],
}


@pytest.mark.parametrize("states", SKIPPED.values(), ids=SKIPPED)
def test_a_run_that_was_cancelled_for_another_one_is_a_conflict(api: httpx.Client, states: list[State]) -> None:
    with waiting(api.post) as answer:
        run = new_run()
        with connect() as client:
            deployment = client.read_deployment_by_name("sync-campaigns/all")
            other = client.create_flow_run_from_deployment(deployment.id)
        set_states(other, Pending(), Running())
        set_states(run, *states)
        body = check(answer.result(), 409)
    assert body["message"] == "Another instance is already running"
    assert body["run"]["id"] == str(other.id)


@pytest.mark.usefixtures("deployed")
def test_a_stopping_api_tells_waiting_callers_that_the_run_goes_on() -> None:
    with ThreadPoolExecutor(1) as pool:
        with serving(create_app(JOBS, AT_ONCE)) as url:
            headers = {"Authorization": f"Bearer {SECRET}"}
            call = pool.submit(httpx.post, f"{url}{JOB}?wait=300", headers=headers, timeout=WAIT_SECONDS)
            new_run()
        assert "the run goes on" in check(call.result(), 503)["message"]


def test_callers_are_asked_to_retry_while_prefect_is_away(deployed: PrefectServer) -> None:
    with ExitStack() as until_away, ExitStack() as opened:
        prefect_url = until_away.enter_context(forwarding(deployed))
        opened.enter_context(temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_CLIENT_MAX_RETRIES: 0}))
        caching, asking = (
            opened.enter_context(calling(opened.enter_context(serving(create_app(JOBS, times))), SECRET))
            for times in (Times(cache=3600), AT_ONCE)
        )
        check(caching.get("/api/cron"), 200)
        check(asking.get("/healthz"), 200)
        until_away.close()
        for answer in (caching.post(JOB), asking.get("/healthz")):
            assert "The Prefect server does not answer" in check(answer, 503)["message"]
            assert answer.headers["retry-after"] == "5"
    assert runs() == []


def test_the_api_is_unhealthy_while_the_database_is_read_only(url: str, database_url: str, engine: Engine) -> None:
    to_connector(database_url).save(DATABASE, overwrite=True)
    run_alone(engine, READ_ONLY)
    with calling(url) as stranger:
        answer = stranger.get("/healthz")
    assert "takes no writes: `sivera doctor` says more" in check(answer, 503)["message"]
    assert "127.0.0.1" not in answer.text


def test_prometheus_reads_the_last_collection(api: httpx.Client, database_url: str, engine: Engine) -> None:
    to_connector(database_url).save(DATABASE, overwrite=True)
    Tables(engine).execute("""
        INSERT INTO metric_samples (at, name, labels, value) VALUES
            (now(), 'sivera_accounts', '{"platform": "meta", "state": "active"}', 3),
            (now(), 'sivera_collection_timestamp_seconds', '{}', 1)
    """)
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == NO_STORE
    assert 'sivera_accounts{platform="meta",state="active"} 3.0\n' in answer.text
    to_connector("postgresql://sivera:s3cr3t-word@127.0.0.1:1/sivera").save(DATABASE, overwrite=True)
    assert "PostgreSQL at 127.0.0.1:1/sivera does not answer" in check(api.get("/metrics"), 503)["message"]


def test_each_flow_of_the_timetable_is_a_job(tmp_path: Path) -> None:
    assert JOBS["sync-campaigns"].options is SyncOptions
    jobs = read_jobs(write(tmp_path, timetable(ALL, SPLIT)))
    assert {name: job.options for name, job in jobs.items()} == {"example": ExampleOptions}


# The API runs in a thread of this process, where it may use `random` while an example is generated here.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.usefixtures("deployed")
def test_the_api_does_what_its_openapi_document_says(database_url: str) -> None:
    to_connector(database_url).save(DATABASE, overwrite=True)
    jobs = {name: JOBS[name] for name in ("sync-campaigns", "refresh-tokens")}
    tried = []

    def try_operation(operation: Any, mode: schemathesis.GenerationMode) -> None:
        @given(operation.as_strategy(generation_mode=mode))
        @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def try_it(case: schemathesis.Case[Any]) -> None:
            answer = case.call_and_validate(headers={"Authorization": f"Bearer {SECRET}"}, timeout=WAIT_SECONDS)
            assert answer.headers["cache-control"] == [NO_STORE]
            tried.append(answer.status_code)

        try_it()

    with serving(create_app(jobs, Times(wrong_secret=0, cache=3600))) as url, calling(url, SECRET) as api:
        for name in jobs:
            check(api.post(f"/api/cron/{name}"), 202)  # so that no call of the test starts a run and waits for it
        for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            try_operation(operation, schemathesis.GenerationMode.POSITIVE)
            if list(operation.iter_parameters()):  # without parameters there is no wrong call
                try_operation(operation, schemathesis.GenerationMode.NEGATIVE)
    assert len(tried) > 20
    assert {200, 409, 422} <= set(tried)
