"""The world of the demo: campaigns keep within their budgets, but for the few that have a story."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from ops.stack.demo import TEAMS
from sandbox.accounts import Account, Campaign
from sandbox.figures import ZERO
from sandbox.stories import tell_stories
from sandbox.world import World
from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import PACING, Period, Span, days_of, period_limit, running_days
from sivera.budgets.rules import Reading, reached
from sivera.values import BudgetKind, CampaignStatus, PlatformName

DAYS = [datetime(2026, 11, 1, 3, tzinfo=UTC), datetime(2026, 11, 30, 22, tzinfo=UTC), datetime(2028, 2, 6, tzinfo=UTC)]


def demo_world(now: datetime, accounts: int = 4) -> World:
    """The world that the demo makes, and a day in it."""
    world = World(now=now)
    for platform in PlatformName:
        for brand, currency in TEAMS.values():
            world.add_grant(platform, accounts, brand=brand, currency=currency)
    tell_stories(world)
    return world


def alerts(world: World) -> Iterator[tuple[PlatformName, Span, list[int]]]:
    """The budgets that are worth an alert today, as check-budgets judges them."""
    for of_platform in world.accounts.values():
        for account in of_platform.values():
            for campaign in account.campaigns.values():
                if campaign.state is CampaignStatus.ACTIVE and campaign.budget_kind is not BudgetKind.LOWER_LEVEL:
                    for span, limit, pace, since in periods(world, account, campaign):
                        if levels := reached(reading(world, account, campaign, span, limit, pace, since), THRESHOLDS):
                            yield account.platform, span, levels


THRESHOLDS = BudgetOptions().thresholds
Judged = tuple[Span, Decimal, Decimal | None, date]


def periods(world: World, account: Account, campaign: Campaign) -> Iterator[Judged]:
    today, pacing = account.today(world.clock.now()), PACING[account.platform]
    if campaign.budget_kind is BudgetKind.LIFETIME:
        yield Span.LIFETIME, campaign.budget, None, campaign.start
        return
    since, _ = days_of(pacing.span, today)
    pace = campaign.budget * running_days(since, today, campaign.start, campaign.end)
    yield pacing.span, period_limit(pacing, campaign.budget, today, campaign.start, campaign.end), pace, since
    if pacing.day_factor:
        yield Span.DAY, campaign.budget * pacing.day_factor, campaign.budget, today


def reading(
    world: World, account: Account, campaign: Campaign, span: Span, limit: Decimal, pace: Decimal | None, since: date
) -> Reading:
    today = account.today(world.clock.now())
    days = [since + timedelta(days=n) for n in range((today - since).days + 1)]
    return Reading(
        subject="",
        team_id=1,
        team="",
        account="",
        name="",
        budget="",
        period=Period(span, since, today),
        currency=account.currency,
        limit=limit,
        spent=sum((world.figures(account, campaign, day).spend for day in days), Decimal(0)),
        pace=pace,
    )


@pytest.mark.parametrize("now", DAYS)
@pytest.mark.parametrize("accounts", [1, 4])
def test_few_budgets_are_worth_an_alert_and_each_has_a_story(now: datetime, accounts: int) -> None:
    world = demo_world(now, accounts)
    found = list(alerts(world))
    assert (PlatformName.GOOGLE, Span.DAY, [100, 110]) in found
    assert (PlatformName.META, Span.LIFETIME, [50, 80]) in found
    # Whether the one that runs away is ahead of its month's pace as well depends on the day.
    assert len(found) - ((PlatformName.GOOGLE, Span.MONTH, [50]) in found) == 2
    ends = [grant.platform for grant in world.grants.values() if grant.data_access_ends]
    assert ends == [PlatformName.META]


def test_a_campaign_that_was_paused_has_no_figures_since() -> None:
    world = demo_world(DAYS[0])
    paused = [
        (account, c)
        for account in world.accounts[PlatformName.TIKTOK].values()
        for c in account.campaigns.values()
        if c.state is CampaignStatus.PAUSED and c.stopped and c.stopped != date.min
    ]
    ((account, campaign),) = paused
    today = account.today(DAYS[0])
    assert world.figures(account, campaign, today - timedelta(days=1)) == ZERO
    assert any(world.figures(account, campaign, today - timedelta(days=n)) != ZERO for n in (2, 3))


def test_spending_has_weekdays_and_a_season_and_a_team_has_one_currency() -> None:
    world = demo_world(DAYS[1])
    accounts = [account for of_platform in world.accounts.values() for account in of_platform.values()]
    assert {account.currency for account in accounts if account.name.startswith("Northwind")} == {"USD"}

    def spent(days: list[date]) -> Decimal:
        return sum((world.account_spend(account, day) for account in accounts for day in days), Decimal(0)) / len(days)

    november = [date(2026, 11, 1) + timedelta(days=n) for n in range(28)]
    weekends = [day for day in november if day.weekday() >= 5]
    assert spent(weekends) < spent([day for day in november if day.weekday() < 5])
    assert spent([date(2026, 7, 1) + timedelta(days=n) for n in range(28)]) < spent(november)
