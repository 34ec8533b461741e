"""Stories of the demo: a few events that a person would want to know about."""

from datetime import timedelta
from decimal import Decimal

from sandbox.accounts import Account, Campaign
from sandbox.figures import ZERO
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.values import BudgetKind, CampaignStatus, PlatformName

MANY_TIMES = Decimal("2.5")
"""The runaway campaign spends this many daily budgets. Google may spend two on one day."""

GONE = Decimal("0.86")
"""The part of the nearly exhausted budget that is spent."""

LOGIN_ENDS = timedelta(days=6)


def tell_stories(world: World) -> None:
    """Add the stories to a world, as of now.

    On Google a campaign has been overspending since yesterday. On TikTok one was paused two days ago. On Meta one has
    spent most of its lifetime budget in three weeks, and a grant's data access ends soon.
    """
    # From midnight, so that a demo restarted on the same day tells the same stories.
    since = world.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    account, campaign = _largest(world, PlatformName.GOOGLE, BudgetKind.DAILY)
    today = account.today(world.clock.now())
    usual = next(made for n in range(2, 9) if (made := world.figures(account, campaign, today - timedelta(n))) != ZERO)
    much = usual.times(int(campaign.budget * MANY_TIMES / usual.spend) + 1)
    for day in (today - timedelta(days=1), today):
        world.restate(campaign.id, day, much)

    account, campaign = _largest(world, PlatformName.TIKTOK, BudgetKind.DAILY)
    world.change_campaign(account.platform, account.id, campaign.id, state=CampaignStatus.PAUSED)
    stopped = account.today(world.clock.now()) - timedelta(days=2)
    world.change_campaign(account.platform, account.id, campaign.id, stopped=stopped, updated=since)

    account, campaign = _largest(world, PlatformName.META, BudgetKind.LIFETIME)
    today = account.today(world.clock.now())
    start = today - timedelta(days=20)
    days = (start + timedelta(days=n) for n in range(21))
    spent = sum((world.figures(account, campaign, day).spend for day in days), Decimal(0))
    world.change_campaign(
        account.platform,
        account.id,
        campaign.id,
        created=since - timedelta(days=21),
        updated=since,
        start=start,
        end=today + timedelta(days=4),
        budget=(spent / GONE).quantize(Decimal(1)),
    )
    _grants(world, PlatformName.META)[-1].data_access_ends = world.clock.now() + LOGIN_ENDS


def _grants(world: World, platform: PlatformName) -> list[Grant]:
    return [grant for grant in world.grants.values() if grant.platform is platform]


def _largest(world: World, platform: PlatformName, kind: BudgetKind) -> tuple[Account, Campaign]:
    """Return the active campaign with the largest budget of a kind, and its account; of the second grant, if any."""
    grant = _grants(world, platform)[:2][-1]
    running = [
        (account, campaign)
        for account in world.accounts_of(grant)
        for campaign in account.campaigns.values()
        if campaign.state is CampaignStatus.ACTIVE and campaign.budget_kind is kind
    ]
    return max(running, key=lambda pair: pair[1].budget)
