"""What happens to the teams of the demo: a few things that a person would want to know of."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from sandbox.figures import ZERO
from sandbox.world import Account, Campaign, Grant, World
from sivera.values import BudgetKind, CampaignStatus, PlatformName

MANY_TIMES = Decimal("2.5")
"""How often a campaign that runs away spends its daily budget. Google may spend it twice on one day."""

GONE = Decimal("0.86")
"""The share of the nearly spent budget that is gone."""

LOGIN_ENDS = timedelta(days=6)


def tell_stories(world: World) -> None:
    """Let things happen to the newest accounts of the world, as of now.

    On Google a campaign runs away since yesterday. On Meta a campaign was paused two days ago, and the data access of
    one grant ends soon. On TikTok a campaign of three weeks has spent most of its lifetime budget.
    """
    account, campaign = _largest(world, PlatformName.GOOGLE, BudgetKind.DAILY)
    today = account.today(world.clock.now())
    usual = next(made for n in range(2, 9) if (made := world.figures(account, campaign, today - timedelta(n))) != ZERO)
    much = usual.times(int(campaign.budget * MANY_TIMES / usual.spend) + 1)
    for day in (today - timedelta(days=1), today):
        world.restate(campaign.id, day, much)

    account, campaign = _largest(world, PlatformName.META, BudgetKind.DAILY)
    world.change_campaign(account.platform, account.id, campaign.id, state=CampaignStatus.PAUSED)
    stopped = account.today(world.clock.now()) - timedelta(days=2)
    world.change_campaign(account.platform, account.id, campaign.id, stopped=stopped)
    last = list(_grants(world, PlatformName.META))[-1]
    last.data_access_ends = world.clock.now() + LOGIN_ENDS

    account, campaign = _largest(world, PlatformName.TIKTOK, BudgetKind.LIFETIME)
    today = account.today(world.clock.now())
    begun = today - timedelta(days=20)
    days = (begun + timedelta(days=n) for n in range(21))
    spent = sum((world.figures(account, campaign, day).spend for day in days), Decimal(0))
    world.change_campaign(
        account.platform,
        account.id,
        campaign.id,
        created=world.clock.now() - timedelta(days=21),
        start=begun,
        end=today + timedelta(days=4),
        budget=(spent / GONE).quantize(Decimal(1)),
    )


def _grants(world: World, platform: PlatformName) -> Iterator[Grant]:
    return (grant for grant in world.grants.values() if grant.platform is platform)


def _largest(world: World, platform: PlatformName, kind: BudgetKind) -> tuple[Account, Campaign]:
    """Return the running campaign with the largest budget of a kind in the first account that has one."""
    for account in world.accounts[platform].values():
        running = [c for c in account.campaigns.values() if c.state is CampaignStatus.ACTIVE and c.budget_kind is kind]
        if running:
            return account, max(running, key=lambda campaign: campaign.budget)
    raise ValueError(f"{platform.value} has no running campaign with a {kind.value} budget.")
