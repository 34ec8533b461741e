"""The sandbox's world: its seed, what a change keeps, and how tokens end."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from sandbox.accounts import Account, Campaign
from sandbox.app import create_app
from sandbox.figures import ZERO, Figures
from sandbox.server import KEEP_ALIVE_SECONDS, _server
from sandbox.world import World
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import NOW

META = PlatformName.META
DAYS = [date(2026, 11, 1) + timedelta(days=n) for n in range(20)]


@pytest.fixture
def account(world: World) -> Account:
    """A Meta account with eight campaigns."""
    return world.accounts_of(world.add_grant(META))[0]


def filled(seed: int) -> World:
    """A world with a grant of each platform."""
    world = World(seed=seed, now=NOW)
    for platform in PlatformName:
        world.add_grant(platform)
    return world


def contents(world: World, step: int = 1) -> dict[str, Any]:
    """All campaigns and figures of a world by id, requested forwards or (-1) backwards."""
    found: dict[str, Any] = {}
    for account in [account for of_platform in world.accounts.values() for account in of_platform.values()][::step]:
        for campaign in list(account.campaigns.values())[::step]:
            figures = {f"{campaign.id} {day}": world.figures(account, campaign, day) for day in DAYS[::step]}
            found |= figures | {campaign.id: asdict(campaign)}
    return found


def run_of(world: World, account: Account, campaign: Campaign) -> dict[date, Figures]:
    """The figures that a campaign has now, by day."""
    return {day: world.figures(account, account.campaigns[campaign.id], day) for day in DAYS}


def test_worlds_of_the_same_seed_are_equal_and_others_share_only_ids() -> None:
    one, other = contents(filled(3)), contents(filled(4))
    assert one == contents(filled(3), -1)
    assert one.keys() == other.keys()
    shown = [key for key, value in one.items() if isinstance(value, dict) or (" " in key and value != ZERO)]
    assert all(one[key] != other[key] for key in shown)


def test_a_stopped_campaign_keeps_its_figures_up_to_that_day(world: World, account: Account) -> None:
    campaign = next(iter(account.campaigns.values()))
    past = run_of(world, account, campaign)
    world.clock.advance(-timedelta(days=10))
    stopped = account.today(world.clock.now())
    world.change_campaign(META, account.id, campaign.id, state=CampaignStatus.PAUSED)
    world.clock.set(NOW)
    expected = {day: figures if day <= stopped else ZERO for day, figures in past.items()}
    assert expected != past
    assert run_of(world, account, campaign) == expected
    world.change_campaign(META, account.id, campaign.id, state=CampaignStatus.ACTIVE)
    assert run_of(world, account, campaign) == past


def test_a_campaign_that_was_never_active_has_no_figures(world: World, account: Account) -> None:
    paused = [c for c in account.campaigns.values() if c.state is not CampaignStatus.ACTIVE]
    paused.append(world.add_campaign(META, account.id, state=CampaignStatus.PAUSED))
    assert {figures for campaign in paused for figures in run_of(world, account, campaign).values()} == {ZERO}


@pytest.mark.parametrize("platform", PlatformName)
def test_an_access_token_expires_after_its_lifetime(world: World, platform: PlatformName) -> None:
    grant = world.add_grant(platform, rotates=platform is not META)
    token, seconds = world.issue_access(grant)
    assert seconds
    world.clock.advance(timedelta(seconds=seconds - 1))
    assert world.grant_of_access(platform, token) is grant
    world.clock.advance(timedelta(seconds=1))
    assert world.grant_of_access(platform, token) is None


def test_reuse_of_a_refresh_token_revokes_its_grant(world: World) -> None:
    """The tests that interrupt renewals, and those with many processes, rely on this."""
    amazon = PlatformName.AMAZON
    grant = world.add_grant(amazon, rotates=True, leeway=timedelta(minutes=1))
    old, new = world.issue_refresh(grant), world.issue_refresh(grant)
    assert world.grant_of_refresh(amazon, old) is grant
    world.clock.advance(timedelta(minutes=1))
    assert world.grant_of_refresh(amazon, new) is grant
    assert not grant.reused
    assert world.grant_of_refresh(amazon, old) is None
    assert grant.reused
    assert world.grant_of_refresh(amazon, new) is None


def test_the_client_closes_an_idle_connection_first() -> None:
    kept = httpx.Limits().keepalive_expiry
    assert kept is not None
    assert _server(create_app(World())).config.timeout_keep_alive == KEEP_ALIVE_SECONDS > 2 * kept
