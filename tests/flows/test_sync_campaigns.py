"""sync-campaigns as a flow: a real Prefect server, the sandbox over real HTTP, real PostgreSQL."""

from datetime import timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from sqlalchemy import text
from sqlalchemy.orm import Session

from blocks.names import SYNC_JOB, lock_name
from flows.sync_campaigns import sync_campaigns
from sandbox.faults import Fault, FaultKind
from sivera.history.rules import SEE
from sivera.sync.plan import SyncMode, SyncOptions
from sivera.sync.queries import read_summary
from sivera.sync.summary import SyncSummary
from sivera.values import PlatformName
from tests.flows.runs import announced, artifacts, flow_run_id, run, wait_for_task_runs
from tests.stage import Stage

FULL = SyncOptions(mode=SyncMode.FULL)


def summary_of(stage: Stage, state: State) -> SyncSummary:
    with Session(stage.engine) as session:
        summary = read_summary(session, flow_run_id(state))
    assert summary is not None
    return summary


def test_every_account_is_a_task_of_its_own_and_is_copied(ready: Stage) -> None:
    ready.connect_all(accounts=2, campaigns=4)
    state = run(sync_campaigns, FULL)
    assert (state.name, state.message) == ("Completed", "8 of 8 accounts synced")
    summary = summary_of(ready, state)
    assert set(summary.platforms) == set(PlatformName)
    assert all(counts.added == 8 for counts in summary.platforms.values())
    assert announced(sync_campaigns, state) == [True, 8, 0]
    names = {row.name for row in ready.rows("SELECT platform || ' ' || name AS name FROM ad_accounts")}
    wait_for_task_runs(state, names)
    assert len(ready.contents()["campaigns"]) == 32


def test_accounts_fail_or_are_put_off_and_the_others_are_finished(ready: Stage) -> None:
    ready.connect_all(accounts=2, campaigns=4)
    broken = next(iter(ready.world.accounts[PlatformName.META]))
    ready.world.faults.add(Fault(FaultKind.STATUS, PlatformName.META, match=broken, status=500))
    ready.world.faults.add(Fault(FaultKind.THROTTLE, PlatformName.AMAZON, "campaigns", seconds=3600))
    grant = next(g for g in ready.world.grants.values() if g.platform is PlatformName.GOOGLE)
    ready.world.revoke_grant(grant.id)
    state = run(sync_campaigns, FULL)
    assert state.name == "Failed"
    message = "3 of 8 accounts synced, 3 failed, 2 put off to the next run"
    assert (state.message or "").startswith(message)
    assert (state.message or "").endswith(f"{SEE}sync-campaigns")
    summary = summary_of(ready, state)
    assert {name: (one.synced, one.put_off) for name, one in summary.platforms.items()} == {
        PlatformName.GOOGLE: (0, 0),
        PlatformName.META: (1, 0),
        PlatformName.AMAZON: (0, 2),
        PlatformName.TIKTOK: (2, 0),
    }
    (failure,) = [one for one in summary.failures if one.platform is PlatformName.META]
    assert "next run tries again" in failure.what
    assert failure.what in str(artifacts(state)["sync-campaigns-failures"])
    assert artifacts(state).keys() == {
        "sync-campaigns-failures",
        "sync-campaigns-progress",
        "sync-campaigns-summary",
    }
    (row,) = ready.rows("SELECT last_error FROM ad_accounts WHERE external_id = :id", id=broken)
    assert row.last_error == failure.what
    again = run(sync_campaigns, FULL.model_copy(update={"platforms": (PlatformName.GOOGLE,)}))
    assert again.message == "0 of 0 accounts synced, 2 waiting for a human to reconnect"


def test_a_platform_that_recovers_during_a_run_is_still_synced(ready: Stage) -> None:
    ready.connect_all(accounts=1, campaigns=4)
    ready.world.faults.add(Fault(FaultKind.THROTTLE, PlatformName.AMAZON, "campaigns", times=1, seconds=2))
    assert run(sync_campaigns, FULL).message == "4 of 4 accounts synced"


def test_a_second_run_ends_cancelled_but_one_of_a_single_account_may_run(ready: Stage) -> None:
    ready.connect_all(accounts=1, campaigns=4)
    with concurrency(lock_name(SYNC_JOB, PlatformName.META), strict=True, max_retries=0):
        state = run(sync_campaigns, FULL)
        assert (state.name, state.message) == ("Cancelled", "Another instance is already running")
        assert run(sync_campaigns, FULL.model_copy(update={"platforms": (PlatformName.GOOGLE,)})).is_completed()
        alone = run(sync_campaigns, FULL.model_copy(update={"account_ids": (1,)}))
        assert alone.message == "1 of 1 account synced"
        assert "data:image" not in str(artifacts(alone)["sync-campaigns-summary"]), "drawing takes half a second"
    assert run(sync_campaigns, FULL).is_completed()


@pytest.mark.usefixtures("ready")
def test_a_lock_or_an_account_that_does_not_exist_is_named() -> None:
    state = run(sync_campaigns, FULL.model_copy(update={"account_ids": (4711,)}))
    assert state.is_failed()
    assert "there is no account 4711" in (state.message or "")
    with get_client(sync_client=True) as client:
        client.delete_global_concurrency_limit_by_name(lock_name(SYNC_JOB, PlatformName.META))
    state = run(sync_campaigns, FULL)
    assert state.is_failed()
    assert "the concurrency limit sync-campaigns-meta does not exist: run `sivera deploy`" in (state.message or "")


def test_a_grant_that_could_not_be_listed_for_long_makes_the_run_red(
    ready: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    ready.connect(ready.world.add_grant(PlatformName.META, campaigns=4))
    ready.world.faults.add(Fault(FaultKind.BODY, PlatformName.META, "accounts", status=400, value={"odd": 1}))
    for hours, name in ((43, "Completed"), (45, "Failed")):
        with ready.engine.begin() as connection:
            ago = {"ago": timedelta(hours=hours)}
            connection.execute(text("UPDATE platform_credentials SET accounts_read_at = now() - :ago"), ago)
            connection.execute(text("UPDATE platform_credentials SET status_since = accounts_read_at"))
            connection.execute(text("UPDATE platform_credentials SET created_at = accounts_read_at"))
        state = run(sync_campaigns, FULL)
        assert state.name == name
        assert (state.message or "").startswith("1 of 1 account synced, the accounts of 1 grant could not be listed")
        assert ("1 of them overdue for more than a day" in (state.message or "")) is (name == "Failed")
        assert announced(sync_campaigns, state) == [name == "Completed", 1, 0]
    logged = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "sivera.jobs"]
    (good, said), (bad, warned) = logged
    assert (good, bad) == ("INFO", "WARNING")
    assert said.startswith("Job finished success=True processed=1 failed=0 mode=full ")
    assert warned.startswith("Job finished success=False processed=1 failed=0 mode=full ")
