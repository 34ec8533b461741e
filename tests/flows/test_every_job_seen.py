"""What an operator sees of a run, job by job, against a real Prefect server: the same list for all eight."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

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
from sandbox.world import World
from sivera.clock import utc_now
from sivera.retention.options import CleanupOptions
from sivera.sync.options import SyncMode, SyncOptions
from sivera.values import PlatformName
from tests.flows.runs import artifacts, name_of, recorded_names
from tests.flows.test_seen import connect_all, due, page_of, pictures
from tests.stage import Stage
from tests.unit.budgets.ledger import Ledger
from tests.unit.reports.books import Books
from tests.unit.retention.attic import Attic

PLATFORMS = {*map(str, PlatformName)}
RUNS: dict[str, Callable[[], Any]] = {
    names.SYNC_JOB: lambda: sync_campaigns(SyncOptions(mode=SyncMode.FULL), return_state=True),
    names.REFRESH_JOB: lambda: refresh_tokens(return_state=True),
    names.CLEANUP_JOB: lambda: cleanup_expired_tokens(CleanupOptions(dry_run=False), return_state=True),
    names.REPORTS_JOB: lambda: generate_reports(return_state=True),
    names.BUDGETS_JOB: lambda: check_budgets(return_state=True),
    names.ALERTS_JOB: lambda: check_alerts(return_state=True),
    names.METRICS_JOB: lambda: collect_metrics(return_state=True),
    names.BACKUP_JOB: lambda: backup_data(return_state=True),
}
ITEMS: dict[str, set[str]] = {
    names.SYNC_JOB: set(),  # the names of accounts, which the test reads
    names.REFRESH_JOB: {"meta Hanok main"},
    names.CLEANUP_JOB: {"oauth_states", "sessions", "token_refresh_logs"},
    names.REPORTS_JOB: {"Northwind"},
    names.BUDGETS_JOB: {*PLATFORMS, "team-budgets"},
    names.ALERTS_JOB: {"check", "publish-events"},
    names.METRICS_JOB: {"read-runs", "collect"},
    names.BACKUP_JOB: {"dump", "check", "drop superfluous"},
}
"""Some of the names that task runs have."""

LIGHT = {names.ALERTS_JOB}
"""Runs every five minutes: a table, where it has changed, and neither page nor chart."""

AT_ONCE = {names.ALERTS_JOB, names.METRICS_JOB}
"""Take seconds: no progress to look at."""

TIMETABLE, _ = read_timetable(find_timetable())


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the flows do."""
    return World(seed=7)


@pytest.fixture
def furnished(ready: Stage, tmp_path: Path) -> Stage:
    """Something to do for every job."""
    connect_all(ready)
    ready.age(timedelta(days=51))
    Attic(ready.engine).fill()
    for block in (names.REPORTS, names.BACKUPS):
        Storage(url=f"file://{tmp_path / block}").save(block, overwrite=True)
    books = Books(ready.engine, tmp_path / names.REPORTS, utc_now())
    account = books.account(books.team("Northwind", "UTC"), timezone="UTC", synced=utc_now())
    books.ran(account, (utc_now() - timedelta(days=2)).date(), 10, conversions=1)
    ledger = Ledger(ready.engine, utc_now())
    account = ledger.account()
    ledger.spend(account, ledger.campaign(account, "100", "lifetime"), "90", utc_now().date() - timedelta(days=1))
    return ready


def test_the_list_has_every_job() -> None:
    flows = {deployment.entrypoint.rpartition(".")[2] for deployment in TIMETABLE.deployments}
    assert {flow.replace("_", "-") for flow in flows} == RUNS.keys()


@pytest.mark.parametrize("job", RUNS)
def test_a_deployment_is_tagged_and_says_where_the_guide_speaks_of_it(job: str) -> None:
    guide = Path(__file__).parents[2] / "docs" / "operations.md"
    for one in TIMETABLE.deployments:
        if one.entrypoint.endswith(f".{job.replace('-', '_')}"):
            assert {"sivera", job} <= {*one.tags}
            assert len({"tier-1", "tier-2"} & {*one.tags}) == 1
            assert {*one.tags} & PLATFORMS == {one.name} & PLATFORMS
            (anchor,) = re.findall(r"docs/operations\.md#([\w-]+)\.$", one.description or "")
            assert f'<a id="{anchor}"></a>' in guide.read_text()


@pytest.mark.parametrize("job", RUNS)
def test_a_run_has_all_that_an_operator_looks_for(furnished: Stage, job: str) -> None:
    connected = {f"{row.platform} {row.name}" for row in furnished.rows("SELECT platform, name FROM ad_accounts")}
    items = ITEMS[job] or connected
    state: State = RUNS[job]()
    assert name_of(state).startswith(f"{job} {due(state)}")
    assert re.search(r"\d", state.message or ""), "the counts"
    task_runs = recorded_names(state, items | {"publish-summary"})
    assert task_runs >= items
    assert not [name for name in task_runs if re.search(r"-[0-9a-f]{3}$", name)], "named by Prefect"
    found = artifacts(state)
    progress = {key: data for key, data in found.items() if key.endswith("-progress")}
    assert bool(progress) == (job not in AT_ONCE)
    assert {*progress.values()} <= {100.0}
    if job in LIGHT:
        assert "stale-data" in found["check-alerts-open"]
        assert "check-alerts-open" not in artifacts(RUNS[job]()), "nothing has changed"
        return
    page = page_of(state, job)
    assert page.startswith(f"## {job}\n")
    assert f"docs/operations.md#{job}`" in page
    assert re.search(r"^\| -", page, re.MULTILINE), "a table"
    assert pictures(page), "a chart"
