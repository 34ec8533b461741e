"""What an operator sees of a run of each job: its name, task runs, tags, counts, page, charts and log lines."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.states import Scheduled
from pydantic import BaseModel

from blocks import names
from blocks.storage import Storage
from flows.backup_data import backup_data
from flows.check_alerts import check_alerts
from flows.check_budgets import check_budgets
from flows.cleanup_expired_tokens import cleanup_expired_tokens
from flows.collect_metrics import collect_metrics
from flows.generate_reports import generate_reports
from flows.refresh_tokens import refresh_tokens
from flows.sync_campaigns import sync_campaigns
from ops.timetable import find_timetable, read_timetable
from sandbox.faults import Fault, FaultKind
from sivera.clock import utc_now
from sivera.history.rules import ANOTHER_INSTANCE
from sivera.reports.options import ReportOptions
from sivera.retention.options import CleanupOptions
from sivera.sync.plan import SyncMode, SyncOptions
from sivera.values import PlatformName
from tests.conftest import eventually
from tests.flows.runs import artifacts, events, read_run, recorded_tags, run, run_as
from tests.prefect_server import PrefectServer, ask
from tests.stage import Stage
from tests.unit.budgets.ledger import Ledger
from tests.unit.reports.books import Books

META = PlatformName.META
HOSTILE = "<img src=x> | [한빛](javascript:x) `a`"
TIMETABLE, _ = read_timetable(find_timetable())


@dataclass(frozen=True)
class Job:
    """A job as this test runs it, and what its run must show.

    `items` are some of its task runs with their tags. `in_chart` is a text of its first chart. A job that runs every
    five minutes has no page and no chart, and a job that takes seconds shows no progress.
    """

    flow: Callable[..., Any]
    options: BaseModel | None = None
    words: str = ""
    items: Mapping[str, Sequence[str]] = field(default_factory=dict)
    in_chart: str = ""
    has_progress: bool = True


def untagged(*items: str) -> dict[str, list[str]]:
    return {item: [] for item in items}


JOBS = {
    names.REFRESH_JOB: Job(refresh_tokens, items={"meta Hanok main": ["meta"]}, in_chart="over 30 days"),
    names.SYNC_JOB: Job(
        sync_campaigns,
        SyncOptions(mode=SyncMode.FULL, platforms=(META,)),
        "full meta",
        items={f"meta {HOSTILE}": ["meta"]},
        in_chart="synced failed put off waiting",
    ),
    names.CLEANUP_JOB: Job(
        cleanup_expired_tokens, CleanupOptions(dry_run=False), items=untagged("sessions"), in_chart="sessions"
    ),
    names.REPORTS_JOB: Job(
        generate_reports, ReportOptions(make_up_days=0), items=untagged("Northwind"), in_chart="incomplete"
    ),
    names.BUDGETS_JOB: Job(check_budgets, items={name: [name] for name in PlatformName}, in_chart="%"),
    names.ALERTS_JOB: Job(check_alerts, items=untagged("check"), has_progress=False),
    names.METRICS_JOB: Job(
        collect_metrics, items=untagged("read-runs", "collect"), in_chart="minutes", has_progress=False
    ),
    names.BACKUP_JOB: Job(backup_data, items=untagged("dump", "check", "drop superfluous"), in_chart="verified"),
}


@pytest.fixture
def furnished(ready: Stage, tmp_path: Path) -> Stage:
    """Work for every job. One of two ad accounts of Meta fails, and both have hostile names."""
    ready.connect(ready.world.add_grant(META, accounts=2, campaigns=2))
    broken = next(iter(ready.world.accounts[META]))
    ready.world.faults.add(Fault(FaultKind.STATUS, META, match=broken, status=400))
    with ready.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ad_accounts SET name = %s", (HOSTILE,))
        connection.exec_driver_sql(
            "INSERT INTO sessions (token_hash, created_at, expires_at) "
            "VALUES ('x', now() - interval '90 days', now() - interval '60 days')"
        )
    for block in (names.REPORTS, names.BACKUPS):
        Storage(url=f"file://{tmp_path / block}").save(block, overwrite=True)
    now = utc_now()
    books = Books(ready.engine, tmp_path / names.REPORTS, now)
    account = books.account(books.team("Northwind"), synced=now - timedelta(days=3))
    books.ran(account, (now - timedelta(days=2)).date(), 10, conversions=1)
    ready.age(timedelta(days=51))
    ledger = Ledger(ready.engine, now)
    account = ledger.account()
    ledger.spend(account, ledger.campaign(account, "100", "lifetime"), "90", now.date() - timedelta(days=1))
    return ready


def due(state: State) -> str:
    """When a run was due, as in its name."""
    expected = read_run(state).expected_start_time
    assert expected
    return f"{expected.astimezone(UTC):%H:%M}"


def charts(page: str) -> list[str]:
    """The text in each picture of a page."""
    found = re.findall(r"!\[[^\]]+\]\(data:image/svg\+xml;base64,([\w+/=]+)\)", page)
    roots = [ET.fromstring(base64.b64decode(picture)) for picture in found]  # noqa: S314 - our own
    return [" ".join(text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")) for root in roots]


def test_every_job_of_the_timetable_is_in_the_list() -> None:
    flows = {deployment.entrypoint.rpartition(".")[2] for deployment in TIMETABLE.deployments}
    assert {flow.replace("_", "-") for flow in flows} == JOBS.keys()


def test_a_run_of_every_job_shows_what_an_operator_looks_for(furnished: Stage, subtests: pytest.Subtests) -> None:
    assert furnished
    pages = {}
    # Run them all first: the server writes events and task runs some seconds later.
    states = {name: run(job.flow, job.options) for name, job in JOBS.items()}
    for name, job in JOBS.items():
        with subtests.test(name):
            state = states[name]
            assert read_run(state).name == " ".join([name, due(state), job.words]).rstrip()
            assert re.search(r"\d", state.message or ""), "the counts"
            task_runs = recorded_tags(state, {*job.items, "publish-summary"})
            assert {item: task_runs[item] for item in job.items} == job.items
            assert not [one for one in task_runs if re.search(r"-[0-9a-f]{3}$", one)], "named by Prefect"
            (finished,) = events(f"sivera.{name}.finished", state)
            assert finished.keys() >= {"success", "totalProcessed", "failed", "state", "message"}
            found = artifacts(state)
            progress = {key: data for key, data in found.items() if key.endswith("-progress")}
            assert bool(progress) == job.has_progress
            assert {*progress.values()} <= {100.0}
            if not job.in_chart:
                assert f"{name}-summary" not in found
                continue
            page = pages[name] = str(found[f"{name}-summary"])
            assert page.startswith(f"## {name}\n")
            assert f"docs/operations.md#{name}`" in page
            assert re.search(r"^\| -", page, re.MULTILINE), "a table"
            assert job.in_chart in charts(page)[0]
    assert "stale-data" in artifacts(states[names.ALERTS_JOB])["check-alerts-open"]
    assert "check-alerts-open" not in artifacts(run(check_alerts)), "nothing has changed"
    assert r"\<img src=x\> \| \[한빛\]\(javascript\:x\) \`a\` |" in pages[names.SYNC_JOB]


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("name", JOBS)
def test_a_run_ends_cancelled_while_another_one_has_a_lock_of_the_job(name: str) -> None:
    (lock,) = {name, names.lock_name(name, META)} & {*names.LOCKS}
    with concurrency(lock, strict=True, max_retries=0):
        state = run(JOBS[name].flow, JOBS[name].options)
    assert (state.name, state.message) == ("Cancelled", ANOTHER_INSTANCE)


def test_a_run_is_named_after_the_time_it_was_due(ready: Stage) -> None:
    assert ready
    at_nine = datetime(2026, 11, 20, 9, 0, tzinfo=ZoneInfo("Asia/Seoul"))
    with get_client(sync_client=True) as client:
        waiting = client.create_flow_run(sync_campaigns, state=Scheduled(scheduled_time=at_nine))
    state = run_as(sync_campaigns, waiting, options=SyncOptions(account_ids=()))
    assert read_run(state).name == "sync-campaigns 00:00 incremental"
    page = str(artifacts(state)["sync-campaigns-summary"])
    assert "0 of 0 accounts synced" in page
    assert charts(page) == [], "a run without work has a page too"


LOGGED = """
from flows.sync_campaigns import sync_campaigns
from sivera.sync.plan import SyncOptions

sync_campaigns(SyncOptions(mode="full", platforms=("meta",)), return_state=True)
"""


def test_log_lines_reach_the_console_as_json_and_prefect_with_their_ids(
    furnished: Stage, prefect_api: PrefectServer
) -> None:
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-P", "-c", LOGGED],
        env={
            **os.environ,
            **prefect_api.environment,
            **TIMETABLE.deployments[0].work_pool.job_variables["env"],
            "SIVERA_LOG_FORMAT": "json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert "Finished in state Failed" in str(lines), "Prefect's own lines are there as well"
    ours = [line for line in lines if line["logger"].startswith("sivera.")]
    assert all({"job", "run_id", "time"} <= line.keys() for line in ours)
    of_accounts = {line["account_id"]: line for line in ours if line["message"].startswith("Account ")}
    ids = {row.id for row in furnished.rows("SELECT id FROM ad_accounts WHERE platform = 'meta'")}
    assert of_accounts.keys() == ids
    assert {(line["level"], line["message"]) for line in of_accounts.values()} == {
        ("INFO", "Account ended"),
        ("WARNING", "Account failed"),
    }
    run_id = next(line["run_id"] for line in ours)

    def of_sync() -> list[dict[str, Any]]:
        found = ask("logs", logs={"flow_run_id": {"any_": [run_id]}}, limit=200)
        rows = [row for row in found if row["name"] == "sivera.sync"]
        assert len(rows) >= len(ids)
        return rows

    rows = eventually(of_sync)
    assert all(row["task_run_id"] and re.match(r"Account \w+ account_id=\d+ ", row["message"]) for row in rows)
