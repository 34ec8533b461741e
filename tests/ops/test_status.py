"""`sivera status` and `/metrics` of the door: a real Prefect server, real PostgreSQL, real HTTP."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed, Running, Scheduled
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text

from blocks.cron_secret import CronSecret
from blocks.database import DATABASE_BLOCK, to_connector
from blocks.names import CRON_SECRET, DATABASE, TAG
from blocks.server import connect
from flows.collect_metrics import collect_metrics
from ops.api.app import create_app
from ops.api.guard import NO_STORE
from ops.api.jobs import read_jobs
from sandbox.world import World
from sivera.clock import utc_now
from sivera.metrics.definitions import EXPORTED
from sivera.values import PlatformName
from tests.ops.commands import Sivera
from tests.ops.doors import WAIT_SECONDS, calling, serving
from tests.stage import Stage

SECRET = "right-secret-Nr-1x"


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the flow does."""
    return World(seed=7)


@pytest.fixture
def jobs(ready: Stage) -> Stage:
    """A stage with a job that is deployed, and accounts of which none was synced yet."""
    ready.connect(ready.world.add_grant(PlatformName.META, accounts=3))
    with connect() as client:
        flow_id = client.create_flow(collect_metrics)
        client.create_deployment(
            flow_id, name="all", tags=[TAG], schedules=[], parameters={"options": {}}, paused=False
        )
    return ready


def book(*states: State) -> None:
    with connect() as client:
        due: State = Scheduled(scheduled_time=utc_now() - timedelta(minutes=5))
        run = client.create_flow_run(collect_metrics, state=due, tags=[TAG])
        for state in states:
            client.set_flow_run_state(run.id, state, force=True)


def age(stage: Stage) -> None:
    with stage.engine.begin() as connection:
        connection.execute(text("UPDATE ad_accounts SET created_at = now() - interval '5 hours'"))
        connection.execute(text("UPDATE platform_credentials SET status_since = now() - interval '5 hours'"))


@pytest.mark.usefixtures("jobs")
def test_all_that_is_well_says_so_first(sivera: Sivera) -> None:
    book(Running(), Completed())
    code, out, _ = sivera("status")
    assert code == 0, out
    first, *rest = out.splitlines()
    assert first.endswith(" UTC: nothing needs you")
    (row,) = [line for line in rest if line.startswith("collect-metrics ")]
    assert "completed" in row
    assert " 5 min " in row
    assert "not scheduled" in row
    assert any(line.split() == ["meta", "1", "0", "3", "0", "0", "0"] for line in rest)
    assert any(line.split() == ["google", "0", "0", "100%", "calls", "a", "day"] for line in rest)
    assert "Hanok" not in out


def test_what_needs_a_person_stands_at_the_top(jobs: Stage, sivera: Sivera) -> None:
    age(jobs)
    book(Running(), Completed())
    book(Running(), Failed(message="the database failed"))
    book(Cancelled(message="Another instance is already running"))
    code, out, _ = sivera("status")
    assert code == 1
    first, failed, stale, *_ = out.splitlines()
    assert first.endswith(" UTC: look at this")
    assert failed.startswith("  ! collect-metrics failed at ")
    assert failed.endswith(": the database failed")
    assert stale == "  ! 3 accounts have data older than 3 hours: see `sivera accounts list`"


def test_what_waits_for_a_person_is_told(jobs: Stage, sivera: Sivera) -> None:
    with jobs.engine.begin() as connection:
        connection.execute(text("UPDATE platform_credentials SET status = 'revoked'"))
        connection.execute(
            text(
                "INSERT INTO alerts (kind, subject, title, message, link, since) "
                "VALUES ('job-failed', 'a/all', 'a failed', 'It did.', '', now())"
            )
        )
    code, out, _ = sivera("status")
    assert code == 1
    assert "  ! 1 grants must be connected again: see `sivera credentials list`" in out.splitlines()
    assert "  ! 1 alerts are open: see `sivera alerts list`" in out.splitlines()


def test_a_quota_that_is_nearly_used_up_is_told(jobs: Stage, sivera: Sivera, monkeypatch: pytest.MonkeyPatch) -> None:
    with jobs.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO platform_calls (run_id, platform, api, login, throttled) "
                "VALUES (gen_random_uuid(), 'google', 2700, 5, 1)"
            )
        )
    assert sivera("status").code == 0
    monkeypatch.setenv("SIVERA_DAILY_CALLS", '{"google": 2880}')
    code, out, _ = sivera("status")
    assert code == 1
    assert "  ! google has 6% left of calls a day" in out.splitlines()
    monkeypatch.setenv("SIVERA_DAILY_CALLS", "many")
    assert "SIVERA_DAILY_CALLS does not fit" in sivera("status").refusal


def test_the_same_as_json(jobs: Stage, sivera: Sivera) -> None:
    age(jobs)
    book(Running(), Completed())
    code, out, _ = sivera("status", "--json")
    told = json.loads(out)
    assert (code, told["attention"]) == (1, ["3 accounts have data older than 3 hours: see `sivera accounts list`"])
    (job,) = told["jobs"]
    assert (job["name"], job["last"]["outcome"], job["next_at"]) == ("collect-metrics", "completed", None)
    names = {sample["name"] for sample in told["figures"]["samples"]}
    assert names <= {metric.name for metric in EXPORTED}
    assert {"sivera_grants", "sivera_sync_age_seconds", "sivera_table_rows"} <= names


@pytest.mark.usefixtures("jobs")
def test_a_job_that_is_scheduled_says_when(sivera: Sivera) -> None:
    at = utc_now() + timedelta(hours=2)
    with connect() as client:
        client.create_flow_run(collect_metrics, state=Scheduled(scheduled_time=at), tags=[TAG])
    (row,) = [line for line in sivera("status").out.splitlines() if line.startswith("collect-metrics ")]
    assert row.split()[1] == "never"
    assert row.endswith(f"{at:%Y-%m-%d %H:%M}")


@pytest.fixture
def door(jobs: Stage) -> Iterator[httpx.Client]:
    """A caller that knows the secret."""
    CronSecret(current=SecretStr(SECRET)).save(CRON_SECRET, overwrite=True)
    assert jobs
    with serving(create_app(read_jobs())) as url, calling(url, SECRET) as client:
        yield client


def test_prometheus_reads_the_last_collection(jobs: Stage, door: httpx.Client) -> None:
    empty = door.get("/metrics")
    assert (empty.status_code, empty.text.splitlines()[-1]) == (200, "sivera_collection_age_seconds +Inf")
    assert collect_metrics(return_state=True).is_completed()
    began = time.monotonic()
    answer = door.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == NO_STORE
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["sivera_accounts", "active", "meta"] == 3
    assert 0 <= found["sivera_collection_age_seconds",] < 60 + time.monotonic() - began
    assert not [text for text in ("Hanok", SECRET) if text in answer.text]
    later = jobs.engine
    with later.begin() as connection:
        connection.execute(text("UPDATE metric_samples SET at = at - interval '2 hours'"))
    aged = door.get("/metrics").text
    (line,) = [line for line in aged.splitlines() if line.startswith("sivera_collection_age_seconds ")]
    assert float(line.split()[1]) > 7200


def test_without_the_secret_there_are_no_figures(door: httpx.Client) -> None:
    for authorization in (None, "Bearer wrong-secret-Nr-9x"):
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = httpx.get(f"{door.base_url}/metrics", headers=headers, timeout=WAIT_SECONDS)
        assert (answer.status_code, answer.json()["success"]) == (401, False)


def test_a_database_that_is_away_is_said_in_the_door_s_own_shape(door: httpx.Client) -> None:
    to_connector("postgresql://sivera:s3cr3t-word@127.0.0.1:1/sivera").save(DATABASE, overwrite=True)
    answer = door.get("/metrics")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json() == {"success": False, "message": "The database failed (OperationalError)."}
    with connect() as client:
        document = client.read_block_document_by_name(DATABASE, DATABASE_BLOCK.get_block_type_slug())
        client.delete_block_document(document.id)
    missing = door.get("/metrics")
    assert missing.status_code == 503
    assert "sqlalchemy-connector/sivera-db is missing" in missing.json()["message"]
