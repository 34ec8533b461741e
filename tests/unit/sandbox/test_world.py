"""The world behind the sandbox: what it is made of, and what changing it leaves as it was."""

from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.world import ZERO, Account, Campaign, Figures, World
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import NOW, PATIENCE_SECONDS

META = PlatformName.META
DAYS = [date(2026, 11, 1) + timedelta(days=n) for n in range(20)]


@pytest.fixture
def account(world: World) -> Account:
    """An account of Meta with eight campaigns."""
    return world.accounts_of(world.add_grant(META))[0]


def filled(seed: int) -> World:
    """A world with a grant of each platform."""
    world = World(seed=seed, now=NOW)
    for platform in PlatformName:
        world.add_grant(platform, accounts=3)
    return world


def contents(world: World, *, backwards: bool = False) -> dict[str, Any]:
    """All campaigns and figures of a world by id, asked for in one order or the other."""
    step = -1 if backwards else 1
    found: dict[str, Any] = {}
    for platform in list(PlatformName)[::step]:
        for account in list(world.accounts[platform].values())[::step]:
            for day in DAYS[::step]:
                for campaign in list(account.campaigns.values())[::step]:
                    found[f"{campaign.id} {day}"] = world.figures(account, campaign, day)
                    found[campaign.id] = asdict(campaign)
            found[account.id] = (account.name, account.timezone, account.currency)
    return found


def run_of(world: World, account: Account, campaign: Campaign) -> dict[date, Figures]:
    """What a campaign did on each of the days, as the world says it now."""
    return {day: world.figures(account, account.campaigns[campaign.id], day) for day in DAYS}


def test_two_worlds_of_one_seed_are_equal_whatever_was_asked_first() -> None:
    assert contents(filled(3)) == contents(filled(3), backwards=True)


def test_two_seeds_differ_in_campaigns_and_figures_but_not_in_ids() -> None:
    one, other = contents(filled(3)), contents(filled(4))
    assert one.keys() == other.keys()
    campaigns = [key for key, value in one.items() if isinstance(value, dict)]
    figures = [key for key, value in one.items() if isinstance(value, Figures) and value != ZERO]
    assert all(one[key] != other[key] for key in campaigns)
    assert all(one[key] != other[key] for key in figures)


def test_a_campaign_added_after_a_hard_delete_leaves_the_living_ones_alone(world: World, account: Account) -> None:
    first, *living = account.campaigns.values()
    world.hard_delete_campaign(META, account.id, first.id)
    added = [world.add_campaign(META, account.id) for _ in range(2)]
    assert list(account.campaigns.values()) == [*living, *added]


def test_the_id_of_a_campaign_that_was_hard_deleted_is_not_used_again(world: World, account: Account) -> None:
    gone = world.add_campaign(META, account.id)
    world.hard_delete_campaign(META, account.id, gone.id)
    assert world.add_campaign(META, account.id).id != gone.id


def test_a_campaign_added_before_the_others_were_asked_for_is_one_more(world: World, account: Account) -> None:
    world.add_campaign(META, account.id)
    assert len(account.campaigns) == account.campaign_count == 9


@pytest.mark.parametrize("state", [CampaignStatus.PAUSED, CampaignStatus.ARCHIVED, CampaignStatus.REMOVED])
def test_a_campaign_that_stops_keeps_its_figures(world: World, account: Account, state: CampaignStatus) -> None:
    campaign = next(iter(account.campaigns.values()))
    past = run_of(world, account, campaign)
    assert any(figures != ZERO for figures in past.values())
    world.change_campaign(META, account.id, campaign.id, state=state)
    assert run_of(world, account, campaign) == past


def test_a_campaign_has_no_figures_after_the_day_it_stopped(world: World, account: Account) -> None:
    campaign = next(iter(account.campaigns.values()))
    past = run_of(world, account, campaign)
    world.clock.advance(-timedelta(days=10))
    stopped = account.today(world.clock.now())
    world.change_campaign(META, account.id, campaign.id, state=CampaignStatus.PAUSED)
    world.clock.set(NOW)
    expected = {day: figures if day <= stopped else ZERO for day, figures in past.items()}
    assert expected != past
    assert run_of(world, account, campaign) == expected
    world.change_campaign(META, account.id, campaign.id, state=CampaignStatus.REMOVED, name="Renamed")
    assert run_of(world, account, campaign) == expected
    world.change_campaign(META, account.id, campaign.id, state=CampaignStatus.ACTIVE)
    assert run_of(world, account, campaign) == past


def test_a_campaign_that_never_was_active_has_no_figures(world: World, account: Account) -> None:
    paused = [c for c in account.campaigns.values() if c.state is not CampaignStatus.ACTIVE]
    paused.append(world.add_campaign(META, account.id, state=CampaignStatus.PAUSED))
    assert {figures for campaign in paused for figures in run_of(world, account, campaign).values()} == {ZERO}
    world.change_campaign(META, account.id, paused[0].id, state=CampaignStatus.REMOVED)
    assert set(run_of(world, account, paused[0]).values()) == {ZERO}


def test_only_a_campaign_that_is_there_can_be_restated(world: World, account: Account) -> None:
    campaign, figures = next(iter(account.campaigns.values())), Figures(1, 1, Decimal(1), Decimal(0), Decimal(0))
    world.restate(campaign.id, DAYS[0], figures)
    assert world.figures(account, campaign, DAYS[0]) == figures
    with pytest.raises(KeyError, match="99"):
        world.restate("99", DAYS[0], figures)


def test_a_rotating_grant_needs_a_platform_with_refresh_tokens(world: World) -> None:
    with pytest.raises(ValueError, match="meta has no refresh tokens"):
        world.add_grant(META, rotates=True)
    assert (world.grants, world.accounts[META]) == ({}, {})


def test_a_slow_answer_is_the_right_one_only_later(world: World, account: Account, sandbox: str) -> None:
    token, _ = world.issue_access(world.grants[account.grant_id])
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_SECONDS) as http:
        url = f"{sandbox}/meta/v26.0/act_{account.id}/campaigns"
        right = http.get(url).json()
        world.faults.latency_seconds = 0.05
        world.faults.add(Fault(FaultKind.SLOW, META, times=1, seconds=0.2))
        slow = http.get(url)
        assert slow.json() == right
        # The fault's wait comes after the latency; the server's timers count in whole milliseconds.
        assert slow.elapsed >= timedelta(seconds=0.24)
        world.faults.add(Fault(FaultKind.SLOW, META, times=1))
        with pytest.raises(httpx.ReadTimeout):
            http.get(url, timeout=httpx.Timeout(PATIENCE_SECONDS, read=0.2))
        assert http.get(url).json() == right


def test_a_spent_refresh_token_is_honoured_for_the_leeway_and_no_longer() -> None:
    world = World(now=NOW)
    grant = world.add_grant(PlatformName.AMAZON, rotates=True, leeway=timedelta(minutes=5))
    spent, current = world.issue_refresh(grant), world.issue_refresh(grant)
    world.clock.advance(timedelta(minutes=4))
    assert world.grant_of_refresh(PlatformName.AMAZON, spent) is grant
    world.clock.advance(timedelta(minutes=1))
    assert world.grant_of_refresh(PlatformName.AMAZON, spent) is None
    assert grant.reused
    assert world.grant_of_refresh(PlatformName.AMAZON, current) is None
