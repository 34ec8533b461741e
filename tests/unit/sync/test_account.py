"""The sync of an account, from the sandbox over real HTTP into real PostgreSQL, on every platform."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, Row, event
from sqlalchemy.orm import Session

from sandbox.accounts import Account, Campaign
from sandbox.faults import Fault, FaultKind
from sandbox.figures import ZERO, Figures
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.clock import read_clock
from sivera.errors import Unavailable
from sivera.sync.account import sync_account
from sivera.sync.part_queries import approve_removals, parts_by_account, read_target, write_part
from sivera.sync.parts import Part, PartKind, PartState
from sivera.sync.plan import DueAccount, SyncMode, SyncOptions, plan_sync
from sivera.sync.rules import AGREES_AFTER
from sivera.sync.summary import Outcome, PartSync
from sivera.sync.tally import SyncTally
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import NOW
from tests.stage import Stage

FIGURES = Figures(1234, 56, Decimal("78.00"), Decimal(9), Decimal("1011.00"))


GOOGLE, META, AMAZON, TIKTOK = PlatformName


def on(*platforms: PlatformName) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("platform", platforms, indirect=True, ids=str)


@pytest.fixture(params=[META, AMAZON], ids=str)
def platform(request: pytest.FixtureRequest) -> PlatformName:
    """One platform that answers at once, and the one that prepares reports: the others differ in their clients only."""
    platform: PlatformName = request.param
    return platform


@pytest.fixture
def grant(world: World, platform: PlatformName) -> Grant:
    return world.add_grant(platform, accounts=1, campaigns=6)


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


def one(stage: Stage, query: str, **parameters: object) -> tuple[Any, ...]:
    """The only row of a query."""
    (row,) = stage.rows(query, **parameters)
    return tuple(row)


def active(account: Account) -> Campaign:
    return next(c for c in account.campaigns.values() if c.state is CampaignStatus.ACTIVE)


def listed(account: Account) -> list[Campaign]:
    """What the platform lists: Meta leaves out what was deleted."""
    hides = account.platform is META
    return [one for one in account.campaigns.values() if not (hides and one.state is CampaignStatus.REMOVED)]


@on(*PlatformName)
def test_a_full_sync_copies_what_the_platform_has_and_the_next_changes_nothing(
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


def test_a_team_says_which_action_of_meta_is_a_conversion(stage: Stage) -> None:
    _, due = stage.add(META, campaigns=3)
    sums = "SELECT sum(conversions), sum(clicks) FROM campaign_daily_metrics"
    stage.sync(due)
    purchases, clicks = one(stage, sums)
    assert 0 < purchases < clicks
    stage.execute("UPDATE teams SET meta_conversion = 'link_click'")
    stage.sync(due)
    assert one(stage, sums) == (clicks, clicks)


@on(*PlatformName)
def test_an_incremental_sync_brings_what_changed_since(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    sync_twice(stage, due)
    world.clock.advance(timedelta(hours=13))
    campaign, deleted, *_ = [one for one in account.campaigns.values() if one.state is CampaignStatus.ACTIVE]
    world.change_campaign(account.platform, account.id, campaign.id, name="Renamed", budget=Decimal(77))
    new = world.add_campaign(account.platform, account.id)
    world.restate(campaign.id, account.today(world.clock.now()), FIGURES)
    if account.platform in (GOOGLE, TIKTOK):  # nothing is ever deleted at Amazon, and Meta lists nothing that is
        world.remove_campaign(account.platform, account.id, deleted.id)
    world.clock.advance(timedelta(minutes=30))
    sync_twice(stage, due, SyncMode.INCREMENTAL)
    found = {row.external_id: row for row in stage.rows("SELECT * FROM campaigns")}
    assert found[campaign.id].name == "Renamed"
    assert found[campaign.id].budget_amount in (77, None)
    assert found[deleted.id].status == ("removed" if account.platform in (GOOGLE, TIKTOK) else "active")
    assert new.id in found
    figures = "SELECT impressions, clicks, spend FROM campaign_daily_metrics WHERE campaign_id = :id AND day = :day"
    today = one(stage, figures, id=campaign.id, day=account.today(world.clock.now()))
    assert today == (FIGURES.impressions, FIGURES.clicks, FIGURES.spend)


@on(AMAZON)
def test_a_day_that_became_zero_is_deleted_once_a_second_report_agrees(
    stage: Stage, world: World, due: DueAccount
) -> None:
    sync_twice(stage, due)
    (row,) = stage.rows("SELECT campaign_id, day FROM campaign_daily_metrics ORDER BY day DESC, spend DESC LIMIT 1")
    world.restate(row.campaign_id, row.day, ZERO)
    for expected in (1, 0):
        stage.pass_time(timedelta(hours=13))
        sync_twice(stage, due, SyncMode.INCREMENTAL)
        query = "SELECT 1 FROM campaign_daily_metrics WHERE campaign_id = :id AND day = :day"
        assert len(stage.rows(query, id=row.campaign_id, day=row.day)) == expected


def test_a_campaign_that_vanished_is_removed_only_by_a_full_sync(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    sync_twice(stage, due)
    world.hard_delete_campaign(account.platform, account.id, active(account).id)
    world.clock.advance(timedelta(hours=1))
    before = stage.contents()["campaigns"]
    stage.sync(due, SyncMode.INCREMENTAL)
    assert stage.contents()["campaigns"] == before
    assert stage.sync(due, SyncMode.FULL).removed == 1
    assert stage.contents()["campaigns"] != before


HELD = """
    SELECT (SELECT count(missing_since) FROM campaigns),
           (SELECT count(missing_since) FROM campaign_daily_metrics),
           (SELECT count(missing_since) FROM account_daily_totals)"""


@on(META)
def test_a_reading_with_odd_rows_ends_and_holds_no_days_and_a_day_without_spend_ends_at_once(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    campaign, odd, *_ = [one for one in account.campaigns.values() if one.state is CampaignStatus.ACTIVE]
    free, day = (account.today(stage.now()) - timedelta(days=n) for n in (1, 2))
    world.restate(campaign.id, free, replace(FIGURES, spend=Decimal(0)))
    stage.sync(due)
    before = stage.contents()["metrics"]
    world.restate(campaign.id, day, ZERO)
    world.restate(campaign.id, free, ZERO)
    world.faults.add(Fault(FaultKind.ODD_ROW, META, "metrics", match=odd.id, field="clicks", value="many"))
    world.faults.add(Fault(FaultKind.ODD_ROW, META, "totals", match=str(day), field="spend", value="many"))
    assert stage.sync(due).outcome is Outcome.SYNCED
    assert (stage.contents()["metrics"], one(stage, HELD)) == (before, (0, 0, 0))
    world.faults.clear()
    assert stage.sync(due).metric_rows == 1
    assert one(stage, HELD)[:2] == (0, 1)


@on(META)
def test_days_of_deleted_campaigns_stay_if_the_platform_does_not_report_on_them(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    deleted = active(account)
    world.remove_campaign(META, account.id, deleted.id)
    world.restate(deleted.id, account.today(stage.now()) - timedelta(days=1), FIGURES)
    stage.sync(due)
    before = stage.contents()["metrics"]
    body = {"error": {"code": 100, "error_subcode": 1815001, "message": "Invalid parameter"}}
    world.faults.add(Fault(FaultKind.BODY, META, "metrics", match="DELETED", status=400, value=body))
    assert stage.sync(due).outcome is Outcome.SYNCED
    assert (stage.contents()["metrics"], one(stage, HELD)) == (before, (0, 0, 0))


@on(TIKTOK)
def test_days_that_were_read_before_an_error_are_stored(stage: Stage, world: World, account: Account) -> None:
    account, due = stage.add(TIKTOK)
    today = account.today(stage.now())
    world.faults.add(Fault(FaultKind.STATUS, TIKTOK, "metrics", match=f"end_date={today}"))
    result = stage.sync(due, lookback_days=40)
    assert (result.outcome, result.reason.startswith("Metrics:")) == (Outcome.FAILED, True), result
    days = one(stage, "SELECT count(*) > 0, max(day) FROM campaign_daily_metrics")
    covered = one(stage, "SELECT covered_since, covered_until FROM sync_parts WHERE kind = 'metrics'")
    assert (days, covered) == (
        (True, today - timedelta(days=10)),
        (today - timedelta(days=39), today - timedelta(days=10)),
    )


METRICS = {META: "metrics", AMAZON: "report-create"}


@pytest.mark.parametrize(
    ("broken", "kind"), [(PartKind.CAMPAIGNS, FaultKind.STATUS), (PartKind.METRICS, FaultKind.TRUNCATED)]
)
def test_a_part_that_fails_withholds_nothing_of_the_others_which_are_read_once(
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
    calls = world.faults.count(account.platform, other)
    result = stage.sync(due, ended=ended)
    assert world.faults.count(account.platform, other) == calls > 0, "the first attempt has read it"
    assert (result.outcome, result.changed) == (Outcome.FAILED, is_listed), "and that counts"
    assert broken.value in result.reason.lower()
    trouble = "SELECT consecutive_failures, last_error FROM ad_accounts"
    assert one(stage, trouble) == (1, result.reason), "only the last attempt counts"
    after = stage.contents()
    assert (after["campaigns"] != before["campaigns"]) is is_listed
    if account.platform is not AMAZON:
        assert (after["metrics"] != before["metrics"]) is not is_listed
    stage.recover()
    assert stage.sync(due).outcome is Outcome.SYNCED
    stage.sync(due)  # Amazon's metrics are read in full once the report has arrived
    assert one(stage, trouble) == (0, None)


@on(META)
def test_an_account_counts_as_synced_once_all_its_parts_are(stage: Stage, world: World, due: DueAccount) -> None:
    world.faults.add(Fault(FaultKind.STATUS, META, "metrics", status=503))
    with pytest.raises(Unavailable):
        stage.sync(due, is_last=False)
    assert one(stage, "SELECT last_attempt_at, last_synced_at FROM ad_accounts") == (stage.now(), None)


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


# Meta's and TikTok's tokens are not renewed once refused.
@on(GOOGLE)
def test_an_access_token_refused_midway_is_renewed_once(
    stage: Stage, world: World, grant: Grant, due: DueAccount
) -> None:
    world.expire_access(grant.id)
    assert stage.sync(due).outcome is Outcome.SYNCED
    assert world.faults.count(GOOGLE, "token") == 1
    assert one(stage, "SELECT generation, lease_owner FROM platform_credentials") == (2, None)


@on(META)
def test_failures_lead_to_the_slow_lane_and_recovery_is_said_once(stage: Stage, world: World, due: DueAccount) -> None:
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
    assert stage.sync(due).recovered
    assert not stage.sync(due).recovered
    trouble = "SELECT consecutive_failures, last_error, next_attempt_at FROM ad_accounts"
    assert one(stage, trouble) == (0, None, None)
    stage.execute("UPDATE ad_accounts SET next_attempt_at = :at", at=stage.now() + timedelta(hours=25))
    assert stage.due() == [due], "a time further ahead than the slow lane reaches is no time of ours"


@on(META)
def test_a_part_in_the_slow_lane_rests_while_the_other_is_synced(stage: Stage, world: World, due: DueAccount) -> None:
    world.faults.add(Fault(FaultKind.STATUS, due.platform, "metrics", status=503))
    for _ in range(3):
        assert stage.sync(due).outcome is Outcome.FAILED
    calls = world.faults.count(due.platform, "metrics")
    assert stage.due() == [due]
    result = stage.sync(due)
    assert (result.outcome, world.faults.count(due.platform, "metrics")) == (Outcome.SYNCED, calls)
    assert stage.rows("SELECT last_error FROM ad_accounts")[0].last_error.startswith("Metrics: ")
    assert stage.sync(due, even_resting=True).outcome is Outcome.FAILED, "asked for by its id"


@on(AMAZON)
def test_a_profile_without_any_ad_product_fails_and_rests_at_last(
    stage: Stage, account: Account, due: DueAccount
) -> None:
    account.products = ()
    for failures in (1, 2, 3):
        result = stage.sync(due)
        assert result.outcome is Outcome.FAILED
        state = one(stage, "SELECT consecutive_failures, last_error FROM ad_accounts")
        assert state == (failures, result.reason)
    assert stage.due() == []


@on(AMAZON)
def test_a_poll_that_is_refused_is_given_up_and_asked_for_again(stage: Stage, world: World, due: DueAccount) -> None:
    stage.sync(due)
    world.faults.add(Fault(FaultKind.STATUS, due.platform, "report-status", status=403))
    for _ in range(3):
        stage.pass_time(timedelta(minutes=30))
        assert stage.sync(due, SyncMode.INCREMENTAL, even_resting=True).outcome is Outcome.FAILED
    assert one(stage, "SELECT min(failed_collections), count(*) - count(ended_at) FROM report_requests") == (3, 0)
    world.faults.clear()
    written = 0
    for _ in range(2):  # the first asks again, and the platform names the same report
        stage.pass_time(timedelta(minutes=30))
        written += stage.sync(due, SyncMode.INCREMENTAL, even_resting=True).metric_rows
    assert written > 0
    days = "SELECT min(covered_until - covered_since) FROM sync_parts WHERE kind = 'metrics'"
    assert one(stage, days) == (13,), "what was asked for again has all the days of the lost report"


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
    assert one(stage, unattributed, day=day) == (10,), "until the totals are read again"


@on(GOOGLE)
def test_an_hourly_success_does_not_hide_full_syncs_that_fail(stage: Stage, world: World, due: DueAccount) -> None:
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
    assert error.startswith("Campaigns: "), "it is still said"


def test_a_throttled_account_is_put_off_its_siblings_make_no_call_and_after_a_day_it_has_failed(
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
    assert failure.account.id == due.id
    assert failure.reason.startswith("No run has reached it since 20")


def thin_out(world: World, account: Account, keep: int) -> int:
    """Delete campaigns without a trace until so many are left; return how many went."""
    ids = [c.id for c in account.campaigns.values() if c.state is not CampaignStatus.REMOVED]
    for campaign_id in ids[keep:]:
        world.hard_delete_campaign(account.platform, account.id, campaign_id)
    return len(ids) - keep


@pytest.mark.parametrize(("platform", "campaigns", "keep"), [(GOOGLE, 5, 0), (TIKTOK, 36, 4)], indirect=["platform"])
@pytest.mark.parametrize("is_approved", [False, True])
def test_many_vanished_campaigns_stay_until_a_second_listing_agrees_or_a_human(
    stage: Stage, world: World, platform: PlatformName, campaigns: int, keep: int, *, is_approved: bool
) -> None:
    account, due = stage.add(platform, campaigns)
    stage.sync(due)
    every = dict(account.campaigns)
    gone = thin_out(world, account, keep)
    held = stage.sync(due)
    assert (held.outcome, held.removed) == (Outcome.SYNCED, 0)
    assert f"approve-removals {due.id}" in held.notes[0]
    account.campaigns.update(every)
    assert stage.sync(due).changed == gone
    assert one(stage, HELD)[0] == 0, "what is listed again is not missing"
    thin_out(world, account, keep)
    assert stage.sync(due).removed == 0
    if keep and not is_approved:
        kept = next(iter(account.campaigns))
        world.faults.add(Fault(FaultKind.ODD_ROW, platform, "campaigns", match=kept, field="campaign_name"))
        assert f"approve-removals {due.id}" in str(stage.sync(due).notes), "an incomplete listing proves nothing"
        world.faults.clear()
    if is_approved:
        with Session(stage.engine) as session, session.begin():
            assert approve_removals(session, due.id) == gone
        assert stage.sync(due).removed == gone
    else:
        assert stage.sync(due).removed == 0, "a moment later proves nothing"
        stage.pass_time(AGREES_AFTER)
        assert stage.sync(due, SyncMode.INCREMENTAL).removed == gone, "the next hour's run lists everything again"
    assert "approve-removals" not in str(stage.sync(due).notes)


def test_an_approval_that_comes_during_a_sync_is_for_the_next_one(stage: Stage) -> None:
    _, due = stage.add(META, campaigns=3)
    stage.sync(due)
    part = Part(kind=PartKind.CAMPAIGNS)
    with Session(stage.engine) as session, session.begin():
        (known,) = (
            PartState.model_validate(row, from_attributes=True)
            for row in read_target(session, due.id)
            if row.kind == part.kind
        )
        stage.execute("UPDATE sync_parts SET approved = 7")
        assert write_part(session, due.id, part, known, {part: known})
    assert one(stage, "SELECT approved FROM sync_parts WHERE kind = 'campaigns'") == (7,)


def test_deletions_that_the_platform_confirms_are_believed(stage: Stage, world: World) -> None:
    account, due = stage.add(META, campaigns=3)
    stage.sync(due)
    ids = [campaign.id for campaign in listed(account)]
    for campaign_id in ids:
        world.remove_campaign(account.platform, account.id, campaign_id)
    assert stage.sync(due).removed == len(ids)


@on(GOOGLE, META)
def test_a_reply_that_would_erase_days_with_spend_is_held(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    def totals() -> Sequence[Row[Any]]:
        return stage.rows("SELECT day, spend, unattributed FROM account_daily_totals WHERE spend > 0 ORDER BY day")

    stage.sync(due)
    metrics, spent = stage.contents()["metrics"], totals()
    for campaign in account.campaigns.values():
        for n in range(-1, 40):
            world.restate(campaign.id, account.today(stage.now()) - timedelta(days=n), ZERO)
    held = stage.sync(due)
    assert held.outcome is Outcome.SYNCED
    assert [note.partition(":")[0] for note in held.notes if "days with spend" in note] == ["Metrics", "Totals"]
    assert (stage.contents()["metrics"], totals()) == (metrics, spent)
    stage.pass_time(timedelta(hours=1))
    stage.sync(due, SyncMode.INCREMENTAL)
    assert stage.contents()["metrics"] == [], "the second reading agrees, over all days that are held"
    assert totals() == spent, "only full syncs read them"
    stage.sync(due)
    assert not totals()
    assert {row.missing_since for row in stage.rows("SELECT missing_since FROM account_daily_totals")} == {None}


@on(META)
def test_an_odd_total_is_left_out_and_named(stage: Stage, world: World, account: Account, due: DueAccount) -> None:
    day = account.today(stage.now()) - timedelta(days=1)
    world.faults.add(Fault(FaultKind.ODD_ROW, due.platform, match=str(day), field="spend", value="many"))
    result = stage.sync(due)
    assert (result.outcome, result.left_out > 0) == (Outcome.SYNCED, True), result
    assert any(note.startswith(f"Totals: left out {day}") for note in result.notes), result.notes
    assert not stage.rows("SELECT 1 FROM account_daily_totals WHERE day = :day", day=day)


@on(META)
def test_a_fetch_that_began_earlier_never_overwrites_a_later_one(stage: Stage, world: World, due: DueAccount) -> None:
    sync_twice(stage, due)
    began = [stage.now()]
    world.clock.advance(timedelta(minutes=5))

    def overtaken(_: datetime) -> datetime:
        if not began:
            return stage.now()
        assert stage.sync(due).outcome is Outcome.SYNCED
        return began.pop()

    result = sync_account(replace(stage.deps(), clock=overtaken), due, SyncMode.FULL)
    assert (result.outcome, result.again_after) == (Outcome.PUT_OFF, 0)
    assert {row.as_of for row in stage.rows("SELECT as_of FROM sync_parts")} == {stage.now()}
    assert {row.last_synced_at for row in stage.rows("SELECT last_synced_at FROM ad_accounts")} == {stage.now()}


@on(META)
def test_a_stored_time_ahead_of_the_database_s_clock_is_ignored_and_said(
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


@on(TIKTOK)
def test_a_time_zone_that_nobody_knows_is_named_and_campaigns_need_none(stage: Stage, due: DueAccount) -> None:
    stage.execute("UPDATE ad_accounts SET timezone = 'Mars/Olympus'")
    result = stage.sync(due, SyncMode.INCREMENTAL)
    assert (result.outcome, result.added) == (Outcome.FAILED, 6)
    assert f"account {due.id} has the time zone 'Mars/Olympus'" in result.reason


def test_an_odd_row_is_left_out_and_named_and_its_neighbours_are_stored(
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


def test_metric_days_are_days_of_the_account(stage: Stage, world: World, platform: PlatformName) -> None:
    # An hour at which Seoul, Tokyo and Sydney have begun the next day.
    world.clock.set(NOW.replace(hour=20))
    grant = world.add_grant(platform, accounts=6, campaigns=1)
    stage.connect(grant)
    account = next(one for one in world.accounts_of(grant) if one.today(stage.now()) != stage.now().date())
    for campaign in account.campaigns.values():
        campaign.start = date(2026, 1, 1)
        world.restate(campaign.id, account.today(stage.now()), FIGURES)
    sync_twice(stage, next(due for due in stage.due() if due.name == account.name))
    assert one(stage, "SELECT max(day) FROM campaign_daily_metrics") == (account.today(stage.now()),)


@on(AMAZON)
def test_a_sync_without_its_reports_leaves_the_metrics_as_old_as_they_are(
    stage: Stage, world: World, due: DueAccount
) -> None:
    figures = (
        "SELECT min(figures_as_of) AS oldest, max(figures_as_of) AS newest, "
        "(SELECT synced_as_of FROM ad_accounts) FROM sync_parts WHERE kind = 'metrics'"
    )
    begun = stage.now()
    world.report_seconds = 10 * 86_400
    stage.sync(due)
    assert one(stage, figures) == (begun, begun, begun)
    for _ in range(2):
        stage.pass_time(timedelta(hours=3))
        assert stage.sync(due, SyncMode.INCREMENTAL).outcome is Outcome.SYNCED
    assert one(stage, figures) == (begun, begun, stage.now()), "requested again after four hours, and still none came"
    stage.pass_time(timedelta(hours=18))
    late = stage.sync(due, SyncMode.INCREMENTAL)
    assert late.outcome is Outcome.FAILED
    assert "has delivered no report since 2026-11-20 12:00 UTC" in late.reason
    world.report_seconds = 0
    for _ in range(2):
        stage.pass_time(timedelta(hours=6))
        stage.sync(due, SyncMode.INCREMENTAL)
    oldest, newest, _ = one(stage, figures)
    assert begun < oldest <= newest < stage.now(), "as old as what was asked for, not as its collection"


@on(AMAZON)
def test_a_report_that_was_requested_is_stored_before_the_next_request_can_fail(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    second = account.today(stage.now()) - timedelta(days=44 - 31)
    world.faults.add(Fault(FaultKind.STATUS, AMAZON, "report-create", match=f'"startDate":"{second}"'))
    assert stage.sync(due, lookback_days=45).outcome is Outcome.FAILED
    assert one(stage, "SELECT count(*) FROM report_requests") == (len(account.products),)


@on(AMAZON)
def test_a_new_account_without_an_ad_product_counts_as_synced(stage: Stage, account: Account, due: DueAccount) -> None:
    account.products = ("SPONSORED_BRANDS", "SPONSORED_PRODUCTS")
    stage.sync(due)
    assert one(stage, "SELECT last_synced_at, consecutive_failures FROM ad_accounts") == (stage.now(), 0)


@on(AMAZON)
def test_nothing_is_expected_of_a_product_that_an_account_has_not(
    stage: Stage, account: Account, due: DueAccount
) -> None:
    def expected() -> set[str]:
        with Session(stage.engine) as session:
            return {part.ad_product for part in parts_by_account(session)[due.id]}

    sync_twice(stage, due)
    products = account.products
    assert expected() == {"SPONSORED_BRANDS", "SPONSORED_DISPLAY", "SPONSORED_PRODUCTS"}
    of_display = "SELECT covered_since, covered_until FROM sync_parts WHERE kind = 'metrics' AND ad_product = :name"
    since, _ = one(stage, of_display, name="SPONSORED_DISPLAY")
    account.products = ("SPONSORED_BRANDS", "SPONSORED_PRODUCTS")
    stage.pass_time(timedelta(hours=1))
    stage.sync(due)
    assert expected() == set(account.products)
    account.products = products
    stage.pass_time(timedelta(days=20))
    for hours in (0, 1):
        stage.pass_time(timedelta(hours=hours))
        stage.sync(due, SyncMode.INCREMENTAL)
    assert expected() == set(products)
    covered = (since, account.today(stage.now()))
    assert one(stage, of_display, name="SPONSORED_DISPLAY") == covered, "also what was read before it was switched off"


def test_pages_in_another_order_give_the_same_rows(stage: Stage) -> None:
    account, due = stage.add(TIKTOK, campaigns=30)
    stage.sync(due)
    before = stage.contents()
    account._campaigns = dict(reversed(account.campaigns.items()))
    again = stage.sync(due)
    assert (again.added, again.changed, again.removed, again.metric_rows) == (0, 0, 0, 0)
    assert stage.contents() == before
