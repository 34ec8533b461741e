"""The sandbox's world: what it is made of, and what a change leaves as it was."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from sandbox.app import create_app
from sandbox.figures import ZERO, Figures
from sandbox.server import KEEP_ALIVE_SECONDS, _server
from sandbox.world import Account, Campaign, World
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import NOW

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
        world.add_grant(platform)
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
    """A campaign's figures of each day, as the world says them now."""
    return {day: world.figures(account, account.campaigns[campaign.id], day) for day in DAYS}


def test_two_worlds_of_one_seed_are_equal_and_those_of_two_seeds_share_only_ids() -> None:
    one, other = contents(filled(3)), contents(filled(4))
    assert one == contents(filled(3), backwards=True)
    assert one.keys() == other.keys()
    shown = [key for key, value in one.items() if isinstance(value, dict) or (" " in key and value != ZERO)]
    assert all(one[key] != other[key] for key in shown)


@pytest.mark.parametrize("state", [CampaignStatus.PAUSED, CampaignStatus.ARCHIVED, CampaignStatus.REMOVED])
def test_a_campaign_that_stops_keeps_its_figures_up_to_that_day(
    world: World, account: Account, state: CampaignStatus
) -> None:
    campaign = next(iter(account.campaigns.values()))
    past = run_of(world, account, campaign)
    world.clock.advance(-timedelta(days=10))
    stopped = account.today(world.clock.now())
    world.change_campaign(META, account.id, campaign.id, state=state)
    world.clock.set(NOW)
    expected = {day: figures if day <= stopped else ZERO for day, figures in past.items()}
    assert expected != past
    assert run_of(world, account, campaign) == expected
    world.change_campaign(META, account.id, campaign.id, state=CampaignStatus.ACTIVE)
    assert run_of(world, account, campaign) == past


def test_a_campaign_that_never_was_active_has_no_figures(world: World, account: Account) -> None:
    paused = [c for c in account.campaigns.values() if c.state is not CampaignStatus.ACTIVE]
    paused.append(world.add_campaign(META, account.id, state=CampaignStatus.PAUSED))
    assert {figures for campaign in paused for figures in run_of(world, account, campaign).values()} == {ZERO}


def test_an_idle_connection_is_closed_by_its_client_first() -> None:
    """If the server closed first, a call could be sent into a closing connection and get no answer."""
    kept = httpx.Limits().keepalive_expiry
    assert kept is not None
    assert _server(create_app(World())).config.timeout_keep_alive == KEEP_ALIVE_SECONDS > 2 * kept
