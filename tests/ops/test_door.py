"""The HTTP door: the real application over real HTTP, at a real Prefect server."""

import logging
import os
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow_sync
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled, Completed, Failed, Pending, Running, Scheduled
from pydantic import SecretStr
from schemathesis.core.result import Ok
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.cron_secret import CronSecret, load_cron_secret
from blocks.database import to_connector
from blocks.names import CRON_SECRET, DATABASE
from blocks.server import connect
from flows.sync_campaigns import sync_campaigns
from ops.api.app import create_app
from ops.api.guard import NO_STORE
from ops.api.jobs import read_jobs
from ops.api.runs import to_run
from ops.api.server import run_door
from ops.api.throttle import ADDRESSES, EACH, TOTAL, Allowance, Throttle, client_of
from ops.deploy import deploy
from ops.stack.stack import open_stack
from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.errors import ConfigurationError
from sivera.sync.plan import SyncOptions
from sivera.values import PlatformName
from tests.ops.doors import WAIT_SECONDS, Line, calling, serving
from tests.ops.timetables import ALL, SPLIT, timetable, write
from tests.prefect_server import PrefectServer, free_port
from tests.stage import Stage

SECRET, OTHER, THIRD = ("right-secret-Nr-1x", "other-secret-Nr-2x", "third-secret-Nr-3x")
JOB = "/api/cron/sync-campaigns"
JOBS = read_jobs()
FREELY = Allowance(burst=1_000_000, seconds=1)


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the flow does."""
    return World(seed=7)


@pytest.fixture(scope="module")
def found_deployed() -> list[bool]:
    """Holds True once the server has our deployments: to deploy takes longer than a test."""
    return []


@pytest.fixture
def deployed(request: pytest.FixtureRequest, prefect_api: PrefectServer, found_deployed: list[bool]) -> PrefectServer:
    """A Prefect server with our deployments and without runs, whose secret is SECRET."""
    if not found_deployed:
        request.getfixturevalue("clean_prefect")
        deploy_the_jobs()
        found_deployed.append(True)
    with connect() as client:
        for run in runs():
            client.delete_flow_run(run.id)
    save(CronSecret(current=SecretStr(SECRET)))
    return prefect_api


def deploy_the_jobs() -> None:
    """Deploy, and let the timetable start nothing: at the full hour, its own run would make each call a conflict."""
    deploy()
    with connect() as client:
        client.pause_deployment(client.read_deployment_by_name("sync-campaigns/all").id)


@pytest.fixture
def url(deployed: PrefectServer) -> Iterator[str]:  # noqa: ARG001 - has to be there first
    with serving(create_app(JOBS, Throttle(time.monotonic, each=FREELY, total=FREELY))) as url:
        yield url


@pytest.fixture
def door(url: str) -> Iterator[httpx.Client]:
    """A caller that knows the secret."""
    with calling(url, SECRET) as client:
        yield client


def save(block: CronSecret) -> None:
    block.save(CRON_SECRET, overwrite=True)


def save_raw(**data: object) -> None:
    """Change the document past its class, as a person can by the API."""
    with connect() as client:
        document = client.read_block_document_by_name(CRON_SECRET, "cron-secret")
        changed = BlockDocumentUpdate(data=data, merge_existing_data=False, block_schema_id=document.block_schema_id)
        client.update_block_document(document.id, changed)


def runs() -> list[FlowRun]:
    """All runs of the job that no schedule made."""
    with connect() as client:
        found = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=["sync-campaigns"])))
    return [run for run in found if not run.auto_scheduled]


def set_state(run: FlowRun | UUID | str, *states: State) -> None:
    run_id = run.id if isinstance(run, FlowRun) else UUID(str(run))
    with connect() as client:
        for state in states:
            client.set_flow_run_state(run_id, state, force=True)


def check(answer: httpx.Response, status: int) -> dict[str, Any]:
    """What holds for every answer; return what this one says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == NO_STORE
    assert "location" not in answer.headers
    assert SECRET not in answer.text + str(answer.headers)
    body: dict[str, Any] = answer.json()
    if "data" not in body and "openapi" not in body:
        assert body["success"] is (status < 300)
    return body


def eventually(answer: Callable[[], httpx.Response], status: int) -> dict[str, Any]:
    """Ask until the answer has the status: what the door knows of the secret may be seconds old."""
    for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(60), reraise=True):
        with attempt:
            found = answer()
            assert found.status_code == status, found.text
    return check(found, status)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_starts_the_job_and_says_where_it_shows(
    door: httpx.Client, deployed: PrefectServer, method: str
) -> None:
    body = check(door.request(method, JOB), 202)
    (run,) = runs()
    assert body == {
        "success": True,
        "run": {
            "id": str(run.id),
            "name": run.name,
            "url": f"{deployed.api_url.removesuffix('/api')}/runs/flow-run/{run.id}",
        },
    }
    assert run.parameters == {"options": {"mode": "incremental"}}
    with connect() as client:
        assert run.deployment_id == client.read_deployment_by_name("sync-campaigns/all").id


def test_two_calls_at_once_give_one_run_and_one_conflict(door: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: door.post(JOB), range(8)))
    (run,) = runs()
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 7]
    for answer in answers:
        body = check(answer, answer.status_code)
        assert body["run"]["id"] == str(run.id)
        if answer.status_code == 409:
            assert body["message"] == "Another instance is already running"


@pytest.mark.parametrize("states", [[Pending()], [Pending(), Running()]], ids=["pending", "running"])
def test_a_job_that_runs_already_is_a_conflict_until_it_has_ended(door: httpx.Client, states: list[State]) -> None:
    first = check(door.post(JOB), 202)["run"]
    set_state(first["id"], *states)
    assert check(door.post(JOB), 409) == {
        "success": False,
        "message": "Another instance is already running",
        "run": first,
    }
    set_state(first["id"], Completed())
    assert check(door.post(JOB), 202)["run"]["id"] != first["id"]


def test_a_run_that_the_timetable_is_yet_to_start_keeps_nobody_out(door: httpx.Client) -> None:
    with connect() as client:
        deployment = client.read_deployment_by_name("sync-campaigns/all")
        later: State = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
        client.create_flow_run_from_deployment(deployment.id, state=later)
    check(door.post(JOB), 202)


@pytest.mark.parametrize(
    ("query", "body", "options"),
    [
        ("?mode=full&platforms=google&platforms=meta", None, {"mode": "full", "platforms": ["google", "meta"]}),
        ("", {"account_ids": [1, 2]}, {"mode": "incremental", "account_ids": [1, 2]}),
        ("?mode=full", {"mode": "incremental", "batch_size": 5}, {"mode": "full", "batch_size": 5}),
        ("?wait=0", {}, {"mode": "incremental"}),
    ],
)
def test_query_and_body_are_laid_over_the_options_of_the_deployment(
    door: httpx.Client, query: str, body: dict[str, Any] | None, options: dict[str, Any]
) -> None:
    check(door.post(f"{JOB}{query}", json=body), 202)
    (run,) = runs()
    assert run.parameters["options"] == options
    SyncOptions.model_validate(run.parameters["options"])


BAD = [
    ("?mode=sometimes", None, "query.mode"),
    ("?batch_size=0", None, "query.batch_size"),
    ("?no_such_option=1", None, "query.no_such_option"),
    ("?wait=301", None, "query.wait"),
    ("?wait=-1", None, "query.wait"),
    ("?wait=soon", None, "query.wait"),
    ("?wait=1&wait=301", None, "query.wait"),
    ("", '{"mode": "sometimes"}', "body.mode"),
    ("", '{"wait": 5}', "body.wait"),
    ("", '["full"]', "body"),
    ("", '{"mode": ', "body.9"),
    ("", b"\xff\x02", "body"),
]
"""Query, body, and where the answer says that something is wrong."""


def test_bad_parameters_are_named_and_nothing_is_started(door: httpx.Client) -> None:
    for query, content, where in BAD:
        headers = {"Content-Type": "application/json"} if content else {}
        body = check(door.post(f"{JOB}{query}", content=content, headers=headers), 422)
        assert [error["where"] for error in body["errors"]] == [where]
        assert where in body["message"]
    assert runs() == []


def test_a_secret_in_the_wrong_place_is_not_repeated(
    door: httpx.Client, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        for answer in (
            door.get(JOB, params={"token": SECRET}),
            door.get(JOB, params={"mode": SECRET}),
            door.post(JOB, json={"mode": SECRET}),
            door.post(JOB, content=f"token={SECRET}", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        ):
            check(answer, 422)
        with calling(url, f"{SECRET}-almost") as guesser:
            check(guesser.get(JOB), 401)
        check(door.post(JOB), 202)
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
    [("Authorization", f"Bearer {SECRET[:-1]}")],
    [("Authorization", f"Bearer {SECRET}x")],
    [("Authorization", f"Bearer {SECRET.upper()}")],
    [("Authorization", b"Bearer \xff\xfe")],
    [("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {SECRET}")],
]


@pytest.mark.parametrize("path", [JOB, "/api/cron", "/api/cron/nope", "/", "/docs"])
def test_without_the_secret_nobody_learns_even_what_there_is(url: str, path: str) -> None:
    with calling(url) as stranger:
        for headers in WRONG:
            answer = stranger.get(path, headers=headers)  # type: ignore[arg-type]
            body = check(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert body.keys() == {"success", "message"}
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as raw:  # httpx refuses to send this
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer \r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 401 ")
    assert runs() == []


def test_the_scheme_is_spelt_as_one_likes(url: str) -> None:
    with calling(url) as client:
        check(client.get("/api/cron", headers={"Authorization": f"bearer  {SECRET}"}), 200)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_answered_with_the_jobs_and_never_a_redirect(door: httpx.Client, method: str) -> None:
    for path in ("/api/cron/nope", "/api/cron/", f"{JOB}/", "/api/cron/a/b", "/", "/docs", "/healthz/"):
        assert check(door.request(method, path), 404)["jobs"] == list(JOBS)
    assert runs() == []


def test_another_method_is_refused(door: httpx.Client) -> None:
    for path, allowed in (
        (JOB, "GET, POST"),
        ("/api/cron", "GET"),
        ("/healthz", "GET"),
        ("/openapi.json", "GET, HEAD"),
    ):
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = door.request(method, path)
            check(answer, 405)
            assert answer.headers["allow"] == allowed
    assert runs() == []


def test_the_open_paths_need_no_secret(url: str) -> None:
    with calling(url) as stranger:
        assert check(stranger.get("/healthz"), 200) == {"success": True}
        document = check(stranger.get("/openapi.json"), 200)
    assert document["paths"].keys() == {"/healthz", "/metrics", "/api/cron", *(f"/api/cron/{name}" for name in JOBS)}
    assert {"wait", *SyncOptions.model_fields} == {
        parameter["name"] for parameter in document["paths"][JOB]["get"]["parameters"]
    }


def test_the_list_tells_when_each_job_runs_and_how_it_went(door: httpx.Client) -> None:
    def entry() -> dict[str, Any]:
        (found,) = [job for job in check(door.get("/api/cron"), 200)["jobs"] if job["name"] == "sync-campaigns"]
        return dict(found)

    def schedules() -> dict[tuple[str, str], dict[str, Any]]:
        return {(each["deployment"], each["slug"]): each for each in entry()["schedules"]}

    assert entry()["last_result"] is None
    hourly = {"deployment": "all", "slug": "hourly", "cron": "0 */1 * * *", "timezone": "UTC", "active": False}
    assert schedules()["all", "hourly"] == hourly, "its deployment is paused"
    with connect() as client:
        deployment_id = client.read_deployment_by_name("sync-campaigns/all").id
        client.resume_deployment(deployment_id)
        resumed = schedules()
        client.pause_deployment(deployment_id)
    assert resumed["all", "hourly"] == hourly | {"active": True}
    assert resumed["google", "hourly"]["active"] is False
    run = check(door.post(JOB), 202)["run"]
    assert datetime.fromisoformat(entry()["next_run"]) <= datetime.now(UTC)
    set_state(run["id"], Pending(), Running(), Failed(message="1 of 2 accounts synced, 1 failed"))
    last = entry()["last_result"]
    assert last.pop("ended_at")
    assert last == {"success": False, "state": "Failed", "message": "1 of 2 accounts synced, 1 failed", "run": run}
    cancelled = check(door.post(JOB), 202)["run"]
    set_state(cancelled["id"], Cancelled())
    assert entry()["last_result"]["run"] == run


def test_who_waits_gets_what_the_run_did(ready: Stage, found_deployed: list[bool]) -> None:
    found_deployed.clear()  # `ready` cleans the server
    for platform in PlatformName:
        ready.connect(ready.world.add_grant(platform, accounts=1, campaigns=2))
    broken = next(iter(ready.world.accounts[PlatformName.META]))
    deploy_the_jobs()
    save(CronSecret(current=SecretStr(SECRET)))
    with serving(create_app(JOBS)) as url, calling(url, SECRET) as door, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(door.get, JOB, params={"wait": 100, "mode": "full"})
        run = take_up()
        body = check(waiting.result(), 200)
        assert (body["success"], body["message"]) == (True, "4 of 4 accounts synced")
        assert (body["data"]["totalProcessed"], body["data"]["failed"], body["data"]["mode"]) == (4, 0, "full")
        assert body["run"]["id"] == str(run.id)

        ready.world.faults.add(Fault(FaultKind.STATUS, PlatformName.META, match=broken, status=500))
        waiting = pool.submit(door.post, JOB, params={"wait": 100}, json={"mode": "full"})
        take_up()
        body = check(waiting.result(), 200)
        assert (body["success"], body["message"]) == (False, "3 of 4 accounts synced, 1 failed")
        assert (body["data"]["success"], body["data"]["totalProcessed"], body["data"]["failed"]) == (False, 4, 1)


def take_up() -> FlowRun:
    """Run the next run that the door starts, as a worker's process does."""
    for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(60), reraise=True):
        with attempt:
            (run,) = [each for each in runs() if each.state and each.state.is_scheduled()]
    with connect() as client:
        client.set_flow_run_state(run.id, Pending())
        run = client.read_flow_run(run.id)
    run_flow_sync(sync_campaigns, flow_run=run, parameters=run.parameters, return_type="state")
    return run


def test_who_waits_for_a_run_that_is_not_over_is_told_where_it_is(door: httpx.Client) -> None:
    begun = time.monotonic()
    body = check(door.post(JOB, params={"wait": 1}), 202)
    assert 1 <= time.monotonic() - begun < 60
    assert body["run"]["id"] == str(runs()[0].id)


@pytest.mark.parametrize("message", ["Deployment concurrency limit reached.", "Another instance is already running"])
def test_a_run_that_is_cancelled_because_another_one_runs_is_a_conflict(door: httpx.Client, message: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(door.post, JOB, params={"wait": 100})
        run = first_run()
        with connect() as client:
            deployment = client.read_deployment_by_name("sync-campaigns/all")
            other = client.create_flow_run_from_deployment(deployment.id)
        set_state(other, Pending(), Running())
        set_state(run, Cancelled(message=message))
        body = check(waiting.result(), 409)
    assert body["message"] == "Another instance is already running"
    assert body["run"]["id"] == str(other.id)


def test_a_run_that_ends_without_a_word_is_not_a_success(door: httpx.Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(door.post, JOB, params={"wait": 100})
        set_state(first_run(), Pending(), Running(), Failed(message="It broke."))
        body = check(waiting.result(), 200)
    assert (body["success"], body["message"], body["data"]) == (False, "It broke.", None)


def first_run() -> FlowRun:
    for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(60), reraise=True):
        with attempt:
            (run,) = runs()
    return run


def test_waiting_holds_nobody_up(door: httpx.Client, url: str) -> None:
    with calling(url) as other, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(door.post, JOB, params={"wait": 100})
        run = first_run()
        for _ in range(5):
            check(other.get("/healthz"), 200)
        assert not waiting.done()
        set_state(run, Cancelled(message="By hand."))
        assert check(waiting.result(), 200)["message"] == "By hand."


def test_a_new_secret_is_taken_without_a_restart_and_the_old_one_no_longer(url: str) -> None:
    before = CronSecret(current=SecretStr(SECRET))
    with calling(url, SECRET) as old, calling(url, OTHER) as new:
        check(old.get("/api/cron"), 200)
        save(before.replace(SecretStr(OTHER), None))
        eventually(lambda: new.get("/api/cron"), 200)
        check(old.get("/api/cron"), 401)


def test_the_old_secret_is_taken_for_its_grace_and_no_longer(url: str) -> None:
    before = CronSecret(current=SecretStr(SECRET))
    with calling(url, SECRET) as old, calling(url, OTHER) as new:
        save(before.replace(SecretStr(OTHER), datetime.now(UTC) + timedelta(hours=1)))
        eventually(lambda: new.get("/api/cron"), 200)
        check(old.get("/api/cron"), 200)
        save(before.replace(SecretStr(OTHER), datetime.now(UTC) - timedelta(seconds=1)))
        eventually(lambda: old.get("/api/cron"), 401)
        check(new.get("/api/cron"), 200)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"current": ""},
        {"current": "short"},
        {"current": "fifteen-letters"},
        {"current": "with a space in it, and long"},
        {"current": SECRET, "previous": OTHER},
        {"current": SECRET, "previous": "", "previous_until": "2099-01-01T00:00:00Z"},
    ],
    ids=["none", "empty", "short", "one-too-few", "space", "no-end", "empty-previous"],
)
def test_a_secret_that_will_not_do_shuts_the_door_and_matches_nothing(url: str, data: dict[str, Any]) -> None:
    with calling(url, str(data.get("current") or SECRET)) as caller:
        save_raw(**data)
        eventually(lambda: caller.get("/healthz"), 503)
        for secret in (str(data.get("current") or "x"), SECRET, "None", "null"):
            answer = caller.get(JOB, headers={"Authorization": f"Bearer {secret}"})
            assert "secret of the door" in check(answer, 503)["message"]
            assert answer.headers["retry-after"] == "5"
        assert runs() == []
        save(CronSecret(current=SecretStr(SECRET)))
        eventually(lambda: caller.get("/healthz"), 200)


def test_without_a_secret_the_door_is_shut(url: str) -> None:
    with connect() as client:
        client.delete_block_document(client.read_block_document_by_name(CRON_SECRET, "cron-secret").id)
    with calling(url, SECRET) as caller:
        eventually(lambda: caller.get(JOB), 503)


def test_while_prefect_is_away_calls_are_to_be_tried_again(deployed: PrefectServer) -> None:
    line = Line(urlsplit(deployed.api_url).port or 0)
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{line.port}/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        app = create_app(JOBS)
        with serving(app) as url, calling(url, SECRET) as door:
            check(door.get("/api/cron"), 200)
            line.cut()
            for ask in (door.get, door.post):  # the secret that was read a moment ago is still known
                answer = ask(JOB)
                assert "The Prefect server does not answer" in check(answer, 503)["message"]
                assert answer.headers["retry-after"] == "5"
            check(door.get("/api/cron"), 503)
            eventually(lambda: door.get("/healthz"), 503)
    assert runs() == []


def test_a_job_that_is_not_deployed_says_so(door: httpx.Client, found_deployed: list[bool]) -> None:
    with connect() as client:
        client.delete_deployment(client.read_deployment_by_name("sync-campaigns/all").id)
    found_deployed.clear()
    assert "run `sivera deploy`" in check(door.post(JOB), 503)["message"]


class Clock:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_guessing_is_slowed_for_the_one_who_guesses(deployed: PrefectServer) -> None:
    assert deployed
    clock = Clock()
    with (
        serving(create_app(JOBS, Throttle(clock))) as url,
        calling(url, OTHER) as guesser,
        calling(url, SECRET) as same_machine,
        calling(url, SECRET, source="127.0.0.2") as elsewhere,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(pool.map(lambda _: guesser.get(JOB), range(30)))
        assert sorted(answer.status_code for answer in answers) == [401] * EACH.burst + [429] * (30 - EACH.burst)
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert "Too many wrong secrets" in check(refused, 429)["message"]
        assert refused.headers["retry-after"] == str(EACH.seconds)
        # What has to wait is not looked at: else the guess would have been made.
        assert check(same_machine.get("/api/cron"), 429)
        check(elsewhere.get("/api/cron"), 200)
        # As a proxy on this machine says who calls.
        check(same_machine.get("/api/cron", headers={"X-Forwarded-For": "203.0.113.9"}), 200)
        check(guesser.get("/healthz"), 200)
        clock.now += EACH.seconds
        check(same_machine.get("/api/cron"), 200)
        check(guesser.get(JOB), 401)
        assert check(guesser.get(JOB), 429)
    assert runs() == []


def test_a_proxy_elsewhere_is_believed_only_where_it_is_named(
    deployed: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deployed
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    guesser, caller = {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-For": "203.0.113.10"}
    with (
        serving(create_app(JOBS, Throttle(Clock())), ["127.0.0.2"]) as url,
        calling(url, source="127.0.0.2") as proxy,
        calling(url, OTHER, source="127.0.0.3") as unnamed,
    ):
        wrong, right = ({"Authorization": f"Bearer {secret}"} for secret in (OTHER, SECRET))
        for _ in range(EACH.burst):
            check(proxy.get(JOB, headers=wrong | guesser), 401)
        check(proxy.get(JOB, headers=wrong | guesser), 429)
        # What a client writes into the header itself comes before what the proxy adds.
        check(proxy.get(JOB, headers=wrong | {"X-Forwarded-For": "203.0.113.77, 203.0.113.9"}), 429)
        check(proxy.get("/api/cron", headers=right | caller), 200)
        for number in range(EACH.burst):
            check(unnamed.get(JOB, headers={"X-Forwarded-For": f"203.0.113.{100 + number}"}), 401)
        check(unnamed.get(JOB, headers={"X-Forwarded-For": "203.0.113.200"}), 429)


@pytest.mark.parametrize(
    ("proxy", "sentence"),
    [("my-proxy", "neither an address nor a network"), ("10.0.0.1/8", "neither"), ("0.0.0.0/0", "is everybody")],
)
def test_a_proxy_that_will_not_do_is_said(proxy: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        run_door("127.0.0.1", 0, print, [proxy])


def test_a_forgotten_caller_with_an_old_secret_holds_nobody_up() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(1000):
        assert throttle.wait("10.0.0.1") == 0
        throttle.failed("10.0.0.1")
        clock.now += 10


def test_guesses_from_many_addresses_are_slowed_together_and_known_callers_are_not() -> None:
    throttle = Throttle(Clock())
    throttle.passed("10.0.0.1")
    for number in range(TOTAL.burst):
        assert throttle.wait(f"10.1.0.{number}") == 0
        throttle.failed(f"10.1.0.{number}")
    assert throttle.wait("10.2.0.1") == TOTAL.seconds
    assert throttle.wait("10.0.0.1") == 0
    for _ in range(EACH.burst):
        throttle.failed("10.0.0.1")
    assert throttle.wait("10.0.0.1") == EACH.seconds


def test_the_memory_of_guesses_is_bounded_and_forgetting_frees_nobody() -> None:
    throttle = Throttle(Clock())
    for number in range(5 * ADDRESSES):
        throttle.failed(f"client {number}")
        throttle.passed(f"friend {number}")
    assert len(throttle._spent) == len(throttle._trusted) == ADDRESSES
    assert throttle.wait("client 0") == throttle.wait("somebody new") > 60


def test_a_network_is_one_client_and_whatever_a_proxy_claims_is_an_address() -> None:
    assert client_of("192.0.2.7") == "192.0.2.7"
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1") != client_of("2001:db8:0:1::1")
    assert client_of("x" * 10_000) == client_of(None) == client_of("unknown\nline")


@pytest.fixture
def documented(deployed: PrefectServer, database_url: str) -> Iterator[schemathesis.BaseSchema]:
    """The OpenAPI document of a door whose jobs are running: calls by chance start nothing that would be waited for."""
    assert deployed
    to_connector(database_url).save(DATABASE, overwrite=True)
    app = create_app(JOBS, Throttle(time.monotonic, each=FREELY, total=FREELY))
    with serving(app) as url, calling(url, SECRET) as door:
        for name in JOBS:
            # Those of another test may be waiting still.
            assert door.post(f"/api/cron/{name}").status_code in (202, 409)
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


# The door runs in a thread of this process, where what it calls may ask `random` while an example is drawn here.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_the_door_does_what_its_openapi_document_says(
    documented: schemathesis.BaseSchema, mode: schemathesis.GenerationMode
) -> None:
    tried = []
    for operation in documented.get_all_operations():
        assert isinstance(operation, Ok)
        found = operation.ok()

        @given(found.as_strategy(generation_mode=mode))
        @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def try_it(case: schemathesis.Case[Any]) -> None:
            answer = case.call_and_validate(headers={"Authorization": f"Bearer {SECRET}"}, timeout=WAIT_SECONDS)
            assert answer.headers["cache-control"] == [NO_STORE]
            tried.append(answer.status_code)

        # What takes nothing cannot be called wrongly.
        if mode is schemathesis.GenerationMode.POSITIVE or list(found.iter_parameters()):
            try_it()
    assert len(tried) > 10


def test_each_flow_of_the_timetable_is_a_job() -> None:
    assert set(JOBS) >= {"sync-campaigns"}
    assert JOBS["sync-campaigns"].options is SyncOptions


def test_a_flow_without_a_main_deployment_is_named(tmp_path: Path) -> None:
    other = ALL | {"entrypoint": "tests.ops.example_flows.other_example", "parameters": {}, "schedules": []}
    jobs = read_jobs(write(tmp_path, timetable(ALL, SPLIT, other)))
    assert jobs.keys() == {"example", "other-example"}
    assert jobs["other-example"].options.model_fields == {}
    with pytest.raises(ConfigurationError, match="no deployment 'all' of example:"):
        read_jobs(write(tmp_path, timetable(SPLIT, other)))


def sivera(server: PrefectServer, folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SIVERA_"))}
    return subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-P", "-m", "ops.cli", *arguments],
        cwd=folder,
        env=inherited | server.environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_opens_with_a_secret_alone(deployed: PrefectServer, tmp_path: Path) -> None:
    save_raw(current="short")
    refused = sivera(deployed, tmp_path, "door", "--port", str(free_port()))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "cron-secret/cron-secret does not fit (current: it is shorter than 16 characters" in refused.stderr
    assert "save one with `sivera secret set`" in refused.stderr
    with connect() as client:
        client.delete_block_document(client.read_block_document_by_name(CRON_SECRET, "cron-secret").id)
    refused = sivera(deployed, tmp_path, "door", "--port", str(free_port()))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the block cron-secret/cron-secret is missing: save one with `sivera secret set`" in refused.stderr


def test_the_secret_is_made_set_and_rotated_by_the_command(deployed: PrefectServer, tmp_path: Path) -> None:
    fresh = sivera(deployed, tmp_path, "secret", "generate")
    assert (fresh.returncode, fresh.stderr) == (0, "")
    assert len(fresh.stdout.strip()) >= 40
    assert current() == SECRET

    short = sivera(deployed, tmp_path, "secret", "set", stdin="too-short")
    assert short.returncode == 1
    assert "shorter than 16 characters" in short.stderr
    assert "too-short" not in short.stdout + short.stderr
    assert current() == SECRET

    done = sivera(deployed, tmp_path, "secret", "set", stdin=fresh.stdout)
    assert (done.returncode, done.stdout) == (0, "")
    assert "none before it" in done.stderr
    assert current() == fresh.stdout.strip()
    assert fresh.stdout.strip() not in done.stderr

    rotated = sivera(deployed, tmp_path, "secret", "rotate", "--grace", "1h")
    block = load_cron_secret()
    assert current() == rotated.stdout.strip() != fresh.stdout.strip()
    assert block.previous == SecretStr(fresh.stdout.strip())
    assert block.previous_until
    assert timedelta(minutes=59) < block.previous_until - datetime.now(UTC) <= timedelta(hours=1)
    assert "until" in rotated.stderr


def current() -> str:
    return load_cron_secret().current.get_secret_value()


def test_the_command_serves_the_door_and_ends_while_somebody_waits(deployed: PrefectServer, tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SIVERA_"))}
    with (
        subprocess.Popen(
            [sys.executable, "-P", "-m", "ops.cli", "door", "--port", "0"],
            cwd=tmp_path,
            env=inherited | deployed.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        ThreadPoolExecutor(1) as pool,
    ):
        try:
            assert process.stdout
            found = re.fullmatch(r"The door is at (http://127\.0\.0\.1:\d+)/api/cron\n", process.stdout.readline())
            assert found
            with calling(found[1], SECRET) as door, calling(found[1], OTHER) as guesser:
                check(door.get("/healthz"), 200)
                check(guesser.get(JOB), 401)
                check(guesser.get(JOB, params={"token": SECRET}), 401)
                waiting = pool.submit(door.post, JOB, params={"wait": 300})
                first_run()
                process.terminate()
                said = "".join(process.communicate(timeout=60))
                assert "goes on" in check(waiting.result(timeout=60), 503)["message"]
        finally:
            process.kill()
    assert process.returncode == 143
    assert "A wrong secret from 127.0.0.1" in said
    assert "Started sync-campaigns/all as run" in said
    assert not [secret for secret in (SECRET, OTHER) if secret in said]
    refused = sivera(deployed, tmp_path, "door", "--host", "256.0.0.1", "--port", "0")
    assert refused.returncode == 1
    assert "the door cannot listen on 256.0.0.1" in refused.stderr


def test_the_stack_starts_the_door_and_keeps_its_secret_for_the_owner(
    deployed: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in deployed.environment.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    with open_stack(tmp_path / ".sivera", said.append) as stack:
        door = stack.start_door()
        assert door
        door.wait(said.append)
        kept = tmp_path / ".sivera" / "cron-secret"
        assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == (SECRET, 0o600)
        with calling(door.url, kept.read_text()) as caller:
            check(caller.get("/api/cron"), 200)
        shim = psutil.Process(door.child.process.pid)
        assert not [each for each in (shim, *shim.children()) if SECRET in " ".join(each.cmdline())]
        assert any(f"The HTTP door is at {door.url}/api/cron" in line for line in said)
        assert not [line for line in said if SECRET in line]
    assert door.child.process.returncode == 143, "it ended by itself when it was told to"


def test_a_secret_that_will_not_do_keeps_the_door_shut_and_not_the_stack(
    deployed: PrefectServer, tmp_path: Path
) -> None:
    assert deployed
    save_raw(current="short")
    said: list[str] = []
    with open_stack(tmp_path / ".sivera", said.append) as stack:
        assert stack.start_door() is None
        stack.check()
    (line,) = said
    assert line.startswith("The HTTP door stays shut: the block cron-secret/cron-secret does not fit")


def test_the_address_of_a_run_holds_no_password(deployed: PrefectServer) -> None:
    run = FlowRun(id=UUID(int=1), name="a run", flow_id=UUID(int=2))
    port = urlsplit(deployed.api_url).port
    with temporary_settings({PREFECT_API_URL: f"http://admin:geheim@127.0.0.1:{port}/api"}):
        assert to_run(run).url == f"http://127.0.0.1:{port}/runs/flow-run/{run.id}"
