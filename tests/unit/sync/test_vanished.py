"""Missing campaigns and days. An incomplete reading removes nothing, and large removals need confirmation."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Row
from sqlalchemy.orm import Session

from sandbox.accounts import Account
from sandbox.faults import Fault, FaultKind
from sandbox.figures import ZERO
from sandbox.world import World
from sivera.sync.part_queries import approve_removals, read_target, write_part
from sivera.sync.parts import Part, PartKind, PartState
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.rules import AGREES_AFTER
from sivera.sync.summary import Outcome
from sivera.values import CampaignStatus, PlatformName
from tests.stage import Stage
from tests.unit.sync.syncing import FIGURES, GOOGLE, META, TIKTOK, active, listed, on, one, sync_twice

HELD = """
    SELECT (SELECT count(missing_since) FROM campaigns),
           (SELECT count(missing_since) FROM campaign_daily_metrics),
           (SELECT count(missing_since) FROM account_daily_totals)"""


def test_only_a_full_sync_removes_a_campaign_that_is_gone(
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


@on(META)
def test_a_reading_with_odd_rows_holds_no_days_and_a_day_without_spend_needs_no_confirmation(
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
    result = stage.sync(due)
    assert result.outcome is Outcome.SYNCED
    assert any(note.startswith(f"Totals: left out {day}") for note in result.notes)
    assert (stage.contents()["metrics"], one(stage, HELD)) == (before, (0, 0, 0))
    world.faults.clear()
    assert stage.sync(due).metric_rows == 1
    assert one(stage, HELD)[:2] == (0, 1)


@on(META)
def test_days_of_deleted_campaigns_stay_if_the_platform_no_longer_reports_them(
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


@on(META)
def test_a_hold_ends_when_the_platform_has_everything_again_and_cannot_last_by_a_wrong_clock(
    stage: Stage, world: World, due: DueAccount
) -> None:
    def take_all() -> None:
        for operation in ("campaigns", "metrics", "totals"):
            world.faults.add(Fault(FaultKind.BODY, META, operation, status=200, value={"data": []}))

    stage.sync(due)
    for _ in ("the hold that ends", "the one that stays"):
        world.faults.clear()
        stage.sync(due)
        assert one(stage, HELD) == (0, 0, 0)
        take_all()
        stage.sync(due)
        assert all(one(stage, HELD))
    for table in ("campaigns", "campaign_daily_metrics", "account_daily_totals"):
        stage.execute(f"UPDATE {table} SET missing_since = missing_since + interval '1 year'")  # noqa: S608 - constants
    for _ in ("counts from now", "confirms it"):
        stage.pass_time(timedelta(hours=1))
        stage.sync(due)
    assert one(stage, HELD) == (0, 0, 0)
    assert stage.contents()["metrics"] == []
    assert one(stage, "SELECT sum(spend) FROM account_daily_totals") == (0,)
    assert one(stage, "SELECT count(*) FROM campaigns WHERE status <> 'removed'") == (0,)


def thin_out(world: World, account: Account, keep: int) -> int:
    """Delete campaigns without a trace until `keep` are left. Return how many are gone."""
    ids = [c.id for c in account.campaigns.values() if c.state is not CampaignStatus.REMOVED]
    for campaign_id in ids[keep:]:
        world.hard_delete_campaign(account.platform, account.id, campaign_id)
    return len(ids) - keep


@pytest.mark.parametrize(("platform", "campaigns", "keep"), [(GOOGLE, 5, 0), (TIKTOK, 36, 4)], indirect=["platform"])
@pytest.mark.parametrize("is_approved", [False, True])
def test_many_missing_campaigns_stay_until_a_second_listing_or_a_person_confirms_it(
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


@on(META)
def test_an_approval_during_a_sync_is_kept_for_the_next_one(stage: Stage, due: DueAccount) -> None:
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


@on(META)
def test_deletions_that_the_platform_confirms_are_not_held(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    stage.sync(due)
    ids = [campaign.id for campaign in listed(account)]
    for campaign_id in ids:
        world.remove_campaign(account.platform, account.id, campaign_id)
    assert stage.sync(due).removed == len(ids)


FIGURE_FIELDS = {
    GOOGLE: [f"metrics.{name}" for name in ("impressions", "clicks", "costMicros", "conversions", "conversionsValue")],
    META: ["impressions", "clicks", "spend", "actions", "action_values"],
}


@on(GOOGLE, META)
def test_days_with_spend_are_held_if_a_reply_has_zeros_or_no_rows_for_them(
    stage: Stage, world: World, account: Account, due: DueAccount
) -> None:
    def totals() -> Sequence[Row[Any]]:
        return stage.rows("SELECT day, spend, unattributed FROM account_daily_totals WHERE spend > 0 ORDER BY day")

    stage.sync(due)
    metrics, spent = stage.contents()["metrics"], totals()
    for field, operation in product(FIGURE_FIELDS[due.platform], ("metrics", "totals")):
        value = None if field.startswith("action") else "0"
        world.faults.add(Fault(FaultKind.ODD_ROW, due.platform, operation, field=field, value=value))
    for _ in ("zeros", "no rows"):
        held = stage.sync(due)
        assert [note.partition(":")[0] for note in held.notes if "lacks the spend" in note] == ["Metrics", "Totals"]
        assert (held.outcome, stage.contents()["metrics"], totals()) == (Outcome.SYNCED, metrics, spent)
        world.faults.clear()
        for campaign, n in product(account.campaigns.values(), range(-1, 40)):
            world.restate(campaign.id, account.today(stage.now()) - timedelta(days=n), ZERO)
    stage.pass_time(timedelta(hours=1))
    stage.sync(due, SyncMode.INCREMENTAL)
    assert stage.contents()["metrics"] == [], "the second reading covers all held days and confirms them"
    assert totals() == spent, "only full syncs read totals"
    stage.sync(due)
    assert not totals()
    assert {row.missing_since for row in stage.rows("SELECT missing_since FROM account_daily_totals")} == {None}
