"""Ad accounts and their campaigns, independent of any platform. A seed and their number determine them."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from zoneinfo import ZoneInfo

from sandbox.facts import FACTS, SPONSORED_BRANDS
from sandbox.figures import WHOLE_CURRENCIES, Habits, make_habits, make_rng
from sandbox.tokens import Grant
from sivera.values import BudgetKind, CampaignStatus, PlatformName

EPOCH = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
"""When the first campaigns were created: long before the `now` of any test, so no figure depends on the current day."""

LOCALES = (
    ("Asia/Seoul", "KRW"),
    ("America/New_York", "USD"),
    ("Europe/Berlin", "EUR"),
    ("Asia/Tokyo", "JPY"),
    ("Asia/Taipei", "TWD"),
    ("Australia/Sydney", "AUD"),
)
BRANDS = ("Hanok", "Lumen", "Orbit", "Cedar", "Mirae", "Boreal", "Nari", "Quill")
THEMES = ("Spring sale", "Brand", "Retargeting", "New arrivals", "Clearance", "Lookalike", "Launch", "Loyalty")
RUNNING = (*[CampaignStatus.ACTIVE] * 4, *[CampaignStatus.PAUSED] * 2)

DAYS_OF_LIFETIME = 1_500
"""A lifetime budget lasts at least this long, so little of it is spent whenever the sandbox starts."""

NEVER_RAN = date.min


@dataclass
class Campaign:
    """A campaign. `state` is ACTIVE, PAUSED, ARCHIVED or REMOVED, and `budget` is in major units.

    `stopped` is the last day it ran: None while it is ACTIVE, `NEVER_RAN` if it never was. Amazon has no report rows
    for Sponsored Brands campaigns with a `single_ad_group`.
    """

    id: str
    name: str
    state: CampaignStatus
    product: str
    budget_kind: BudgetKind
    budget: Decimal
    budget_id: str
    created: datetime
    updated: datetime
    start: date
    habits: Habits
    end: date | None = None
    stopped: date | None = None
    single_ad_group: bool = False


@dataclass
class Account:
    """An ad account. Google uses `manager_id`; Amazon uses `region` and the enabled `products`.

    `campaign_count` includes deleted campaigns. TikTok uses the other three: `unlisted_spend` is the daily spend of a
    GMV Max campaign, which only the advertiser's total includes. `ads` counts the ads of campaigns that have more than
    one. `info_code` is the code with which `advertiser/info` refuses every call that names the account; 0 leaves the
    account out of the answer instead.
    """

    platform: PlatformName
    id: str
    name: str
    timezone: str
    currency: str
    grant_id: int
    index: int
    campaign_count: int
    seed: int = 0
    manager_id: str | None = None
    region: str | None = None
    closed: bool = False
    products: tuple[str, ...] = ()
    unlisted_spend: Decimal = Decimal(0)
    ads: dict[str, int] = field(default_factory=dict)
    info_code: int | None = None

    @cached_property
    def campaigns(self) -> dict[str, Campaign]:
        """The account's campaigns by id, including removed ones."""
        return {c.id: c for c in (make_campaign(self, i) for i in range(self.campaign_count))}

    def today(self, now: datetime) -> date:
        """Return the date in the account's time zone."""
        return now.astimezone(ZoneInfo(self.timezone)).date()


def make_account(seed: int, grant: Grant, index: int, campaigns: int, brand: str, currency: str) -> Account:
    """Return a grant's account with this number; an empty brand or currency is chosen by the seed."""
    platform, facts = grant.platform, FACTS[grant.platform]
    rng = make_rng(seed, platform, index)
    timezone, currency = rng.choice([locale for locale in LOCALES if currency in ("", locale[1])])
    has_unlisted = facts.unlisted_every and (index + 1) % facts.unlisted_every == 0
    return Account(
        platform=platform,
        id=str(facts.first_account + facts.account_step * index),
        name=f"{brand or rng.choice(BRANDS)} {platform.value.title()} {index + 1}",
        timezone=timezone,
        currency=currency,
        grant_id=grant.id,
        seed=seed,
        index=index,
        campaign_count=campaigns,
        manager_id=grant.manager_id,
        region=facts.regions.get(currency),
        products=facts.products,
        unlisted_spend=Decimal("24.5") * unit_of(currency) if has_unlisted else Decimal(0),
    )


def make_campaign(account: Account, index: int) -> Campaign:
    """Return an account's campaign with this number."""
    facts, rng = FACTS[account.platform], make_rng(account.seed, account.platform, account.id, index)
    states = (*RUNNING, *facts.stopped)
    state, kind = states[index % len(states)], facts.budgets[index % len(facts.budgets)]
    product = account.products[index % len(account.products)]
    created = EPOCH + timedelta(minutes=rng.randrange(60 * 24 * 100))
    # Campaigns that share a budget have the same amount, and divide it among themselves.
    daily, sharing = (50, 4) if kind is BudgetKind.SHARED else (rng.randrange(5, 200), 1)
    days = DAYS_OF_LIFETIME if kind is BudgetKind.LIFETIME else 1
    number = account.index * 10_000 + index
    return Campaign(
        id=str(facts.first_campaign + number),
        name=f"{THEMES[index % len(THEMES)]} {index + 1}",
        state=state,
        product=product,
        budget_kind=kind,
        budget=daily * days * unit_of(account.currency),
        budget_id=str(70_000_000_000 + (account.index * 10_000 + 9_999 if sharing > 1 else number)),
        created=created,
        updated=created,
        start=created.date(),
        habits=make_habits(rng, daily * 100 // sharing),
        stopped=None if state is CampaignStatus.ACTIVE else NEVER_RAN,
        single_ad_group=product == SPONSORED_BRANDS and index % 4 == 2,  # one in four
    )


def unit_of(currency: str) -> Decimal:
    """Return roughly one dollar in a currency."""
    return Decimal(1000) if currency in WHOLE_CURRENCIES else Decimal(1)
