"""Parts that fail, are put off or rest, and what that means for their account."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from sandbox.accounts import Account
from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.clock import read_clock
from sivera.errors import Unavailable
from sivera.sync.parts import Part, PartKind
from sivera.sync.plan import DueAccount, SyncMode, SyncOptions, plan_sync
from sivera.sync.summary import Outcome, PartSync
from sivera.sync.tally import SyncTally
from tests.stage import Stage
from tests.unit.sync.syncing import AMAZON, GOOGLE, META, active, listed, on, one, sync_twice

METRICS = {META: "metrics", AMAZON: "report-create"}


@pytest.mark.parametrize(
    ("broken", "kind"), [(PartKind.CAMPAIGNS, FaultKind.STATUS), (PartKind.METRICS, FaultKind.TRUNCATED)]
)
def test_a_failed_part_does_not_affect_the_others_and_a_retry_reads_only_that_part(
    stage: Stage, world: World, due: DueAccount, account: Account, broken: PartKind, kind: FaultKind
) -> None:
    sync_twice(stage, due)
    stage.pass_time(timedelta(days=1))
    before = stage.contents()
    campaign = active(account)
    world.change_campaign(account.platform, account.id, campaign.id, name="Renamed")
    is_listed = broken is PartKind.METRICS
    operations = ["campaigns", METRICS[account.platform]]
    failing, other = reversed(operations) if is_listed else operations
    world.faults.add(Fault(kind, operation=failing, status=502))
    ended: dict[Part, PartSync] = {}
    with pytest.raises(Unavailable):
        stage.sync(due, ended=ended, is_last=False)
    synced = "SELECT last_attempt_at = :now, last_synced_at = :now FROM ad_accounts"
    assert one(stage, synced, now=stage.now()) == (True, False), "an account is synced when all of its parts are"
    calls = world.faults.count(account.platform, other)
    result = stage.sync(due, ended=ended)
    assert world.faults.count(account.platform, other) == calls > 0, "the first attempt has read it"
    assert (result.outcome, result.changed) == (Outcome.FAILED, is_listed), "the first attempt's changes count"
    assert broken.value in result.reason.lower()
    trouble = "SELECT consecutive_failures, last_error FROM ad_accounts"
    assert one(stage, trouble) == (1, result.reason), "only the last attempt counts as a failure"
    after = stage.contents()
    assert (after["campaigns"] != before["campaigns"]) is is_listed
    if account.platform is not AMAZON:
        assert (after["metrics"] != before["metrics"]) is not is_listed
    stage.recover()
    assert stage.sync(due).outcome is Outcome.SYNCED
    stage.sync(due)  # Amazon's metrics are read in full once the report has arrived
    assert one(stage, trouble) == (0, None)
    assert one(stage, synced, now=stage.now()) == (True, True)


@on(META)
def test_a_part_that_could_not_be_stored_keeps_its_old_cursor(stage: Stage, account: Account, due: DueAccount) -> None:
    def cut(connection: Connection) -> None:
        event.remove(stage.engine, "commit", cut)
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    event.listen(stage.engine, "commit", cut)
    assert stage.sync(due, SyncMode.INCREMENTAL).outcome is Outcome.FAILED
    assert one(stage, "SELECT as_of, last_ok_at, failures FROM sync_parts WHERE failures > 0") == (None, None, 1)
    assert stage.sync(due, SyncMode.INCREMENTAL).outcome is Outcome.SYNCED
    assert len(stage.rows("SELECT 1 FROM campaigns")) == len(listed(account))


@on(META)
def test_repeated_failures_lead_to_the_slow_lane_until_a_sync_succeeds(
    stage: Stage, world: World, due: DueAccount
) -> None:
    world.faults.add(Fault(FaultKind.STATUS, status=503))
    for attempt in range(1, 4):
        assert stage.due() == [due]
        assert stage.sync(due).outcome is Outcome.FAILED
        assert one(stage, "SELECT consecutive_failures FROM ad_accounts") == (attempt,)
    stage.recover()
    with Session(stage.engine) as session:
        plan = plan_sync(session, SyncOptions(), stage.now())
    assert (plan.due, plan.resting) == ((), 1)
    world.clock.advance(timedelta(hours=2))
    assert stage.due() == [due]
    assert stage.sync(due).outcome is Outcome.SYNCED
    trouble = "SELECT consecutive_failures, last_error, next_attempt_at FROM ad_accounts"
    assert one(stage, trouble) == (0, None, None)
    stage.execute("UPDATE ad_accounts SET next_attempt_at = :at", at=stage.now() + timedelta(hours=25))
    assert stage.due() == [due], "a time further ahead than the slow lane goes is ignored"


@on(META)
def test_a_part_rests_after_three_failures_and_in_full_syncs_after_three_full_ones(
    stage: Stage, world: World, due: DueAccount
) -> None:
    def calls() -> int:
        return world.faults.count(META, "metrics")

    stage.sync(due)
    world.faults.add(Fault(FaultKind.STATUS, META, "metrics", status=503))
    for _ in range(3):
        stage.pass_time(timedelta(hours=1))
        assert stage.sync(due, SyncMode.INCREMENTAL).outcome is Outcome.FAILED
    before = calls()
    assert stage.due() == [due]
    assert (stage.sync(due, SyncMode.INCREMENTAL).outcome, calls()) == (Outcome.SYNCED, before), "campaigns are synced"
    assert stage.rows("SELECT last_error FROM ad_accounts")[0].last_error.startswith("Metrics: ")
    assert stage.sync(due, SyncMode.INCREMENTAL, even_resting=True).outcome is Outcome.FAILED, "asked for by its id"
    for _ in range(3):
        assert stage.sync(due).outcome is Outcome.FAILED
    before = calls()
    assert (stage.sync(due).outcome, calls()) == (Outcome.SYNCED, before)


@on(GOOGLE)
def test_an_hourly_success_does_not_hide_failed_full_syncs(stage: Stage, world: World, due: DueAccount) -> None:
    stage.sync(due)
    full_at = stage.now()
    stage.pass_time(timedelta(hours=23))
    world.faults.add(Fault(FaultKind.STATUS, due.platform, "campaigns", status=500))
    assert stage.sync(due).outcome is Outcome.FAILED
    world.faults.clear()
    assert stage.sync(due, SyncMode.INCREMENTAL).outcome is Outcome.SYNCED
    assert one(stage, "SELECT full_failures, failures FROM sync_parts WHERE kind = 'campaigns'") == (1, 0)
    last, error = one(stage, "SELECT last_full_sync_at, last_error FROM ad_accounts")
    assert last == full_at
    assert error.startswith("Campaigns: "), "the failed full sync is still named"


def test_a_throttled_account_is_put_off_without_more_calls_and_has_failed_after_a_day(
    stage: Stage, world: World, due: DueAccount
) -> None:
    def throttle() -> None:
        stage.recover()
        world.faults.add(Fault(FaultKind.THROTTLE, due.platform, "campaigns", seconds=40))

    for hours in (0, 12, 11):
        stage.pass_time(timedelta(hours=hours))
        throttle()
        assert stage.sync(due).outcome is Outcome.PUT_OFF
    calls = world.faults.count(due.platform, "campaigns")
    assert (stage.sync(due).outcome, world.faults.count(due.platform, "campaigns")) == (Outcome.PUT_OFF, calls)
    stage.pass_time(timedelta(hours=2))
    throttle()
    result = stage.sync(due)
    assert (result.outcome, result.again_after) == (Outcome.FAILED, None)
    assert "It has been put off since 2026-11-20 12:00 UTC" in result.reason
    assert stage.contents()["campaigns"] == []


@on(META)
def test_an_account_that_no_run_reaches_is_counted_and_fails_after_a_day(stage: Stage, due: DueAccount) -> None:
    stage.age(timedelta(days=9))
    stage.execute("UPDATE ad_accounts SET last_attempt_at = now() + interval '2 days'")
    for hours, (unreached, failed) in ((23, (1, 0)), (25, (0, 1))):
        stage.execute("UPDATE ad_accounts SET created_at = now() - make_interval(hours => :hours)", hours=hours)
        with Session(stage.engine) as session:
            plan = plan_sync(session, SyncOptions(), read_clock(session))
        summary = SyncTally(SyncMode.INCREMENTAL, plan).summary()
        assert (summary.put_off, summary.unreached, summary.failed) == (unreached, unreached, failed)
        assert (summary.success, "1 of them not reached" in summary.sentence) == (unreached, unreached)
    (failure,) = summary.failures
    assert failure.account_id == due.id
    assert failure.what.startswith("No run has reached it since 20")
