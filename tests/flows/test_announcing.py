"""How runs of every job are told to the monitors outside: a real Prefect server, and a receiver of real HTTP."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.types import SecretDict
from pydantic import SecretStr
from sivera.monitoring import generate_secret
from sqlalchemy import text
from standardwebhooks import Webhook
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.database import DATABASE_BLOCK
from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.names import CLEANUP_JOB, DATABASE, DEAD_MANS_PING, RESULT_WEBHOOK
from flows.cleanup_expired_tokens import cleanup_expired_tokens
from flows.refresh_tokens import refresh_tokens
from flows.sync_campaigns import sync_campaigns
from tasks import resources
from tests.conftest import PATIENCE_SECONDS
from tests.flows.runs import events, flow_run_id, retry, run_deployed
from tests.prefect_server import PrefectServer
from tests.receiver import Receiver, receiving
from tests.stage import Stage

SECRET = generate_secret()
LOCKED = {"sync-campaigns": "ad_accounts", "refresh-tokens": "platform_credentials", CLEANUP_JOB: "cleanup_runs"}
"""A table that each job reads first."""

AnyFlow = Flow[..., Any]
each_job = pytest.mark.parametrize(
    "flow", [sync_campaigns, refresh_tokens, cleanup_expired_tokens], ids=lambda f: f.name
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


@pytest.fixture
def monitored(ready: Stage, receiver: Receiver) -> Receiver:  # noqa: ARG001 - it makes the server ready
    """A receiver that the blocks of the Prefect server name."""
    ResultWebhook(url=SecretStr(f"{receiver.url}/hook/T0P-secret"), secret=SECRET).save(RESULT_WEBHOOK)
    urls = {job: f"{receiver.url}/ping/{job}-s3cret" for job in LOCKED}
    DeadMansPing(urls=SecretDict(urls)).save(DEAD_MANS_PING)
    return receiver


def messages(receiver: Receiver) -> list[dict[str, Any]]:
    """The messages of the webhook, each of which has the right signature."""
    got = [one for one in receiver.received if one.path.startswith("/hook/")]
    return [Webhook(SECRET.get_secret_value()).verify(one.body, one.headers) for one in got]


def pings(receiver: Receiver, flow: AnyFlow) -> list[str]:
    """What was pinged of a job, as what stands behind its URL."""
    before = f"/ping/{flow.name}-s3cret"
    return [path.removeprefix(before) for path in receiver.paths if path.startswith(before)]


def the_only_telling(receiver: Receiver, flow: AnyFlow, state: State) -> dict[str, Any]:
    """What monitors were told: the event and the webhook once, and the same."""
    (event,) = events(f"sivera.{flow.name}.finished", state)
    (message,) = messages(receiver)
    run_id = str(flow_run_id(state))
    assert message.pop("run_id") == run_id
    assert message.pop("type") == f"sivera.{flow.name}.finished"
    assert message.pop("run_name").startswith(flow.name)
    ended_at = datetime.fromisoformat(message.pop("ended_at"))
    assert abs(ended_at - state.timestamp) < timedelta(seconds=30)
    assert event == message
    assert all(f"rid={run_id}" in one.path for one in receiver.received if one.path.startswith("/ping/"))
    return event


@each_job
def test_a_run_that_went_well_is_told_once(flow: AnyFlow, monitored: Receiver) -> None:
    state = run_deployed(flow)
    assert state.is_completed(), state.message
    told = the_only_telling(monitored, flow, state)
    assert (told["job"], told["success"], told["failed"], told["state"]) == (flow.name, True, 0, "Completed")
    assert told["message"] == state.message
    assert pings(monitored, flow) == ["/start", ""]


@each_job
def test_a_run_that_raises_is_told_once_as_a_failure(flow: AnyFlow, monitored: Receiver) -> None:
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name(DATABASE, DATABASE_BLOCK.get_block_type_slug())
        client.delete_block_document(document.id)
    resources.close()
    state = run_deployed(flow)
    told = the_only_telling(monitored, flow, state)
    assert (told["success"], told["totalProcessed"], told["state"]) == (False, 0, "Failed")
    assert f"/{DATABASE} is missing" in told["message"]
    assert pings(monitored, flow) == ["/start", "/fail"]


def test_a_run_that_is_retried_is_told_of_again_under_another_id(monitored: Receiver, ready: Stage) -> None:
    with ready.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE cleanup_runs RENAME TO away")
    failed = run_deployed(cleanup_expired_tokens)
    assert failed.is_failed()
    with ready.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO cleanup_runs")
    again = retry(cleanup_expired_tokens, failed)
    assert again.is_completed(), again.message
    for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(PATIENCE_SECONDS), reraise=True):
        with attempt:
            told = events(f"sivera.{CLEANUP_JOB}.finished", again)
            assert sorted(one["success"] for one in told) == [False, True]
    assert [message["success"] for message in messages(monitored)] == [False, True]
    ids = [one.headers["webhook-id"] for one in monitored.received if one.path.startswith("/hook/")]
    assert len(set(ids)) == 2
    assert pings(monitored, cleanup_expired_tokens) == ["/start", "/fail", "/start", ""]


def wait_for_lock(stage: Stage) -> None:
    """Return once somebody waits for a table."""
    for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(90)):
        with attempt:
            assert stage.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")


@each_job
def test_a_run_that_takes_too_long_is_told_once_as_a_failure(flow: AnyFlow, monitored: Receiver, ready: Stage) -> None:
    resources.engine()
    assert flow.timeout_seconds
    runs_here = threading.get_ident()

    def end_time() -> None:
        # By the signal with which Prefect's own timer ends a run; a short timeout may end it before it has begun.
        wait_for_lock(ready)
        signal.pthread_kill(runs_here, signal.SIGALRM)

    with ThreadPoolExecutor() as pool, ready.engine.begin() as other:
        other.execute(text(f"LOCK TABLE {LOCKED[flow.name]} IN ACCESS EXCLUSIVE MODE"))
        ended = pool.submit(end_time)
        state = run_deployed(flow)
        ended.result()
    assert state.name == "TimedOut"
    told = the_only_telling(monitored, flow, state)
    assert (told["success"], told["state"]) == (False, "TimedOut")
    assert pings(monitored, flow) == ["/start", "/fail"]


def test_a_run_that_another_one_keeps_out_is_told_without_a_ping(monitored: Receiver) -> None:
    with concurrency(CLEANUP_JOB, strict=True, max_retries=0):
        state = run_deployed(cleanup_expired_tokens)
    told = the_only_telling(monitored, cleanup_expired_tokens, state)
    assert (told["success"], told["state"]) == (False, "Cancelled")
    assert told["message"] == "Another instance is already running"
    assert pings(monitored, cleanup_expired_tokens) == []


def test_a_run_whose_process_is_ended_is_told_as_a_failure(
    monitored: Receiver, ready: Stage, prefect_server: PrefectServer
) -> None:
    program = "from flows.cleanup_expired_tokens import cleanup_expired_tokens as job; job()"
    with ready.engine.begin() as other:
        other.execute(text("LOCK TABLE cleanup_runs IN ACCESS EXCLUSIVE MODE"))
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-c", program], env=os.environ | prefect_server.environment
        )
        wait_for_lock(ready)
        process.terminate()
        assert process.wait(60) != 0
    (message,) = messages(monitored)
    assert (message["success"], message["state"]) == (False, "Crashed")


def test_by_hand_in_a_terminal_nothing_is_pinged(monitored: Receiver) -> None:
    state: State = cleanup_expired_tokens(return_state=True)
    assert the_only_telling(monitored, cleanup_expired_tokens, state)["success"]
    assert pings(monitored, cleanup_expired_tokens) == []


def test_monitors_that_are_away_fail_no_run_and_the_warning_shows_no_secret(
    monitored: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    monitored.answers = [(410, {})] * 3
    state = run_deployed(cleanup_expired_tokens)
    assert state.is_completed()
    said = [record.getMessage() for record in caplog.records if record.name == "sivera.monitoring"]
    assert said == [
        "The dead-man's ping (start) did not arrive: HTTP 410 after 1 attempt",
        "The result was not delivered to the webhook: HTTP 410 after 1 attempt",
        "The dead-man's ping (success) did not arrive: HTTP 410 after 1 attempt",
    ]
    leaks = ("T0P-secret", "s3cret", SECRET.get_secret_value(), monitored.url)
    assert not [leak for leak in leaks if leak in caplog.text]
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run_id(state)).model_dump_json()
        logs = client.request("POST", "/logs/filter", json={}).text
        told = json.dumps(events(f"sivera.{CLEANUP_JOB}.finished", state))
        shown = client.request("POST", "/block_documents/filter", json={}).text
    assert not [leak for leak in leaks if leak in run + logs + told + shown]


@pytest.mark.usefixtures("ready")
def test_without_monitors_only_the_event_tells() -> None:
    state: State = cleanup_expired_tokens(return_state=True)
    (told,) = events(f"sivera.{CLEANUP_JOB}.finished", state)
    assert told["success"]
