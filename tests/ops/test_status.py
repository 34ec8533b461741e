"""`sivera status` with a real Prefect server and PostgreSQL."""

import json
from datetime import timedelta

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed, Running, Scheduled
from sqlalchemy import text

from blocks.names import TAG
from blocks.server import connect
from flows.collect_metrics import collect_metrics
from sandbox.world import World
from sivera.clock import utc_now
from sivera.metrics.definitions import EXPORTED
from sivera.values import PlatformName
from tests.ops.commands import Sivera
from tests.stage import Stage


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
