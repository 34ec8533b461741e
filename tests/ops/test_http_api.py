"""The HTTP API: the real application over real HTTP, with a real Prefect server."""

import logging
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled, Completed, Failed, Pending, Running, Scheduled
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from schemathesis.core.result import Ok
from sqlalchemy import Engine, text
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.cron_secret import CronSecret, load_cron_secret
from blocks.database import to_connector
from blocks.names import CRON_SECRET, DATABASE
from blocks.server import connect
from ops.api.app import Times, create_app
from ops.api.connections import NO_STORE
from ops.api.jobs import read_jobs
from ops.deploy import deploy
from ops.stack.stack import open_stack
from sivera.sync.plan import SyncOptions
from tests.conftest import READ_ONLY, run_alone
from tests.ops.commands import Sivera
from tests.ops.http_api import WAIT_SECONDS, Line, calling, serving
from tests.ops.timetables import ALL, SPLIT, timetable, write
from tests.prefect_server import PrefectServer

SECRET, OTHER = ("right-secret-Nr-1x", "other-secret-Nr-2x")
JOB = "/api/cron/sync-campaigns"
JOBS = read_jobs()
AT_ONCE = Times(secret_fresh=0, wrong_secret=0, event=0.2)
"""Nothing is remembered, and nobody waits."""

MARK = "Of the tests of the HTTP API."
SYNC = ALL | {
    "entrypoint": "flows.sync_campaigns.sync_campaigns",
    "description": MARK,
    # Not in the time of a test: a scheduled run would make each call a conflict.
    "schedules": [{"slug": "hourly", "cron": "0 0 29 2 *", "timezone": "UTC"}],
}
REFRESH = SYNC | {"entrypoint": "flows.refresh_tokens.refresh_tokens", "parameters": {"options": {}}, "schedules": []}
TIMETABLE = timetable(SYNC, SYNC | {"name": "google", "paused": True}, REFRESH)


@pytest.fixture
def deployed(
    request: pytest.FixtureRequest, prefect_api: PrefectServer, postgres: str, tmp_path: Path
) -> PrefectServer:
    """A Prefect server with two jobs and without runs; its secret is SECRET."""
    with connect() as client:
        found = client.read_deployments(limit=200)
    if {each.description for each in found} != {MARK}:
        request.getfixturevalue("clean_prefect")
        deploy(timetable_path=write(tmp_path, TIMETABLE))
    with connect() as client:
        for run in [*runs(), *runs("refresh-tokens")]:
            client.delete_flow_run(run.id)
    save(CronSecret(current=SecretStr(SECRET)))
    to_connector(postgres).save(DATABASE, overwrite=True)
    return prefect_api


@pytest.fixture
def url(deployed: PrefectServer) -> Iterator[str]:
    """The base URL of the API."""
    assert deployed
    with serving(create_app(JOBS, AT_ONCE)) as url:
        yield url


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    """A caller that knows the secret."""
    with calling(url, SECRET) as client:
        yield client


def save(block: CronSecret) -> None:
    block.save(CRON_SECRET, overwrite=True)


def save_raw(**data: object) -> None:
    """Change the document past its class, as a person can by Prefect's API."""
    with connect() as client:
        document = client.read_block_document_by_name(CRON_SECRET, "cron-secret")
        changed = BlockDocumentUpdate(data=data, merge_existing_data=False, block_schema_id=document.block_schema_id)
        client.update_block_document(document.id, changed)


def runs(job: str = "sync-campaigns") -> list[FlowRun]:
    """All runs of the job that no schedule made."""
    with connect() as client:
        found = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[job])))
    return [run for run in found if not run.auto_scheduled]


def started() -> list[FlowRun]:
    """The runs that the API made and nobody took."""
    return [run for run in runs() if run.state and run.state.is_scheduled()]


def new_run() -> FlowRun:
    """The run that the API is about to make."""
    for attempt in Retrying(wait=wait_fixed(0.1), stop=stop_after_delay(60), reraise=True):
        with attempt:
            (run,) = started()
    return run


def set_state(run: FlowRun | UUID | str, *states: State) -> None:
    run_id = run.id if isinstance(run, FlowRun) else UUID(str(run))
    with connect() as client:
        for state in states:
            client.set_flow_run_state(run_id, state, force=True)


def check(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check what holds for every answer; return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == NO_STORE
    assert "location" not in answer.headers
    assert SECRET not in answer.text + str(answer.headers)
    body: dict[str, Any] = answer.json()
    if "data" not in body and "openapi" not in body:
        assert body["success"] is (status < 300)
    return body


@contextmanager
def waiting(call: Callable[..., httpx.Response], **more: Any) -> Iterator[Future[httpx.Response]]:
    """Start the job and wait for its run, while the body runs."""
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


def test_a_job_that_runs_is_a_conflict_until_it_has_ended(api: httpx.Client) -> None:
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
        set_state(first["id"], state)
        assert check(api.post(JOB), 409) == conflict
    set_state(first["id"], Completed())
    assert check(api.post(JOB), 202)["run"]["id"] != first["id"]


OPTIONS: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = [
    ("?mode=full&platforms=google&platforms=meta", None, {"mode": "full", "platforms": ["google", "meta"]}),
    ("", {"account_ids": [1, 2]}, {"mode": "incremental", "account_ids": [1, 2]}),
    ("?mode=full", {"mode": "incremental", "batch_size": 5}, {"mode": "full", "batch_size": 5}),
]
"""Query, body, and the options of the run."""


def test_query_and_body_replace_options_of_the_deployment(api: httpx.Client) -> None:
    for query, body, options in OPTIONS:
        check(api.post(f"{JOB}{query}", json=body), 202)
        (run,) = started()
        assert run.parameters["options"] == options
        SyncOptions.model_validate(run.parameters["options"])
        set_state(run, Completed())


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
"""Query, body, and the place that the answer names."""


def test_bad_parameters_are_named_and_nothing_is_started(api: httpx.Client) -> None:
    for query, content, where in BAD:
        body = check(api.post(f"{JOB}{query}", content=content), 422)
        assert [error["where"] for error in body["errors"]] == [where]
        assert where in body["message"]
    assert runs() == []
    assert "run `sivera deploy`" in check(api.post("/api/cron/backup-data"), 503)["message"]


def test_a_secret_in_the_wrong_place_is_not_repeated(
    api: httpx.Client, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        for answer in (
            api.get(JOB, params={"token": SECRET}),
            api.get(JOB, params={"mode": SECRET}),
            api.post(JOB, json={"mode": SECRET}),
            api.post(JOB, content=f"token={SECRET}", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        ):
            check(answer, 422)
        with calling(url, f"{SECRET}-almost") as guesser:
            check(guesser.get(JOB), 401)
        check(api.post(JOB), 202)
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert any("A wrong secret from 127.0.0.1" in record.getMessage() for record in ours)
    assert not [record for record in ours if SECRET in record.getMessage() + str(record.exc_info)]
    assert runs()
    assert SECRET not in str([run.model_dump() for run in runs()])


WRONG = [
    [],
    [("Authorization", "Bearer")],
    [("Authorization", f"Basic {SECRET}")],
    [("Authorization", SECRET)],
    [("Authorization", f"Bearer {SECRET}x")],
    [("Authorization", b"Bearer \xff\xfe")],
    [("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {SECRET}")],
]


def test_without_the_secret_nobody_learns_even_which_paths_exist(url: str) -> None:
    with calling(url) as stranger:
        for path in (JOB, "/api/cron", "/api/cron/nope", "/metrics", "/", "/docs"):
            for headers in WRONG:
                answer = stranger.get(path, headers=headers)  # type: ignore[arg-type]
                body = check(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert body.keys() == {"success", "message"}
        check(stranger.get("/api/cron", headers={"Authorization": f"bearer  {SECRET}"}), 200)
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as raw:  # httpx refuses to send this
        raw.sendall(f"GET {JOB} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer \r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 401 ")
    assert runs() == []


def test_the_answer_to_a_wrong_secret_is_held_back_and_holds_up_nobody_else(deployed: PrefectServer) -> None:
    assert deployed
    with (
        ThreadPoolExecutor(1) as pool,
        serving(create_app(JOBS, Times(wrong_secret=2))) as url,
        calling(url, OTHER) as guesser,
        calling(url, SECRET) as api,
    ):
        check(api.get("/healthz"), 200)
        guess = pool.submit(guesser.get, JOB)
        check(api.get("/healthz"), 200)
        assert not guess.done()
        check(guess.result(), 401)


def test_an_unknown_path_or_method_is_refused_and_never_redirected(api: httpx.Client) -> None:
    for path in ("/api/cron/nope", "/api/cron/", f"{JOB}/", "/", "/docs", "/healthz/"):
        assert check(api.post(path), 404)["jobs"] == list(JOBS)
    for path in (JOB, "/api/cron", "/healthz"):
        for method in ("PUT", "OPTIONS"):
            answer = api.request(method, path)
            check(answer, 405)
            assert answer.headers["allow"] == ("GET, POST" if path == JOB else "GET, HEAD")
    assert api.head(JOB).status_code == 405
    assert runs() == []


def test_the_open_paths_need_no_secret(url: str) -> None:
    with calling(url) as stranger:
        assert check(stranger.get("/healthz"), 200) == {"success": True}
        assert stranger.head("/healthz").status_code == 200
        document = check(stranger.get("/openapi.json"), 200)
    assert document["paths"].keys() == {"/healthz", "/metrics", "/api/cron", *(f"/api/cron/{name}" for name in JOBS)}
    assert {"wait", *SyncOptions.model_fields} == {
        parameter["name"] for parameter in document["paths"][JOB]["get"]["parameters"]
    }


def test_the_index_says_when_each_job_runs_and_how_it_went(api: httpx.Client) -> None:
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
    set_state(run["id"], Pending(), Running(), Failed(message="1 of 2 accounts synced, 1 failed"))
    last = entry()["last_result"]
    assert last.pop("ended_at")
    assert last == {"success": False, "state": "Failed", "message": "1 of 2 accounts synced, 1 failed", "run": run}
    set_state(check(api.post(JOB), 202)["run"]["id"], Cancelled())
    assert entry()["last_result"]["run"] == run


def test_a_caller_that_waits_gets_the_outcome_and_holds_up_nobody(api: httpx.Client, url: str) -> None:
    with waiting(api.post) as answer, calling(url) as other:
        run = new_run()
        check(other.get("/healthz"), 200)
        assert not answer.done()
        set_state(run, Pending(), Running(), Completed(message="Done."))
        body = check(answer.result(), 200)
    assert (body["success"], body["message"], body["data"]) == (True, "Done.", None)
    assert body["run"]["id"] == str(run.id)
    with waiting(api.get) as answer:
        set_state(new_run(), Pending(), Running(), Cancelled(message="By hand."))
        body = check(answer.result(), 200)
    assert (body["success"], body["message"], body["data"]) == (False, "By hand.", None)
    assert check(api.post(JOB, params={"wait": 1}), 202)["run"]["id"] == str(new_run().id)


KEPT_OUT: dict[str, list[State]] = {
    "by the server": [Cancelled(message="Any words.")],
    "by the flow's lock": [Pending(), Running(), Cancelled(message="Another instance is already running")],
}


@pytest.mark.parametrize("states", KEPT_OUT.values(), ids=KEPT_OUT)
def test_a_run_that_is_cancelled_because_another_one_runs_is_a_conflict(api: httpx.Client, states: list[State]) -> None:
    with waiting(api.post) as answer:
        run = new_run()
        with connect() as client:
            deployment = client.read_deployment_by_name("sync-campaigns/all")
            other = client.create_flow_run_from_deployment(deployment.id)
        set_state(other, Pending(), Running())
        set_state(run, *states)
        body = check(answer.result(), 409)
    assert body["message"] == "Another instance is already running"
    assert body["run"]["id"] == str(other.id)


def test_a_new_secret_needs_no_restart_and_the_old_one_lasts_for_its_grace(url: str) -> None:
    before = CronSecret(current=SecretStr(SECRET))
    hour = timedelta(hours=1)
    with calling(url, SECRET) as old, calling(url, OTHER) as new:
        for until, status in ((datetime.now(UTC) + hour, 404), (datetime.now(UTC) - hour, 401)):
            save(before.replace(SecretStr(OTHER), until))
            assert (new.get("/nope").status_code, old.get("/nope").status_code) == (404, status)


def test_while_the_secret_is_invalid_or_missing_nothing_matches(url: str) -> None:
    def check_closed() -> None:
        check(caller.get("/healthz"), 503)
        for secret in ("short", SECRET, "x", "None"):
            answer = caller.get(JOB, headers={"Authorization": f"Bearer {secret}"})
            assert "The secret of the HTTP API is missing or invalid" in check(answer, 503)["message"]
            assert answer.headers["retry-after"] == "5"

    with calling(url) as caller:
        for data in ({}, {"current": ""}, {"current": "short"}):
            save_raw(**data)
            check_closed()
        with connect() as client:
            client.delete_block_document(client.read_block_document_by_name(CRON_SECRET, "cron-secret").id)
        check_closed()
        save(CronSecret(current=SecretStr(SECRET)))
        check(caller.get("/healthz"), 200)
    assert runs() == []


def test_while_prefect_is_away_callers_are_asked_to_try_again(deployed: PrefectServer) -> None:
    line = Line(urlsplit(deployed.api_url).port or 0)
    settings_of_line = {PREFECT_API_URL: f"http://127.0.0.1:{line.port}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with (
        temporary_settings(settings_of_line),
        serving(create_app(JOBS, Times(secret_fresh=3600))) as remembering,
        serving(create_app(JOBS, AT_ONCE)) as forgetful,
        calling(remembering, SECRET) as known,
        calling(forgetful, SECRET) as unknown,
    ):
        check(known.get("/api/cron"), 200)
        check(unknown.get("/healthz"), 200)
        line.cut()
        for answer in (known.post(JOB), unknown.get("/healthz")):
            assert "The Prefect server does not answer" in check(answer, 503)["message"]
            assert answer.headers["retry-after"] == "5"
    assert runs() == []


def test_health_is_bad_while_the_database_takes_no_writes(url: str, database_url: str, engine: Engine) -> None:
    to_connector(database_url).save(DATABASE, overwrite=True)
    run_alone(engine, READ_ONLY)
    with calling(url) as stranger:
        answer = stranger.get("/healthz")
    assert "takes no writes: `sivera doctor` says more" in check(answer, 503)["message"]
    assert "127.0.0.1" not in answer.text


def test_prometheus_reads_the_last_collection(api: httpx.Client, database_url: str, engine: Engine) -> None:
    to_connector(database_url).save(DATABASE, overwrite=True)
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO metric_samples (at, name, labels, value)
                SELECT now() - interval '2 hours', name, CAST(labels AS jsonb), value FROM (VALUES
                    ('sivera_accounts', '{"platform": "meta", "state": "active"}', 3),
                    ('sivera_collection_timestamp_seconds', '{}', 1)) AS each (name, labels, value)
            """)
        )
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == NO_STORE
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    found = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    assert found["sivera_accounts", "active", "meta"] == 3
    assert 7200 <= found["sivera_collection_age_seconds",] < 7300
    to_connector("postgresql://sivera:s3cr3t-word@127.0.0.1:1/sivera").save(DATABASE, overwrite=True)
    answer = api.get("/metrics")
    assert "PostgreSQL at 127.0.0.1:1/sivera does not answer" in check(answer, 503)["message"]


# The API runs in a thread of this process: what it calls may ask `random` while an example is drawn here.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
def test_the_api_does_what_its_openapi_document_says(deployed: PrefectServer, database_url: str) -> None:
    assert deployed
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

    with serving(create_app(jobs, Times(wrong_secret=0, secret_fresh=3600))) as url, calling(url, SECRET) as api:
        for name in jobs:
            check(api.post(f"/api/cron/{name}"), 202)  # no call starts a run that would be waited for
        for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            try_operation(operation, schemathesis.GenerationMode.POSITIVE)
            if list(operation.iter_parameters()):  # what takes nothing cannot be called wrongly
                try_operation(operation, schemathesis.GenerationMode.NEGATIVE)
    assert len(tried) > 20
    assert {200, 409, 422} <= set(tried)


def test_each_flow_of_the_timetable_is_a_job(tmp_path: Path) -> None:
    assert JOBS["sync-campaigns"].options is SyncOptions
    other = ALL | {"entrypoint": "tests.ops.example_flows.other_example", "parameters": {}, "schedules": []}
    jobs = read_jobs(write(tmp_path, timetable(ALL, SPLIT, other)))
    assert jobs.keys() == {"example", "other-example"}
    assert jobs["other-example"].options.model_fields == {}


def test_the_api_starts_only_with_a_secret_and_an_address(
    deployed: PrefectServer, sivera: Sivera, tmp_path: Path
) -> None:
    assert deployed
    assert "cannot listen on 256.0.0.1, port 0" in sivera("api", "--host", "256.0.0.1", "--port", "0").refusal
    save_raw(current="short")
    refusal = sivera("api", "--port", "0").refusal
    assert "cron-secret/cron-secret does not fit (current: it is shorter than 16 characters" in refusal
    assert "save one with `sivera secret set`" in refusal
    said: list[str] = []
    with open_stack(tmp_path / ".sivera", said.append) as stack:
        assert stack.start_http_api() is None
        stack.check()
    (line,) = said
    assert line.startswith("The HTTP API does not start: the block cron-secret/cron-secret does not fit")


def test_with_a_public_address_that_does_not_fit_only_the_connect_pages_are_refused(
    deployed: PrefectServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert deployed
    monkeypatch.setenv("SIVERA_PUBLIC_URL", f"https://ana:{SECRET}@jobs.example.com")
    with serving(create_app(JOBS, AT_ONCE)) as url, calling(url) as stranger:
        check(stranger.get("/healthz"), 200)
        assert "SIVERA_PUBLIC_URL does not fit" in check(stranger.get("/connect/google"), 503)["message"]
    assert "SIVERA_PUBLIC_URL does not fit" in caplog.text
    assert SECRET not in caplog.text


def test_the_secret_is_made_set_and_rotated_by_the_command(deployed: PrefectServer, sivera: Sivera) -> None:
    assert deployed
    fresh = sivera("secret", "generate").out.strip()
    assert len(fresh) == 43
    assert "shorter than 16 characters" in sivera("secret", "set", stdin="too-short").refusal
    assert load_cron_secret().current == SecretStr(SECRET)

    answer = sivera("secret", "set", stdin=fresh)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.endswith("the HTTP API accepts it, and no other.\n")
    block = load_cron_secret()
    assert (block.current, block.previous) == (SecretStr(fresh), None)

    answer = sivera("secret", "rotate", "--grace", "1h")
    block = load_cron_secret()
    assert block.current.get_secret_value() == answer.out.strip() != fresh
    assert block.previous == SecretStr(fresh)
    assert block.previous_until
    assert timedelta(minutes=59) < block.previous_until - datetime.now(UTC) <= timedelta(hours=1)
    assert "the one before it until" in answer.err


def test_an_api_that_ends_tells_who_waits_that_the_run_goes_on(deployed: PrefectServer) -> None:
    assert deployed
    with ThreadPoolExecutor(1) as pool:
        with serving(create_app(JOBS, AT_ONCE)) as url:
            headers = {"Authorization": f"Bearer {SECRET}"}
            call = pool.submit(httpx.post, f"{url}{JOB}?wait=300", headers=headers, timeout=WAIT_SECONDS)
            new_run()
        assert "the run goes on" in check(call.result(), 503)["message"]
