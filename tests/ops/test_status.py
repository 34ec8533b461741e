"""`sivera status` with a real Prefect server and PostgreSQL."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed, Running, Scheduled

from blocks.names import TAG, WORK_POOL
from blocks.server import connect
from flows.check_alerts import check_alerts
from flows.collect_metrics import collect_metrics
from sivera.alerts.conditions import REMEDIES, Kind
from sivera.clock import utc_now
from sivera.metrics.definitions import EXPORTED
from sivera.values import PlatformName
from tests.ops.commands import Sivera
from tests.prefect_server import set_states
from tests.stage import Stage
from tests.unit.tables import Tables

NOT_REACHED = f"No run has got to it. {REMEDIES[Kind.JOB_MISSED]}"


@pytest.fixture
def jobs(ready: Stage) -> Stage:
    """A stage with a deployed job, and accounts that were never synced."""
    ready.connect(ready.world.add_grant(PlatformName.META, accounts=3))
    deploy(collect_metrics)
    return ready


def deploy(flow: Flow[..., Any], **options: int) -> None:
    with connect() as client:
        client.create_deployment(
            client.create_flow(flow),
            name="all",
            tags=[TAG],
            schedules=[],
            parameters={"options": options},
            work_pool_name=WORK_POOL,
        )


def add_run(*states: State, at: datetime | None = None) -> None:
    with connect() as client:
        due: State = Scheduled(scheduled_time=at or utc_now() - timedelta(minutes=5))
        deployment = client.read_deployment_by_name("collect-metrics/all")
        set_states(client.create_flow_run_from_deployment(deployment.id, state=due), *states)


def row_of_job(out: str) -> str:
    (row,) = [line for line in out.splitlines() if line.startswith("collect-metrics ")]
    return row


@pytest.mark.usefixtures("jobs")
def test_a_healthy_status_says_so_first(sivera: Sivera) -> None:
    at = utc_now() + timedelta(hours=2)
    add_run(at=at)
    row = row_of_job(sivera("status").out)
    assert row.split()[1] == "never"
    assert row.endswith(f"{at:%Y-%m-%d %H:%M}")
    add_run(Running(), Completed())
    code, out, _ = sivera("status")
    assert code == 0, out
    first, *rest = out.splitlines()
    assert first.endswith(" UTC: nothing needs attention")
    assert "completed" in row_of_job(out)
    assert " 5 min " in row_of_job(out)
    assert any(line.split() == ["meta", "1", "0", "3", "0", "0", "0"] for line in rest)
    assert any(line.split() == ["google", "0", "0", "100%", "calls", "a", "day"] for line in rest)
    assert "Hanok" not in out


def test_what_needs_attention_comes_first(jobs: Stage, sivera: Sivera, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.connect(jobs.world.add_grant(PlatformName.TIKTOK))
    add_run(Running(), Completed())
    add_run(Running(), Failed(message="the database failed"))
    add_run(Cancelled(message="Another instance is already running"))
    jobs.execute("UPDATE ad_accounts SET created_at = now() - interval '5 hours'")
    jobs.execute("UPDATE platform_credentials SET status_since = now() - interval '5 hours'")
    jobs.execute("UPDATE platform_credentials SET status = 'revoked' WHERE platform = 'tiktok'")
    calls = "INSERT INTO platform_calls (run_id, platform, api, login, throttled) "
    jobs.execute(f"{calls} VALUES (gen_random_uuid(), 'google', 2700, 5, 1)")
    Tables(jobs.engine).add_alert("a", title="a failed", message="It did.")
    code, out, _ = sivera("status")
    assert code == 1
    first, failed, *rest = out.splitlines()
    assert first.endswith(" UTC: this needs attention")
    assert failed.startswith("  ! collect-metrics/all failed: The database failed. ")
    assert failed.endswith(" See docs/operations.md#collect-metrics.")
    assert re.match(r"  ! tiktok grant \d+ \(main\) of team Hanok must be connected again: .* says how\.$", rest[0])
    assert [line.rpartition("team Hanok")[2] for line in rest[1:4]] == [f" was not synced: {NOT_REACHED}"] * 3
    assert rest[4] == ""
    of_database = sivera("status", "--database").out.splitlines()
    assert of_database[1:7] == ["  ! a failed: It did.", *rest[:5]], "it has the result of the last check-alerts"

    monkeypatch.setenv("SIVERA_DAILY_CALLS", '{"google": 2880}')
    code, out, _ = sivera("status", "--json")
    status = json.loads(out)
    assert (code, len(status["attention"])) == (1, 6)
    assert status["attention"][-1] == "google has only 6% of its calls a day left: calls wait until it allows more"
    (job,) = status["jobs"]
    assert (job["name"], job["last"]["outcome"], job["next_at"]) == ("collect-metrics", "failed", None)
    names = {sample["name"] for sample in status["figures"]["samples"]}
    assert names <= {metric.name for metric in EXPORTED}
    assert {"sivera_grants", "sivera_sync_age_seconds", "sivera_table_rows"} <= names
    deploy(check_alerts, stale_hours=6)
    assert "was not synced" not in sivera("status").out, "the operator raised the limit of check-alerts"
    monkeypatch.setenv("SIVERA_DAILY_CALLS", "many")
    assert "SIVERA_DAILY_CALLS is invalid" in sivera("status").refusal
