"""The sync of an account from the sandbox into PostgreSQL."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from sandbox.accounts import Account
from sandbox.faults import Fault, FaultKind
from sandbox.figures import ZERO
from sandbox.world import World
from sivera.sync.account import sync_account
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.summary import Outcome
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import NOW
from tests.stage import Stage
from tests.unit.sync.syncing import FIGURES, GOOGLE, META, TIKTOK, active, listed, on, one, sync_twice


@on(*PlatformName)
def test_a_full_sync_copies_everything_and_a_second_one_changes_nothing(
    stage: Stage, account: Account, due: DueAccount
) -> None:
    first, campaigns = stage.sync(due), listed(account)
    counts = (first.outcome, first.added, first.changed, first.removed)
    assert counts == (Outcome.SYNCED, len(campaigns), 0, 0), first.reason
    sync_twice(stage, due)
    written = stage.rows("SELECT * FROM campaigns ORDER BY external_id")
    stored = {row.external_id: row for row in written}
    assert {id_: (row.name, row.status, row.budget_currency) for id_, row in stored.items()} == {
        one.id: (one.name, one.state.value, account.currency) for one in campaigns
    }
    assert all(stored[one.id].budget_amount in (one.budget, None) for one in campaigns)
    days = [account.today(stage.now()) - timedelta(days=n) for n in range(14)]
    expected = {
        (campaign.id, day): (figures.impressions, figures.clicks, figures.spend)
        for campaign in account.campaigns.values()
        for day in days
        if (figures := stage.world.figures(account, campaign, day)) != ZERO
        and (campaign.id not in stored or stored[campaign.id].is_reported)
    }
    metrics = stage.rows("SELECT * FROM campaign_daily_metrics WHERE day >= :since", since=days[-1])
    assert {(row.campaign_id, row.day): (row.impressions, row.clicks, row.spend) for row in metrics} == expected
    stage.world.clock.advance(timedelta(minutes=1))
    again = stage.sync(due)
    counted = (again.added, again.changed, again.unchanged, again.removed, again.metric_rows)
    assert counted == (0, 0, len(campaigns), 0, 0)
    assert stage.rows("SELECT * FROM campaigns ORDER BY external_id") == written


@on(META)
def test_a_team_chooses_which_action_counts_as_a_conversion(stage: Stage, due: DueAccount) -> None:
    sums = "SELECT sum(conversions), sum(clicks) FROM campaign_daily_metrics"
    stage.sync(due)
    purchases, clicks = one(stage, sums)
    assert 0 < purchases < clicks
    stage.execute("UPDATE teams SET meta_conversion = 'link_click'")
    stage.sync(due)
    assert one(stage, sums) == (clicks, clicks)


@on(*PlatformName)
def test_an_incremental_sync_copies_changes(stage: Stage, world: World, account: Account, due: DueAccount) -> None:
    sync_twice(stage, due)
    world.clock.advance(timedelta(hours=13))
    campaign, deleted, *_ = [one for one in account.campaigns.values() if one.state is CampaignStatus.ACTIVE]
    world.change_campaign(account.platform, account.id, campaign.id, name="Renamed", budget=Decimal(77))
    new = world.add_campaign(account.platform, account.id)
    world.restate(campaign.id, account.today(world.clock.now()), FIGURES)
    lists_deleted = account.platform in (GOOGLE, TIKTOK)  # Amazon never deletes, and Meta's listing leaves them out
    if lists_deleted:
        world.remove_campaign(account.platform, account.id, deleted.id)
    world.clock.advance(timedelta(minutes=30))
    sync_twice(stage, due, SyncMode.INCREMENTAL)
    found = {row.external_id: row for row in stage.rows("SELECT * FROM campaigns")}
    assert (found[campaign.id].name, found[campaign.id].budget_amount in (77, None)) == ("Renamed", True)
    assert found[deleted.id].status == ("removed" if lists_deleted else "active")
    assert new.id in found
    figures = "SELECT impressions, clicks, spend FROM campaign_daily_metrics WHERE campaign_id = :id AND day = :day"
    today = one(stage, figures, id=campaign.id, day=account.today(world.clock.now()))
    assert today == (FIGURES.impressions, FIGURES.clicks, FIGURES.spend)


@on(TIKTOK)
def test_days_that_were_read_before_an_error_are_stored(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    today = account.today(stage.now())
    world.faults.add(Fault(FaultKind.STATUS, TIKTOK, "metrics", match=f"end_date={today}"))
    result = stage.sync(due, lookback_days=40)
    assert (result.outcome, result.reason.startswith("Metrics:")) == (Outcome.FAILED, True), result
    days = one(stage, "SELECT count(*) > 0, max(day) FROM campaign_daily_metrics")
    covered = one(stage, "SELECT covered_since, covered_until FROM sync_parts WHERE kind = 'metrics'")
    last = today - timedelta(days=10)
    assert (days, covered) == ((True, last), (today - timedelta(days=39), last))


@on(GOOGLE, TIKTOK)
def test_spend_outside_campaigns_is_stored_and_never_counted_twice(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    day = account.today(stage.now()) - timedelta(days=1)
    world.spend_elsewhere(account.id, day, Decimal(40))
    stage.sync(due)
    unattributed = "SELECT unattributed FROM account_daily_totals WHERE day = :day"
    assert one(stage, unattributed, day=day) == (40,)
    (campaign, *_) = stage.rows("SELECT campaign_id AS id, spend FROM campaign_daily_metrics WHERE day = :day", day=day)
    world.restate(campaign.id, day, replace(FIGURES, spend=campaign.spend + 30))
    stage.pass_time(timedelta(hours=1))
    stage.sync(due, SyncMode.INCREMENTAL)
    assert one(stage, unattributed, day=day) == (10,), "the totals have not been read again"


@on(META)
def test_a_sync_never_overwrites_what_a_later_one_stored(stage: Stage, world: World, due: DueAccount) -> None:
    sync_twice(stage, due)
    started = [stage.now()]
    world.clock.advance(timedelta(minutes=5))

    def overtaken(_: datetime) -> datetime:
        if not started:
            return stage.now()
        assert stage.sync(due).outcome is Outcome.SYNCED
        return started.pop()

    result = sync_account(replace(stage.deps(), clock=overtaken), due, SyncMode.FULL)
    assert (result.outcome, result.again_after) == (Outcome.PUT_OFF, 0)
    assert {row.as_of for row in stage.rows("SELECT as_of FROM sync_parts")} == {stage.now()}
    assert {row.last_synced_at for row in stage.rows("SELECT last_synced_at FROM ad_accounts")} == {stage.now()}


@on(META)
def test_a_stored_time_ahead_of_the_clock_is_ignored_and_reported(
    stage: Stage, account: Account, due: DueAccount
) -> None:
    sync_twice(stage, due)
    stage.execute("UPDATE sync_parts SET as_of = as_of + interval '2 days'")
    stage.world.change_campaign(account.platform, account.id, active(account).id, name="Renamed")
    stage.world.clock.advance(timedelta(minutes=10))
    result = stage.sync(due, SyncMode.INCREMENTAL)
    assert (result.outcome, result.changed) == (Outcome.SYNCED, 1)
    assert any("ahead of the database's clock" in note for note in result.notes)
    assert stage.sync(due, SyncMode.INCREMENTAL).notes == ()


@on(META, TIKTOK)
def test_an_unknown_time_zone_is_named_and_does_not_affect_campaigns(
    stage: Stage, account: Account, due: DueAccount
) -> None:
    stage.execute("UPDATE ad_accounts SET timezone = 'Europe'")  # a folder in the time zone database
    result = stage.sync(due, SyncMode.INCREMENTAL)
    assert (result.outcome, result.added) == (Outcome.FAILED, len(listed(account)))
    assert result.reason.startswith(f"Metrics: account {due.id} has the unknown time zone 'Europe'")


def test_an_odd_row_is_left_out_and_named_and_the_others_are_stored(
    stage: Stage, world: World, platform: PlatformName
) -> None:
    account, due = stage.add(platform, campaigns=12)
    sync_twice(stage, due)
    odd = active(account)
    world.faults.add(Fault(FaultKind.ODD_ROW, operation="campaigns", match=odd.id, field="name"))
    (other, *_) = stage.rows(
        "SELECT external_id AS id FROM campaigns WHERE external_id <> :odd AND status <> 'removed' AND "
        "ad_product = (SELECT ad_product FROM campaigns WHERE external_id = :odd)",
        odd=odd.id,
    )
    world.hard_delete_campaign(account.platform, account.id, other.id)
    result = stage.sync(due)
    assert (result.outcome, result.left_out, result.removed) == (Outcome.SYNCED, 1, 0), result
    assert any(odd.id in note for note in result.notes)
    (rows,) = one(stage, "SELECT left_out_rows FROM sync_parts WHERE left_out > 0")
    assert [each["id"] for each in rows] == [odd.id]


@on(GOOGLE, META)
def test_an_hourly_sync_succeeds_if_the_only_changed_campaign_is_odd(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    stage.sync(due)
    odd = active(account)
    stage.pass_time(timedelta(hours=1))
    world.change_campaign(due.platform, account.id, odd.id, name="New")
    field = "campaign.name" if due.platform is GOOGLE else "name"
    world.faults.add(Fault(FaultKind.ODD_ROW, operation="campaigns", match=odd.id, field=field))
    result = stage.sync(due, SyncMode.INCREMENTAL)
    assert (result.outcome, result.left_out > 0) == (Outcome.SYNCED, True), result


def test_metrics_are_stored_by_the_account_s_days(stage: Stage, world: World, platform: PlatformName) -> None:
    # At this hour the next day has started in Seoul, Tokyo and Sydney.
    world.clock.set(NOW.replace(hour=20))
    grant = world.add_grant(platform, accounts=6, campaigns=1)
    stage.connect(grant)
    account = next(one for one in world.accounts_of(grant) if one.today(stage.now()) != stage.now().date())
    for campaign in account.campaigns.values():
        campaign.start = date(2026, 1, 1)
        world.restate(campaign.id, account.today(stage.now()), FIGURES)
    sync_twice(stage, next(due for due in stage.due() if due.name == account.name))
    assert one(stage, "SELECT max(day) FROM campaign_daily_metrics") == (account.today(stage.now()),)
