"""What an operator sees of runs: their names and tags, and the pages with tables and charts that they leave."""

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.flow_engine import run_flow
from prefect.states import Scheduled

from blocks.names import SYNC_JOB
from flows.cleanup_expired_tokens import cleanup_expired_tokens
from flows.refresh_tokens import refresh_tokens
from flows.sync_campaigns import sync_campaigns
from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.grants.refreshing import RefreshOptions
from sivera.retention.options import CleanupOptions
from sivera.sync.plan import SyncMode, SyncOptions
from sivera.values import PlatformName
from tests.flows.runs import artifacts, flow_run_id, name_of, recorded_tags
from tests.stage import Stage
from tests.unit.retention.attic import Attic

FULL = SyncOptions(mode=SyncMode.FULL)
META = PlatformName.META


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the flows do."""
    return World(seed=7)


def connect_all(stage: Stage) -> None:
    for platform in PlatformName:
        stage.connect(stage.world.add_grant(platform, accounts=2, campaigns=2))


def sync(options: SyncOptions = FULL) -> State:
    state: State = sync_campaigns(options, return_state=True)
    return state


def due(state: State) -> str:
    """When a run was due, as its name has it."""
    with get_client(sync_client=True) as client:
        expected = client.read_flow_run(flow_run_id(state)).expected_start_time
    assert expected
    return f"{expected.astimezone(UTC):%H:%M}"


def page_of(state: State, job: str) -> str:
    page: str = artifacts(state)[f"{job}-summary"]
    return page


def pictures(page: str) -> list[str]:
    """The text of each picture within Markdown, word by word."""
    found = re.findall(r"!\[[^\]]+\]\(data:image/svg\+xml;base64,([\w+/=]+)\)", page)
    return [" ".join(words(base64.b64decode(picture))) for picture in found]


def words(svg: bytes) -> Iterable[str]:
    root = ET.fromstring(svg)  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return (text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text"))


def test_runs_are_called_by_job_time_and_what_tells_them_from_others(ready: Stage) -> None:
    connect_all(ready)
    state = sync(FULL.model_copy(update={"platforms": (META,)}))
    assert name_of(state) == f"sync-campaigns {due(state)} full meta"
    state = sync(SyncOptions(account_ids=(1,)))
    assert name_of(state) == f"sync-campaigns {due(state)} incremental account 1"
    state = refresh_tokens(return_state=True)
    assert name_of(state) == f"refresh-tokens {due(state)}"
    state = cleanup_expired_tokens(return_state=True)
    assert name_of(state) == f"cleanup-expired-tokens {due(state)} dry run"


def test_a_run_that_was_due_at_a_time_is_called_by_that(ready: Stage) -> None:
    connect_all(ready)
    at_nine = datetime(2026, 11, 20, 9, 0, tzinfo=ZoneInfo("Asia/Seoul"))
    with get_client(sync_client=True) as client:
        waiting = client.create_flow_run(sync_campaigns, state=Scheduled(scheduled_time=at_nine))
    state = run_flow(sync_campaigns, flow_run=waiting, parameters={"options": FULL}, return_type="state")
    assert isinstance(state, State)
    assert name_of(state) == "sync-campaigns 00:00 full"


def test_a_task_run_is_called_and_tagged_by_its_account(ready: Stage) -> None:
    connect_all(ready)
    broken = next(iter(ready.world.accounts[META]))
    ready.world.faults.add(Fault(FaultKind.STATUS, META, match=broken, status=500))
    wanted = {f"{row.platform} {row.name}": [row.platform] for row in ready.rows("SELECT * FROM ad_accounts")}
    found = recorded_tags(sync(), wanted.keys())
    assert {name: found[name] for name in wanted} == wanted
    ready.age(timedelta(days=51))
    grants = {f"{p} Hanok main": [p] for p in PlatformName}
    found = recorded_tags(refresh_tokens(RefreshOptions(), return_state=True), grants.keys())
    assert {name: tags for name, tags in found.items() if tags} == grants


def test_a_sync_leaves_a_page_with_its_figures_failures_and_charts(ready: Stage) -> None:
    connect_all(ready)
    assert sync().is_completed()
    broken = next(iter(ready.world.accounts[META]))
    ready.world.faults.add(Fault(FaultKind.STATUS, META, match=broken, status=500))
    with ready.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ad_accounts SET name = '<img src=x> | [한빛](javascript:x) `a`'")
        connection.exec_driver_sql("UPDATE ad_accounts SET last_synced_at = now() - interval '5 hours'")
    page = page_of(sync(), SYNC_JOB)
    assert "7 of 8 accounts synced, 1 failed" in page
    assert re.search(r"^\| meta \| 2 \| 1 \| 1 \| 0 \| 0 \|", page, re.MULTILINE)
    assert r"\<img src=x\> \| \[한빛\]\(javascript\:x\) \`a\` |" in page
    assert "docs/operations.md#sync-campaigns" in page
    by_outcome, by_age = pictures(page)
    assert re.search(r"synced failed put off waiting", by_outcome)
    assert len(re.findall(r"\d\d-\d\d \d\d:\d\d", by_outcome)) == 2
    assert all(platform in by_age for platform in PlatformName)
    assert "3 to 24 h" in by_age


def test_a_refresh_and_a_cleanup_leave_pages_with_charts(ready: Stage) -> None:
    connect_all(ready)
    page = page_of(refresh_tokens(return_state=True), "refresh-tokens")
    (by_life,) = pictures(page)
    assert "over 30 days" in by_life
    attic = Attic(ready.engine)
    attic.fill()
    page = page_of(cleanup_expired_tokens(CleanupOptions(dry_run=False), return_state=True), "cleanup-expired-tokens")
    (deleted,) = pictures(page)
    assert "oauth_states sessions token_refresh_logs" in deleted
    assert re.search(r"^\| oauth\\_states \| 6 \| 0 \|", page, re.MULTILINE)


def test_without_anything_to_do_there_is_a_page_as_well(ready: Stage) -> None:
    assert ready
    page = page_of(sync(), SYNC_JOB)
    assert "0 of 0 accounts synced" in page
    assert pictures(page) == []
