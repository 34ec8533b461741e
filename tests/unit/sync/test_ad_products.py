"""Amazon: ad products are read one by one, and metrics come in reports that a later run collects."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from sandbox.accounts import Account
from sandbox.faults import Fault, FaultKind
from sandbox.figures import ZERO
from sandbox.world import World
from sivera.errors import Unavailable
from sivera.sync.part_queries import parts_by_account
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.summary import Outcome
from tests.stage import Stage
from tests.unit.sync.syncing import AMAZON, on, one, sync_twice


@on(AMAZON)
def test_a_day_that_became_zero_is_deleted_when_a_second_report_agrees(
    stage: Stage, world: World, due: DueAccount
) -> None:
    sync_twice(stage, due)
    (row,) = stage.rows("SELECT campaign_id, day FROM campaign_daily_metrics ORDER BY day DESC, spend DESC LIMIT 1")
    world.restate(row.campaign_id, row.day, ZERO)
    full_at = stage.now()
    for expected in (1, 0):
        stage.pass_time(timedelta(hours=13))
        sync_twice(stage, due, SyncMode.INCREMENTAL)
        query = "SELECT 1 FROM campaign_daily_metrics WHERE campaign_id = :id AND day = :day"
        assert len(stage.rows(query, id=row.campaign_id, day=row.day)) == expected
        full = one(stage, "SELECT max(last_full_at) FROM sync_parts WHERE kind = 'metrics'")
        assert full == (full_at if expected else stage.now(),), "only a report on all days that may change is full"


@on(AMAZON)
def test_a_report_with_refused_polls_is_given_up_and_requested_again(
    stage: Stage, world: World, due: DueAccount
) -> None:
    sync_twice(stage, due)
    stage.pass_time(timedelta(days=1))
    stage.sync(due)
    world.faults.add(Fault(FaultKind.STATUS, due.platform, "report-status", status=403))
    for _ in range(3):
        stage.pass_time(timedelta(minutes=30))
        assert stage.sync(due, SyncMode.INCREMENTAL, even_resting=True).outcome is Outcome.FAILED
    lost = "SELECT min(failed_collections), count(*) - count(ended_at) FROM report_requests WHERE NOT collected"
    assert one(stage, lost) == (3, 0)
    world.faults.clear()
    written = 0
    for _ in range(2):  # the first requests it again, and the platform names the same report
        stage.pass_time(timedelta(minutes=30))
        written += stage.sync(due, SyncMode.INCREMENTAL, even_resting=True).metric_rows
    assert written > 0
    assert stage.rows("SELECT 1 FROM report_requests WHERE NOT collected") == [], "all days of the lost reports"


@on(AMAZON)
def test_metrics_age_until_their_reports_arrive(stage: Stage, world: World, due: DueAccount) -> None:
    figures = (
        "SELECT min(figures_as_of) AS oldest, max(figures_as_of) AS newest, "
        "(SELECT synced_as_of FROM ad_accounts) FROM sync_parts WHERE kind = 'metrics'"
    )
    started = stage.now()
    world.report_seconds = 10 * 86_400
    stage.sync(due)
    assert one(stage, figures) == (started, started, started)
    for _ in range(2):
        stage.pass_time(timedelta(hours=3))
        assert stage.sync(due, SyncMode.INCREMENTAL).outcome is Outcome.SYNCED
    assert one(stage, figures) == (started, started, stage.now()), "reports were requested twice, and none has arrived"
    stage.pass_time(timedelta(hours=18))
    late = stage.sync(due, SyncMode.INCREMENTAL)
    assert late.outcome is Outcome.FAILED
    assert "has delivered no report since 2026-11-20 12:00 UTC" in late.reason
    world.report_seconds = 0
    for _ in range(2):
        stage.pass_time(timedelta(hours=6))
        stage.sync(due, SyncMode.INCREMENTAL)
    parts = stage.rows("SELECT ad_product, figures_as_of FROM sync_parts WHERE kind = 'metrics' ORDER BY 1")
    collected = "SELECT ad_product, max(requested_at) FROM report_requests WHERE collected GROUP BY 1 ORDER BY 1"
    assert parts == stage.rows(collected), "the age counts from the request, not from the collection"
    assert one(stage, figures)[0] > started


@on(AMAZON)
def test_a_request_is_stored_before_the_next_one_can_fail(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    second = account.today(stage.now()) - timedelta(days=44 - 31)
    world.faults.add(Fault(FaultKind.STATUS, AMAZON, "report-create", match=f'"startDate":"{second}"'))
    assert stage.sync(due, lookback_days=45).outcome is Outcome.FAILED
    assert one(stage, "SELECT count(*) FROM report_requests") == (len(account.products),)


@on(AMAZON)
def test_a_profile_without_ad_products_fails_and_rests(stage: Stage, account: Account, due: DueAccount) -> None:
    account.products = ()
    for failures in (1, 2, 3):
        result = stage.sync(due)
        assert result.outcome is Outcome.FAILED
        state = one(stage, "SELECT consecutive_failures, last_error FROM ad_accounts")
        assert state == (failures, result.reason)
    assert stage.due() == []


@on(AMAZON)
def test_no_data_is_expected_of_a_product_that_is_not_enabled(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    def expected() -> set[str]:
        with Session(stage.engine) as session:
            return {part.ad_product for part in parts_by_account(session)[due.id]}

    products, account.products = account.products, ("SPONSORED_BRANDS", "SPONSORED_PRODUCTS")
    stage.sync(due)
    assert one(stage, "SELECT last_synced_at, consecutive_failures FROM ad_accounts") == (stage.now(), 0)
    assert expected() == set(account.products)
    account.products = products
    sync_twice(stage, due)
    assert expected() == {"SPONSORED_BRANDS", "SPONSORED_DISPLAY", "SPONSORED_PRODUCTS"}
    of_display = "SELECT covered_since, covered_until FROM sync_parts WHERE kind = 'metrics' AND ad_product = :name"
    since, _ = one(stage, of_display, name="SPONSORED_DISPLAY")
    account.products = ("SPONSORED_BRANDS", "SPONSORED_PRODUCTS")
    stage.pass_time(timedelta(hours=1))
    stage.sync(due)
    assert expected() == set(account.products)
    assert stage.rows("SELECT 1 FROM report_requests WHERE ad_product = 'SPONSORED_DISPLAY'") == []
    synced = stage.now()
    stage.pass_time(timedelta(hours=1))
    world.faults.add(Fault(FaultKind.STATUS, AMAZON, "campaigns", times=1))
    with pytest.raises(Unavailable):
        stage.sync(due, is_last=False)
    assert one(stage, "SELECT last_synced_at FROM ad_accounts") == (synced,), "the old sync of the product is ignored"
    account.products = products
    stage.pass_time(timedelta(days=20))
    for hours in (0, 1):
        stage.pass_time(timedelta(hours=hours))
        stage.sync(due, SyncMode.INCREMENTAL)
    assert expected() == set(products)
    covered = (since, account.today(stage.now()))
    assert one(stage, of_display, name="SPONSORED_DISPLAY") == covered, (
        "days read before it was switched off still count"
    )
