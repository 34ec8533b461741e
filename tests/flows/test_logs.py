"""The logs of runs, in a process of their own as a worker starts it: what Prefect keeps, and what its console says."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from tenacity import Retrying, stop_after_delay, wait_fixed

from ops.timetable import find_timetable, read_timetable
from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.retention.options import Kind
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS
from tests.prefect_server import PrefectServer
from tests.stage import Stage
from tests.unit.retention.attic import Attic

META = PlatformName.META

ALL_JOBS = """
from flows.cleanup_expired_tokens import cleanup_expired_tokens
from flows.refresh_tokens import refresh_tokens
from flows.sync_campaigns import sync_campaigns
from sivera.sync.plan import SyncOptions

sync_campaigns(SyncOptions(mode="full"), return_state=True)
refresh_tokens(return_state=True)
cleanup_expired_tokens(return_state=True)
"""


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the flows do."""
    return World(seed=7)


def run(code: str, server: PrefectServer, **settings: str) -> str:
    """Run flows with the environment that the timetable gives to theirs; return what they say on the console."""
    timetable, _ = read_timetable(find_timetable())
    environment = timetable.deployments[0].work_pool.job_variables["env"]
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **server.environment, **environment, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def kept(logger: str, count: int) -> list[dict[str, Any]]:
    """What Prefect keeps of a logger's lines, once there are so many: they are sent a moment later."""
    rows: list[dict[str, Any]] = []
    with get_client(sync_client=True) as client:
        for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(PATIENCE_SECONDS), reraise=True):
            with attempt:
                runs = [str(run.id) for run in client.read_flow_runs()]
                wanted = {"logs": {"flow_run_id": {"any_": runs}}, "limit": 200, "sort": "TIMESTAMP_ASC"}
                found = client.request("POST", "/logs/filter", json=wanted).json()
                rows = [row for row in found if row["name"] == logger]
                assert len(rows) >= count
    return rows


def said(console: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in console.splitlines()]


def counts(lines: list[dict[str, Any]]) -> Mapping[tuple[str, str], int]:
    return Counter((line["level"], line["message"]) for line in lines if line["logger"].startswith("sivera."))


@pytest.fixture
def furnished(ready: Stage) -> Stage:
    """A stage with two accounts on each platform, one of which fails, and rows that have expired."""
    for platform in PlatformName:
        ready.connect(ready.world.add_grant(platform, accounts=2, campaigns=2))
    broken = next(iter(ready.world.accounts[META]))
    ready.world.faults.add(Fault(FaultKind.STATUS, META, match=broken, status=400))
    Attic(ready.engine).fill()
    return ready


def test_what_changed_and_what_failed_reaches_prefect_with_the_ids_of_run_and_account(
    furnished: Stage, prefect_api: PrefectServer
) -> None:
    console = run(ALL_JOBS, prefect_api)
    accounts = kept("sivera.sync", count=8)
    by_id = {str(row.id): row.external_id for row in furnished.rows("SELECT * FROM ad_accounts")}
    fields = [dict(part.split("=", 1) for part in row["message"].split() if "=" in part) for row in accounts]
    assert {line["account_id"] for line in fields} == by_id.keys()
    assert all(row["flow_run_id"] == line["run_id"] for row, line in zip(accounts, fields, strict=True))
    assert {row["level"] for row in accounts} == {20, 30}
    assert all(row["task_run_id"] for row in accounts)
    assert len({row["flow_run_id"] for row in kept("sivera.jobs", count=3)}) == 3
    grants = kept("sivera.grants", count=2)
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(grants[0]["flow_run_id"])).state
    assert state
    assert re.search(rf"\b{len(grants)} grants", state.message or ""), "a line a grant that was due"
    assert all(re.match(r"Grant ended grant_id=\d+ ", row["message"]) for row in grants)
    assert "Account ended account_id=" in console


@pytest.mark.usefixtures("furnished")
def test_as_json_every_line_of_the_console_is_an_object(prefect_api: PrefectServer) -> None:
    lines = said(run(ALL_JOBS, prefect_api, SIVERA_LOG_FORMAT="json", SIVERA_LOG_LEVEL="debug"))
    found = counts(lines)
    assert found["INFO", "Account ended"] == 7
    assert found["WARNING", "Account failed"] == 1
    assert found["INFO", "Kind ended"] == len(Kind)
    assert sum(count for (_, message), count in found.items() if message == "Job finished") == 3
    for line in lines:
        if line["logger"].startswith("sivera."):
            assert {"job", "run_id", "time"} <= line.keys()
        if line["message"].startswith("Account "):
            assert {"account_id", "platform", "name"} <= line.keys()
    assert "Finished in state Completed" in str(lines), "Prefect's own lines are there as well"


@pytest.mark.usefixtures("furnished")
def test_a_level_leaves_out_what_is_below(prefect_api: PrefectServer) -> None:
    found = counts(said(run(ALL_JOBS, prefect_api, SIVERA_LOG_FORMAT="json", SIVERA_LOG_LEVEL="WARNING")))
    assert {level for level, _ in found} == {"WARNING"}
    assert found["WARNING", "Account failed"] == 1
