"""The demo's world: campaigns keep within their budgets, except for the few in its stories."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from ops.stack.demo import TEAMS
from sandbox.accounts import NEVER_RAN, Account, Campaign
from sandbox.figures import ZERO
from sandbox.stories import tell_stories
from sandbox.world import World
from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import PACING, Period, Span, days_of, period_limit, running_days
from sivera.budgets.rules import Reading, reached
from sivera.values import BudgetKind, CampaignStatus, PlatformName, days_between

DAYS = [datetime(2026, 11, 1, 3, tzinfo=UTC), datetime(2026, 11, 30, 22, tzinfo=UTC), datetime(2028, 2, 6, tzinfo=UTC)]


def demo_world(now: datetime, accounts: int = 4) -> World:
    """The world of the demo on a day."""
    world = World(now=now)
    for platform in PlatformName:
        for brand, currency in TEAMS.values():
            world.add_grant(platform, accounts, brand=brand, currency=currency)
    tell_stories(world)
    return world


def accounts_of(world: World) -> list[Account]:
    return [account for of_platform in world.accounts.values() for account in of_platform.values()]


def alerts(world: World) -> Iterator[tuple[PlatformName, Span, list[int]]]:
    """Yield what check-budgets would open alerts about today."""
    for account in accounts_of(world):
        for campaign in account.campaigns.values():
            if campaign.state is CampaignStatus.ACTIVE and campaign.budget_kind is not BudgetKind.LOWER_LEVEL:
                for reading in readings(world, account, campaign):
                    if levels := reached(reading, BudgetOptions().thresholds):
                        yield account.platform, reading.period.span, levels


def readings(world: World, account: Account, campaign: Campaign) -> Iterator[Reading]:
    """Yield what check-budgets reads of a campaign's budget today."""
    today, pacing, budget = account.today(world.clock.now()), PACING[account.platform], campaign.budget

    def reading(span: Span, since: date, limit: Decimal, pace: Decimal | None) -> Reading:
        spends = (world.figures(account, campaign, day).spend for day in days_between(since, today))
        return Reading(
            **dict.fromkeys(("subject", "team", "account", "name", "budget"), ""),
            team_id=1,
            period=Period(span, since, today),
            currency=account.currency,
            limit=limit,
            spent=sum(spends, Decimal(0)),
            pace=pace,
        )

    if campaign.budget_kind is BudgetKind.LIFETIME:
        yield reading(Span.LIFETIME, campaign.start, budget, None)
        return
    since, _ = days_of(pacing.span, today)
    limit = period_limit(pacing, budget, today, campaign.start, campaign.end)
    yield reading(pacing.span, since, limit, budget * running_days(since, today, campaign.start, campaign.end))
    if pacing.day_factor:
        yield reading(Span.DAY, today, budget * pacing.day_factor, budget)


@pytest.mark.parametrize("now", DAYS)
@pytest.mark.parametrize("accounts", [1, 4])
def test_only_the_stories_open_budget_alerts(now: datetime, accounts: int) -> None:
    world = demo_world(now, accounts)
    found = list(alerts(world))
    assert (PlatformName.GOOGLE, Span.DAY, [100, 110]) in found
    assert (PlatformName.META, Span.LIFETIME, [50, 80]) in found
    # Whether the runaway campaign is also ahead of its pace for the month depends on the day.
    assert len(found) - ((PlatformName.GOOGLE, Span.MONTH, [50]) in found) == 2
    ends = [grant.platform for grant in world.grants.values() if grant.data_access_ends]
    assert ends == [PlatformName.META]


def test_the_paused_campaign_has_no_figures_since_then() -> None:
    world = demo_world(DAYS[0])
    ((account, campaign),) = [
        (account, campaign)
        for account in world.accounts[PlatformName.TIKTOK].values()
        for campaign in account.campaigns.values()
        if campaign.state is CampaignStatus.PAUSED and campaign.stopped != NEVER_RAN
    ]
    today = account.today(DAYS[0])
    assert world.figures(account, campaign, today - timedelta(days=1)) == ZERO
    assert any(world.figures(account, campaign, today - timedelta(days=n)) != ZERO for n in (2, 3))


def test_spend_follows_weekdays_and_seasons_and_a_team_has_one_currency() -> None:
    world = demo_world(DAYS[1])
    accounts = accounts_of(world)
    assert {account.currency for account in accounts if account.name.startswith("Northwind")} == {"USD"}

    def spent(days: list[date]) -> Decimal:
        return sum((world.account_spend(account, day) for account in accounts for day in days), Decimal(0)) / len(days)

    november = days_between(date(2026, 11, 1), date(2026, 11, 28))
    weekends = [day for day in november if day.weekday() >= 5]
    assert spent(weekends) < spent([day for day in november if day.weekday() < 5])
    assert spent(days_between(date(2026, 7, 1), date(2026, 7, 28))) < spent(november)
