"""The sync of an account, from the sandbox over real HTTP into real PostgreSQL, on every platform."""

import itertools
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.world import ZERO, Account, Campaign, Figures, Grant, World
from sivera.breaker import Breaker
from sivera.errors import ConfigurationError, ReconnectRequired, SiveraError, Unavailable
from sivera.sync.account import record_failure, sync_account
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.rules import RemovalsHeldError
from sivera.sync.summary import Outcome
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import NOW
from tests.stage import Stage

FIGURES = Figures(1234, 56, Decimal("78.00"), Decimal(9), Decimal("1011.00"))


@pytest.fixture(params=list(PlatformName), ids=lambda platform: platform.value)
def platform(request: pytest.FixtureRequest) -> PlatformName:
    platform: PlatformName = request.param
    return platform


@pytest.fixture
def grant(world: World, platform: PlatformName) -> Grant:
    return world.add_grant(platform, accounts=1, campaigns=12)


@pytest.fixture
def account(world: World, grant: Grant) -> Account:
    return world.accounts_of(grant)[0]


@pytest.fixture
def due(stage: Stage, grant: Grant) -> DueAccount:
    stage.connect(grant)
    (due,) = stage.due()
    return due


def sync_twice(stage: Stage, due: DueAccount, mode: SyncMode = SyncMode.FULL) -> None:
    """Sync until nothing is outstanding: a platform that prepares reports has them collected by the second run."""
    for _ in range(2):
        stage.sync(due, mode)


def active(account: Account) -> Campaign:
    return next(c for c in account.campaigns.values() if c.state is CampaignStatus.ACTIVE)


def test_a_full_sync_copies_what_the_platform_has_and_the_next_changes_nothing(
    stage: Stage, account: Account, due: DueAccount
) -> None:
    first = stage.sync(due)
    assert (first.outcome, first.added, first.changed, first.removed) == (Outcome.SYNCED, 12, 0, 0)
    sync_twice(stage, due)
    stored = {row.external_id: row for row in stage.rows("SELECT * FROM campaigns")}
    assert stored.keys() == account.campaigns.keys()
    for campaign in account.campaigns.values():
        assert stored[campaign.id].name == campaign.name
        assert stored[campaign.id].status == campaign.state.value
        assert stored[campaign.id].budget_currency == account.currency
        if stored[campaign.id].budget_amount is not None:
            assert stored[campaign.id].budget_amount == campaign.budget
    now = stage.now()
    days = [account.today(now) - timedelta(days=n) for n in range(14)]
    expected = {
        (campaign.id, day): figures
        for campaign in account.campaigns.values()
        for day in days
        if (figures := stage.world.figures(account, campaign, day)) != ZERO
    }
    metrics = stage.rows("SELECT * FROM campaign_daily_metrics WHERE day >= :since", since=days[-1])
    assert {(row.campaign_id, row.day): (row.impressions, row.clicks, row.spend) for row in metrics} == {
        key: (figures.impressions, figures.clicks, figures.spend) for key, figures in expected.items()
    }
    written = stage.rows("SELECT max(changed_at) AS at, count(*) FROM campaigns")
    stage.world.clock.advance(timedelta(minutes=1))
    again = stage.sync(due)
    assert (again.added, again.changed, again.removed, again.metric_rows) == (0, 0, 0, 0)
    assert again.unchanged == 12
    assert stage.rows("SELECT max(changed_at) AS at, count(*) FROM campaigns") == written


def test_an_incremental_sync_brings_what_changed_since(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    sync_twice(stage, due)
    world.clock.advance(timedelta(hours=1))
    campaign = active(account)
    world.change_campaign(account.platform, account.id, campaign.id, name="Renamed", budget=Decimal(77))
    new = world.add_campaign(account.platform, account.id)
    world.restate(campaign.id, account.today(world.clock.now()), FIGURES)
    world.clock.advance(timedelta(minutes=30))
    sync_twice(stage, due, SyncMode.INCREMENTAL)
    (row,) = stage.rows("SELECT name, budget_amount FROM campaigns WHERE external_id = :id", id=campaign.id)
    assert row.name == "Renamed"
    assert row.budget_amount in (77, None)
    assert stage.rows("SELECT 1 FROM campaigns WHERE external_id = :id", id=new.id)
    (day,) = stage.rows(
        "SELECT impressions, clicks, spend FROM campaign_daily_metrics WHERE campaign_id = :id AND day = :day",
        id=campaign.id,
        day=account.today(world.clock.now()),
    )
    assert tuple(day) == (FIGURES.impressions, FIGURES.clicks, FIGURES.spend)


def test_a_day_that_became_zero_is_deleted(stage: Stage, world: World, due: DueAccount) -> None:
    sync_twice(stage, due)
    (row,) = stage.rows("SELECT campaign_id, day FROM campaign_daily_metrics ORDER BY day DESC LIMIT 1")
    world.restate(row.campaign_id, row.day, ZERO)
    world.clock.advance(timedelta(hours=5))
    sync_twice(stage, due)
    query = "SELECT 1 FROM campaign_daily_metrics WHERE campaign_id = :id AND day = :day"
    assert not stage.rows(query, id=row.campaign_id, day=row.day)


def test_a_campaign_that_vanished_is_removed_only_by_a_full_sync(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    sync_twice(stage, due)
    campaign = active(account)
    world.hard_delete_campaign(account.platform, account.id, campaign.id)
    world.clock.advance(timedelta(hours=1))
    stage.sync(due, SyncMode.INCREMENTAL)
    status = "SELECT status FROM campaigns WHERE external_id = :id"
    assert stage.rows(status, id=campaign.id)[0].status == "active"
    assert stage.sync(due, SyncMode.FULL).removed == 1
    assert stage.rows(status, id=campaign.id)[0].status == "removed"


# Nothing is ever deleted at Amazon.
@pytest.mark.parametrize("platform", sorted(set(PlatformName) - {PlatformName.AMAZON}), indirect=True)
def test_a_campaign_that_its_user_deletes_is_removed(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    sync_twice(stage, due)
    world.clock.advance(timedelta(hours=1))
    campaign = active(account)
    world.remove_campaign(account.platform, account.id, campaign.id)
    world.clock.advance(timedelta(minutes=10))
    assert stage.sync(due, SyncMode.INCREMENTAL).removed == 1
    (row,) = stage.rows("SELECT status FROM campaigns WHERE external_id = :id", id=campaign.id)
    assert row.status == "removed"


def test_a_broken_answer_leaves_the_account_as_it_was(
    stage: Stage, world: World, due: DueAccount, account: Account
) -> None:
    sync_twice(stage, due)
    before = stage.contents(), stage.rows("SELECT * FROM ad_accounts")
    campaign = active(account)
    world.change_campaign(account.platform, account.id, campaign.id, name="Renamed")
    metrics = "metrics"
    if account.platform is PlatformName.AMAZON:
        metrics = "report-create"
        world.clock.advance(timedelta(days=1))
    for kind, operation in itertools.product((FaultKind.STATUS, FaultKind.TRUNCATED), ("campaigns", metrics)):
        stage.breaker = Breaker()
        stage.client.cache_clear()
        world.faults.clear()
        world.faults.add(Fault(kind, operation=operation, status=502))
        with pytest.raises(Unavailable):
            stage.sync(due)
        assert (stage.contents(), stage.rows("SELECT * FROM ad_accounts")) == before, (kind, operation)


def test_a_throttled_account_is_put_off_and_its_siblings_make_no_call(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    world.faults.add(Fault(FaultKind.THROTTLE, account.platform, "campaigns", seconds=40))
    assert stage.sync(due).outcome is Outcome.PUT_OFF
    calls = world.faults.count(account.platform)
    if stage.breaker.seconds_left(account.platform):
        assert stage.sync(due).outcome is Outcome.PUT_OFF
        assert world.faults.count(account.platform) == calls
    assert stage.contents()["campaigns"] == []


def test_a_revoked_grant_waits_for_its_team_and_is_not_asked_again(
    stage: Stage, world: World, grant: Grant, due: DueAccount
) -> None:
    world.revoke_grant(grant.id)
    with pytest.raises(ReconnectRequired):
        stage.sync(due)
    (row,) = stage.rows("SELECT status, status_reason FROM platform_credentials")
    assert row.status in ("reauthorization_required", "revoked")
    assert row.status_reason
    assert stage.due() == []
    world.grants[grant.id].revoked = False
    stage.connect(grant)
    assert stage.due() == [due]
    assert stage.sync(due).outcome is Outcome.SYNCED


# The others' tokens are not renewed once refused.
@pytest.mark.parametrize("platform", [PlatformName.GOOGLE, PlatformName.AMAZON], indirect=True)
def test_an_access_token_refused_midway_is_renewed_once(
    stage: Stage, world: World, grant: Grant, due: DueAccount, account: Account
) -> None:
    world.expire_access(grant.id)
    assert stage.sync(due).outcome is Outcome.SYNCED
    assert world.faults.count(account.platform, "token") == 1
    (row,) = stage.rows("SELECT generation, lease_owner FROM platform_credentials")
    assert tuple(row) == (2, None)


@pytest.mark.parametrize("platform", [PlatformName.META], indirect=True)
def test_failures_lead_to_the_slow_lane_and_recovery_is_said_once(stage: Stage, world: World, due: DueAccount) -> None:
    error: SiveraError = Unavailable(due.platform, "did not answer in time")
    for attempt in range(1, 4):
        assert stage.due() == [due]
        record_failure(stage.engine, due, error, stage.now())
        (row,) = stage.rows("SELECT consecutive_failures, last_error FROM ad_accounts")
        assert row.consecutive_failures == attempt
        assert "did not answer in time" in row.last_error
    assert stage.due() == []
    world.clock.advance(timedelta(hours=2))
    assert stage.due() == [due]
    assert stage.sync(due).recovered
    assert not stage.sync(due).recovered
    (row,) = stage.rows("SELECT consecutive_failures, last_error, next_attempt_at FROM ad_accounts")
    assert tuple(row) == (0, None, None)


def test_too_many_vanished_campaigns_stop_the_account_until_a_human_agrees(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.META, campaigns=40)
    stage.connect(grant)
    (due,) = stage.due()
    stage.sync(due)
    (account,) = world.accounts_of(grant)
    for campaign_id in list(account.campaigns)[:30]:
        world.hard_delete_campaign(PlatformName.META, account.id, campaign_id)
    world.change_campaign(PlatformName.META, account.id, next(iter(account.campaigns)), name="Renamed")
    before = stage.contents()
    with pytest.raises(RemovalsHeldError) as caught:
        stage.sync(due)
    assert stage.contents() == before
    record_failure(stage.engine, due, caught.value, stage.now())
    assert stage.rows("SELECT removals_held FROM ad_accounts")[0].removals_held > 20
    assert stage.sync(due, SyncMode.INCREMENTAL).outcome is Outcome.SYNCED
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ad_accounts SET removals_approved = true")
    held = stage.rows("SELECT removals_held FROM ad_accounts")[0].removals_held
    for campaign_id in [c.id for c in account.campaigns.values() if c.state is not CampaignStatus.REMOVED][:3]:
        world.hard_delete_campaign(PlatformName.META, account.id, campaign_id)
    with pytest.raises(RemovalsHeldError) as more:
        stage.sync(due)
    record_failure(stage.engine, due, more.value, stage.now())
    (row,) = stage.rows("SELECT removals_held, removals_approved FROM ad_accounts")
    assert tuple(row) == (held + 3, False), "what was approved were fewer"
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ad_accounts SET removals_approved = true")
    assert stage.sync(due).removed > 20
    (row,) = stage.rows("SELECT removals_held, removals_approved FROM ad_accounts")
    assert tuple(row) == (None, False)


@pytest.mark.parametrize("platform", [PlatformName.META], indirect=True)
def test_a_fetch_that_began_earlier_never_overwrites_a_later_one(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    sync_twice(stage, due)
    stored = stage.contents()
    late = replace(stage.deps(), now=lambda: stage.now() - timedelta(minutes=5))
    world.change_campaign(account.platform, account.id, active(account).id, name="Renamed")
    result = sync_account(late, due, SyncMode.FULL)
    assert (result.outcome, result.again) == (Outcome.PUT_OFF, True)
    assert stage.contents() == stored


@pytest.mark.parametrize("platform", [PlatformName.META], indirect=True)
def test_a_time_zone_that_nobody_knows_is_named(stage: Stage, due: DueAccount) -> None:
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ad_accounts SET timezone = 'Mars/Olympus'")
    with pytest.raises(ConfigurationError, match=f"account {due.id} has the time zone 'Mars/Olympus'"):
        stage.sync(due)


def test_metric_days_are_days_of_the_account(stage: Stage, world: World, platform: PlatformName) -> None:
    # An hour at which Seoul, Tokyo and Sydney have begun the next day.
    world.clock.set(NOW.replace(hour=20))
    grant = world.add_grant(platform, accounts=6, campaigns=4)
    stage.connect(grant)
    for account in world.accounts_of(grant):
        for campaign in account.campaigns.values():
            campaign.start = date(2026, 1, 1)
            world.restate(campaign.id, account.today(world.clock.now()), FIGURES)
    for due in stage.due():
        sync_twice(stage, due)
    rows = stage.rows(
        "SELECT a.external_id, max(m.day) AS last FROM ad_accounts a JOIN campaign_daily_metrics m "
        "ON m.account_id = a.id GROUP BY 1"
    )
    today = {account.id: account.today(world.clock.now()) for account in world.accounts_of(grant)}
    assert set(today.values()) != {stage.now().date()}
    assert {row.external_id: row.last for row in rows} == today


@pytest.mark.parametrize("platform", [PlatformName.AMAZON], indirect=True)
def test_a_sync_without_its_reports_leaves_the_metrics_as_old_as_they_are(
    stage: Stage, world: World, due: DueAccount
) -> None:
    def as_of() -> tuple[set[datetime], datetime]:
        reports = {row.as_of for row in stage.rows("SELECT as_of FROM report_arrivals")}
        return reports, stage.rows("SELECT synced_as_of FROM ad_accounts")[0].synced_as_of

    begun = stage.now()
    world.report_seconds = 10 * 86_400
    stage.sync(due)
    assert as_of() == ({begun}, begun)
    for _ in range(6):
        stage.pass_time(timedelta(hours=1))
        stage.sync(due, SyncMode.INCREMENTAL)
    assert as_of() == ({begun}, stage.now()), "asked for anew after four hours, and still none came"
    world.report_seconds = 0
    stage.pass_time(timedelta(hours=1))
    stage.sync(due, SyncMode.INCREMENTAL)
    arrived, _ = as_of()
    assert {begun} < arrived | {begun}
    assert all(begun < each < stage.now() for each in arrived), "as old as what was asked for, not as its collection"


@pytest.mark.parametrize("platform", [PlatformName.AMAZON], indirect=True)
def test_nothing_is_expected_of_a_product_that_an_account_has_not(
    stage: Stage, account: Account, due: DueAccount
) -> None:
    sync_twice(stage, due)
    products = "SELECT ad_product FROM report_arrivals ORDER BY 1"
    names = [row.ad_product for row in stage.rows(products)]
    assert names == ["SPONSORED_BRANDS", "SPONSORED_DISPLAY", "SPONSORED_PRODUCTS"]
    account.products = ("SPONSORED_BRANDS", "SPONSORED_PRODUCTS")
    stage.pass_time(timedelta(hours=1))
    stage.sync(due)
    assert [row.ad_product for row in stage.rows(products)] == ["SPONSORED_BRANDS", "SPONSORED_PRODUCTS"]
