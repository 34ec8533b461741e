"""How monitors outside of Prefect learn of the end of a run, with a real Prefect server and real HTTP."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.concurrency.sync import concurrency
from prefect.runner._hook_runner import HookRunner
from prefect.states import Crashed
from prefect.types import SecretDict
from pydantic import SecretStr
from standardwebhooks import Webhook

from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.names import DEAD_MANS_PING, RESULT_WEBHOOK
from sivera.history.rules import ANOTHER_INSTANCE
from sivera.monitoring import generate_secret
from tests.flows.example_job import FAILURES, NAME, ExampleOptions, example_job
from tests.flows.runs import ask, events, flow_run_id, read_run, retry, run_deployed
from tests.prefect_server import PrefectServer
from tests.receiver import Receiver, receiving

SECRET = generate_secret()
PING = f"/ping/{NAME}-s3cret"
EVENT = f"sivera.{NAME}.finished"


@pytest.fixture
def monitored(clean_prefect: PrefectServer) -> Iterator[Receiver]:
    """A receiver at the URLs in the blocks of the Prefect server."""
    assert clean_prefect
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=NAME, limit=1))
    with receiving() as receiver:
        ResultWebhook(url=SecretStr(f"{receiver.url}/hook/T0P-secret"), secret=SECRET).save(RESULT_WEBHOOK)
        DeadMansPing(urls=SecretDict({NAME: receiver.url + PING})).save(DEAD_MANS_PING)
        yield receiver


def messages(receiver: Receiver) -> list[dict[str, Any]]:
    """The messages of the webhook, with their signatures checked."""
    got = [one for one in receiver.received if one.path.startswith("/hook/")]
    return [Webhook(SECRET.get_secret_value()).verify(one.body, one.headers) for one in got]


def pings(receiver: Receiver) -> list[str]:
    return [path.removeprefix(PING) for path in receiver.paths if path.startswith(PING)]


def the_only_result(receiver: Receiver, state: State) -> dict[str, Any]:
    """The result in the event and the webhook's message, each of which was sent once."""
    (event,) = events(EVENT, state)
    (message,) = messages(receiver)
    run_id = str(flow_run_id(state))
    assert message.pop("run_id") == run_id
    assert message.pop("type") == EVENT
    assert message.pop("run_name").startswith(NAME)
    ended_at = datetime.fromisoformat(message.pop("ended_at"))
    assert abs(ended_at - state.timestamp) < timedelta(seconds=30)
    assert event == message
    assert all(f"rid={run_id}" in one.path for one in receiver.received if one.path.startswith("/ping/"))
    return event


def test_a_good_run_is_announced_once(monitored: Receiver) -> None:
    state = run_deployed(example_job)
    assert the_only_result(monitored, state) == {
        "job": NAME,
        "success": True,
        "totalProcessed": 3,
        "failed": 0,
        "deleted": 2,
        "state": "Completed",
        "message": "3 processed",
    }
    assert pings(monitored) == ["/start", ""]


def test_a_failed_run_is_announced_and_announced_again_after_a_retry(monitored: Receiver) -> None:
    FAILURES.append("it broke")
    failed = run_deployed(example_job)
    result = the_only_result(monitored, failed)
    assert (result["success"], result["totalProcessed"], result["state"]) == (False, 0, "Failed")
    assert "it broke" in result["message"]
    assert pings(monitored) == ["/start", "/fail"]
    assert retry(example_job, failed).is_completed()
    assert [message["success"] for message in messages(monitored)] == [False, True]
    assert len({one.headers["webhook-id"] for one in monitored.received if "webhook-id" in one.headers}) == 2
    assert pings(monitored) == ["/start", "/fail", "/start", ""]


def test_a_run_that_takes_too_long_is_announced_as_a_failure(monitored: Receiver) -> None:
    state = run_deployed(example_job.with_options(timeout_seconds=1), options=ExampleOptions(never_ends=True))
    result = the_only_result(monitored, state)
    assert (result["success"], result["state"]) == (False, "TimedOut")
    assert pings(monitored) == ["/start", "/fail"]


def test_a_run_that_another_one_blocks_is_announced_without_a_ping(monitored: Receiver) -> None:
    with concurrency(NAME, strict=True, max_retries=0):
        state = run_deployed(example_job)
    result = the_only_result(monitored, state)
    assert (result["success"], result["state"], result["message"]) == (False, "Cancelled", ANOTHER_INSTANCE)
    assert pings(monitored) == []


def test_a_run_that_is_terminated_is_announced_as_a_failure(monitored: Receiver, prefect_server: PrefectServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.flows.example_job"],
        env=os.environ | prefect_server.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "started\n"
        process.terminate()
        assert process.wait(60) != 0
    (message,) = messages(monitored)
    assert (message["success"], message["state"]) == (False, "Crashed")
    assert pings(monitored) == [], "a run in a terminal does not prove that the schedule works"


def test_a_run_that_was_killed_is_announced_by_its_worker(monitored: Receiver) -> None:
    async def resolve(_: FlowRun) -> Flow[..., Any]:
        return example_job

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(example_job)
        client.set_flow_run_state(run.id, Crashed(), force=True)
        run = client.read_flow_run(run.id)
    assert run.state
    asyncio.run(HookRunner(resolve_flow=resolve).run_crashed_hooks(run, run.state))
    (message,) = messages(monitored)
    assert (message["success"], message["state"]) == (False, "Crashed")


def test_a_monitor_that_refuses_fails_no_run_and_no_secret_is_shown(
    monitored: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    monitored.answers = [(410, {})] * 3
    state = run_deployed(example_job)
    assert state.is_completed()
    warnings = [record.getMessage() for record in caplog.records if record.name == "sivera.monitoring"]
    remedy = "HTTP 410 after 1 attempt. If it lasts, set its URL again: see `sivera monitor --help`."
    assert warnings == [
        f"The dead-man's ping (start) did not arrive: {remedy}",
        f"The result was not delivered to the webhook: {remedy}",
        f"The dead-man's ping (success) did not arrive: {remedy}",
    ]
    listed = json.dumps([ask("logs"), ask("block_documents"), events(EVENT, state)])
    shown = caplog.text + read_run(state).model_dump_json() + listed
    leaks = ("T0P-secret", "s3cret", SECRET.get_secret_value(), monitored.url)
    assert not [leak for leak in leaks if leak in shown]
