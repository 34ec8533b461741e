"""The world behind the sandbox: grants, accounts, campaigns and daily figures, in neutral terms.

Everything derives from a seed: two worlds of one seed are equal, whatever is asked of them and in which order. A test
changes the world through the methods of `World`; each platform's file only encodes it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from sandbox.faults import Faults
from sandbox.figures import WHOLE_CURRENCIES, ZERO, Figures, Habits, make_figures, make_habits, make_rng
from sandbox.tokens import Token, TokenKind, read, sign
from sivera.values import BudgetKind, CampaignStatus, PlatformName

EPOCH = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
"""When the first campaigns were created: long before any test's now, so that nothing depends on the day of a run."""

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105 - the sandbox's own, public

LOCALES = (
    ("Asia/Seoul", "KRW"),
    ("America/New_York", "USD"),
    ("Europe/Berlin", "EUR"),
    ("Asia/Tokyo", "JPY"),
    ("Asia/Taipei", "TWD"),
    ("Australia/Sydney", "AUD"),
)
REGION_OF_CURRENCY = {"USD": "na", "EUR": "eu", "KRW": "fe", "JPY": "fe", "TWD": "fe", "AUD": "fe"}

PRODUCTS: dict[PlatformName, tuple[str, ...]] = {
    PlatformName.GOOGLE: ("SEARCH", "PERFORMANCE_MAX", "DISPLAY"),
    PlatformName.META: ("OUTCOME_SALES", "OUTCOME_TRAFFIC"),
    PlatformName.AMAZON: ("SPONSORED_PRODUCTS", "SPONSORED_BRANDS", "SPONSORED_DISPLAY"),
    PlatformName.TIKTOK: ("WEB_CONVERSIONS", "REACH"),
}
TOKEN_PREFIX: dict[PlatformName, dict[TokenKind, str]] = {
    PlatformName.GOOGLE: {TokenKind.ACCESS: "ya29.", TokenKind.REFRESH: "1//"},
    PlatformName.META: {TokenKind.ACCESS: "EAAB"},
    PlatformName.AMAZON: {TokenKind.ACCESS: "Atza|", TokenKind.REFRESH: "Atzr|"},
    PlatformName.TIKTOK: {TokenKind.ACCESS: "act.", TokenKind.REFRESH: "rft."},
}
ACCESS_LIFETIME: dict[PlatformName, timedelta | None] = {
    PlatformName.GOOGLE: timedelta(seconds=3599),
    PlatformName.META: timedelta(days=60),
    PlatformName.AMAZON: timedelta(hours=1),
    PlatformName.TIKTOK: timedelta(days=1),  # for grants with a refresh token; TikTok's other tokens do not expire
}

DAYS_OF_LIFETIME = 1_500
"""For how many days a lifetime budget lasts at least: whenever the sandbox is started, little of it is spent."""

NEVER_RAN = date.min
NEVER = datetime.min.replace(tzinfo=UTC)


class Clock:
    """The sandbox's clock: the machine's until a test sets it."""

    def __init__(self, fixed: datetime | None = None) -> None:
        self._fixed = fixed

    def now(self) -> datetime:
        """Return the platforms' time, in UTC."""
        return self._fixed or datetime.now(UTC)

    def set(self, when: datetime) -> None:
        """Stop the clock at a time."""
        self._fixed = when.astimezone(UTC)

    def advance(self, delta: timedelta) -> None:
        """Move the clock forward; it stands still from then on."""
        self._fixed = self.now() + delta


@dataclass
class Campaign:
    """A campaign in neutral terms. `state` is ACTIVE, PAUSED, ARCHIVED or REMOVED; `budget` in major units.

    `stopped` is the last day it ran: None while it is ACTIVE, `NEVER_RAN` if it never was. Amazon does not
    report on campaigns of Sponsored Brands that have a `single_ad_group`.
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
    """An ad account. `manager_id` is for Google, `region` and the enabled `products` for Amazon.

    `campaign_count` is the number of campaigns it ever had; they are made from the world's `seed`. The rest is for
    TikTok: `unlisted_spend` is what a GMV Max campaign spends a day, which only the advertiser's total has; one account
    in five has one. `ads` counts the ads of campaigns that have more than one. `info_code` is the code with which
    `advertiser/info` refuses every call that names the account; with 0 it leaves the account out.
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
    _campaigns: dict[str, Campaign] | None = field(default=None, repr=False)

    @property
    def campaigns(self) -> dict[str, Campaign]:
        """The account's campaigns by id, removed ones too; made on first use."""
        if self._campaigns is None:
            self._campaigns = {c.id: c for c in (_make_campaign(self, i) for i in range(self.campaign_count))}
        return self._campaigns

    def today(self, now: datetime) -> date:
        """Return the date in the account's time zone."""
        return now.astimezone(ZoneInfo(self.timezone)).date()


@dataclass
class Grant:
    """An OAuth grant.

    With `rotates`, each renewal replaces the refresh token, and reuse of an old one revokes the grant. The previous one
    is accepted until `honoured_until`, which is `leeway` after the renewal. With `needs_login`, the refresh token is
    refused until the user logs in again (Google Workspace's session control). With `only_through_manager`, Google's
    user has no direct access to an ad account any more. `data_access_ends` is when Meta stops giving data to the
    grant; None puts it 90 days ahead. `may_read_ads` is what the user has allowed on the consent page.
    """

    id: int
    platform: PlatformName
    account_ids: list[str] = field(default_factory=list)
    manager_id: str | None = None
    rotates: bool = False
    leeway: timedelta = timedelta()
    honoured_until: datetime = NEVER
    expires: bool = True
    revoked: bool = False
    reused: bool = False
    needs_login: bool = False
    only_through_manager: bool = False
    data_access_ends: datetime | None = None
    may_read_ads: bool = True
    access_generation: int = 0
    refresh_generation: int = 0
    oldest_valid_access: int = 0
    oldest_valid_refresh: int = 0


class World:
    """Everything the sandbox knows, and every way to change it. Two worlds of the same seed are equal.

    Its clock stands still at `now`; without it, it follows the machine's.
    """

    def __init__(self, seed: int = 1, now: datetime | None = None) -> None:
        self.seed = seed
        self.clock = Clock(now)
        self.faults = Faults()
        self.grants: dict[int, Grant] = {}
        self.accounts: dict[PlatformName, dict[str, Account]] = {name: {} for name in PlatformName}
        self.reports: dict[str, str] = {}
        """Amazon's reports in preparation: the id of each by what was requested."""
        self.report_failure = ""
        """Why Amazon cannot prepare reports; empty if it can."""
        self.report_seconds = 0.0
        """How long Amazon takes to prepare a report; with 0 it is ready at the first poll."""
        self.app_usage = 0
        """How much of its calls our application has made on Meta, in percent."""
        self.longest_insights = 10_000
        """The longest range in days for which Meta answers with insights; it refuses more as too much data."""
        self.redirects: set[str] = set()
        """The redirects that our application has registered, beside those to this machine."""
        self._restated: dict[tuple[str, date], Figures] = {}
        self._spent_elsewhere: dict[tuple[str, date], Decimal] = {}

    def add_grant(
        self,
        platform: PlatformName,
        accounts: int = 1,
        campaigns: int = 8,
        *,
        rotates: bool = False,
        leeway: timedelta = timedelta(),
        brand: str = "",
        currency: str = "",
    ) -> Grant:
        """Add a grant with new accounts, each with `campaigns` campaigns.

        With `rotates`, an old refresh token is accepted for `leeway` after its successor was issued. Without a `brand`
        and a `currency`, each account has its own.

        Raises:
            ValueError: The platform has no refresh tokens that could rotate.
        """
        if rotates and TokenKind.REFRESH not in TOKEN_PREFIX[platform]:
            raise ValueError(f"{platform.value} has no refresh tokens to rotate; leave `rotates` out.")
        expires = platform is not PlatformName.TIKTOK or rotates
        grant = Grant(len(self.grants) + 1, platform, rotates=rotates, leeway=leeway, expires=expires)
        if platform is PlatformName.GOOGLE:
            grant.manager_id = f"{9_000_000_000 + grant.id}"
        self.grants[grant.id] = grant
        for _ in range(accounts):
            account = self._make_account(grant, campaigns, brand, currency)
            self.accounts[platform][account.id] = account
            grant.account_ids.append(account.id)
        return grant

    def add_campaign(self, platform: PlatformName, account_id: str, **changes: object) -> Campaign:
        """Add a campaign to an account, created now."""
        account = self.account(platform, account_id)
        campaigns, now = account.campaigns, self.clock.now()
        made = replace(_make_campaign(account, account.campaign_count), created=now, updated=now, **changes)  # type: ignore[arg-type]
        made.stopped = None if made.state is CampaignStatus.ACTIVE else NEVER_RAN
        account.campaign_count += 1  # it never shrinks, so that no id is used twice
        campaigns[made.id] = made
        return made

    def change_campaign(self, platform: PlatformName, account_id: str, campaign_id: str, **changes: object) -> Campaign:
        """Change fields of a campaign, and its time of update, which is now unless it is among the changes.

        A campaign that stops being ACTIVE keeps its figures up to this day; one that is ACTIVE again has all days.
        """
        account, now = self.account(platform, account_id), self.clock.now()
        old = account.campaigns[campaign_id]
        changed = replace(old, **{"updated": now, **changes})  # type: ignore[arg-type]
        if changed.state is CampaignStatus.ACTIVE:
            changed.stopped = None
        elif old.state is CampaignStatus.ACTIVE:
            changed.stopped = account.today(now)
        account.campaigns[campaign_id] = changed
        return changed

    def remove_campaign(self, platform: PlatformName, account_id: str, campaign_id: str) -> None:
        """Delete a campaign as a user does: platforms still know it as deleted."""
        self.change_campaign(platform, account_id, campaign_id, state=CampaignStatus.REMOVED)

    def hard_delete_campaign(self, platform: PlatformName, account_id: str, campaign_id: str) -> None:
        """Remove a campaign without a trace."""
        del self.account(platform, account_id).campaigns[campaign_id]

    def restate(self, campaign_id: str, day: date, figures: Figures) -> None:
        """Replace a campaign's figures of a day."""
        self._restated[campaign_id, day] = figures

    def spend_elsewhere(self, account_id: str, day: date, spend: Decimal) -> None:
        """Let an account spend on a day what no report by campaign has, such as in kinds of campaigns without one."""
        self._spent_elsewhere[account_id, day] = spend

    def revoke_grant(self, grant_id: int) -> None:
        """Revoke a grant, as its user can: all its tokens are refused from now on."""
        self.grants[grant_id].revoked = True

    def expire_access(self, grant_id: int) -> None:
        """Refuse all access tokens issued so far; the refresh token still works."""
        grant = self.grants[grant_id]
        grant.oldest_valid_access = grant.access_generation + 1

    def log_in(self, grant_id: int) -> Grant:
        """Log the user of a grant in again, and return the grant.

        A revoked grant works again, but only with tokens issued from now on. Other grants keep their earlier tokens.
        """
        grant = self.grants[grant_id]
        if grant.revoked:
            self.expire_access(grant_id)
            grant.refresh_generation += 1
            grant.oldest_valid_refresh = grant.refresh_generation
        grant.revoked = grant.reused = grant.needs_login = False
        return grant

    def account(self, platform: PlatformName, account_id: str) -> Account:
        """Return an account; KeyError names an unknown one."""
        return self.accounts[platform][account_id]

    def accounts_of(self, grant: Grant) -> list[Account]:
        """Return the accounts that a grant reaches, in a fixed order."""
        return [self.accounts[grant.platform][account_id] for account_id in grant.account_ids]

    def figures(self, account: Account, campaign: Campaign, day: date) -> Figures:
        """Return a campaign's figures of a day: zero before its start, after its end, and in the future."""
        if (restated := self._restated.get((campaign.id, day))) is not None:
            return restated
        last = min(campaign.end or date.max, campaign.stopped or date.max, account.today(self.clock.now()))
        if not campaign.start <= day <= last:
            return ZERO
        return make_figures(self.seed, campaign.id, campaign.habits, day, account.currency)

    def days(
        self, account: Account, campaigns: Iterable[Campaign], since: date, until: date, *, zeros: bool = False
    ) -> Iterator[tuple[Campaign, date, Figures]]:
        """Yield the days of campaigns that have figures; with `zeros`, all days on which a campaign could run."""
        today = account.today(self.clock.now())
        for campaign in campaigns:
            for day in days_from(since, until):
                figures = self.figures(account, campaign, day)
                could_run = campaign.state is CampaignStatus.ACTIVE and campaign.start <= day <= today
                if figures != ZERO or (zeros and could_run):
                    yield campaign, day, figures

    def totals(self, account: Account, since: date, until: date) -> Iterator[tuple[date, Figures]]:
        """Yield the days on which an account spent something."""
        for day in days_from(since, until):
            if spend := self.account_spend(account, day):
                yield day, replace(ZERO, spend=spend)

    def account_spend(self, account: Account, day: date) -> Decimal:
        """Return what an account spent on a day, in its campaigns and elsewhere."""
        of_campaigns = sum((self.figures(account, each, day).spend for each in account.campaigns.values()), Decimal(0))
        unlisted = account.unlisted_spend if day <= account.today(self.clock.now()) else 0
        return of_campaigns + unlisted + self._spent_elsewhere.get((account.id, day), 0)

    # -- tokens ---------------------------------------------------------------------------------------------------

    def issue_access(self, grant: Grant, lifetime: timedelta | None = None) -> tuple[str, int | None]:
        """Issue an access token; return its text and its lifetime in seconds (None if it does not expire)."""
        lifetime = lifetime or (ACCESS_LIFETIME[grant.platform] if grant.expires else None)
        grant.access_generation += 1
        expires = int((self.clock.now() + lifetime).timestamp()) if lifetime else 0
        seconds = int(lifetime.total_seconds()) if lifetime else None
        return self._sign(grant, Token(TokenKind.ACCESS, grant.id, grant.access_generation, expires)), seconds

    def issue_refresh(self, grant: Grant) -> str:
        """Issue the grant's current refresh token; a rotating grant gets a new one."""
        if grant.rotates:
            grant.refresh_generation += 1
            grant.honoured_until = self.clock.now() + grant.leeway
        return self._sign(grant, Token(TokenKind.REFRESH, grant.id, grant.refresh_generation, 0))

    def read_access(self, platform: PlatformName, text: str) -> Token | None:
        """Return what an access token says, valid or not; None if this sandbox did not sign it."""
        return read(text, TOKEN_PREFIX[platform][TokenKind.ACCESS], self._secret)

    def why_refused(self, platform: PlatformName, text: str) -> Literal["unknown", "revoked", "expired"]:
        """Return why an access token is not valid."""
        token = self.read_access(platform, text)
        grant = self.grants.get(token.grant_id) if token else None
        return "unknown" if grant is None else "revoked" if grant.revoked else "expired"

    def grant_of_access(self, platform: PlatformName, text: str) -> Grant | None:
        """Return the grant of an access token, or None if the token is not valid now."""
        token, grant = self._token_and_grant(platform, TokenKind.ACCESS, text)
        if token is None or grant is None or token.generation < grant.oldest_valid_access:
            return None
        if token.expires and token.expires <= self.clock.now().timestamp():
            return None
        grant.access_generation = max(grant.access_generation, token.generation)
        return grant

    def grant_of_refresh(self, platform: PlatformName, text: str) -> Grant | None:
        """Return the grant of a refresh token, or None if the token is not valid now; reuse revokes the grant."""
        token, grant = self._token_and_grant(platform, TokenKind.REFRESH, text)
        if token is None or grant is None or token.generation < grant.oldest_valid_refresh:
            return None
        if token.generation == grant.refresh_generation - 1 and self.clock.now() < grant.honoured_until:
            return grant
        if token.generation < grant.refresh_generation:
            grant.revoked = grant.reused = True
            return None
        grant.refresh_generation = token.generation
        return grant

    @property
    def _secret(self) -> str:
        return f"sandbox-{self.seed}"

    def _token_and_grant(self, platform: PlatformName, kind: TokenKind, text: str) -> tuple[Token | None, Grant | None]:
        """Return what a token of this kind says, and its grant unless that is revoked."""
        prefix = TOKEN_PREFIX[platform].get(kind)
        token = read(text, prefix, self._secret) if prefix else None
        grant = self.grants.get(token.grant_id) if token else None
        return token, None if grant is None or grant.platform is not platform or grant.revoked else grant

    def _sign(self, grant: Grant, token: Token) -> str:
        return sign(token, TOKEN_PREFIX[grant.platform][token.kind], self._secret)

    def _make_account(self, grant: Grant, campaigns: int, brand: str, currency: str) -> Account:
        index = len(self.accounts[grant.platform])
        rng = make_rng(self.seed, grant.platform, index)
        timezone, currency = rng.choice([one for one in LOCALES if currency in ("", one[1])])
        has_unlisted = grant.platform is PlatformName.TIKTOK and index % 5 == 4
        return Account(
            platform=grant.platform,
            id=_ACCOUNT_ID[grant.platform](index),
            name=f"{brand or rng.choice(_BRANDS)} {grant.platform.value.title()} {index + 1}",
            timezone=timezone,
            currency=currency,
            grant_id=grant.id,
            seed=self.seed,
            index=index,
            campaign_count=campaigns,
            manager_id=grant.manager_id,
            region=REGION_OF_CURRENCY[currency] if grant.platform is PlatformName.AMAZON else None,
            products=PRODUCTS[grant.platform],
            unlisted_spend=Decimal("24.5") * unit_of(currency) if has_unlisted else Decimal(0),
        )


_BRANDS = ("Hanok", "Lumen", "Orbit", "Cedar", "Mirae", "Boreal", "Nari", "Quill")
_THEMES = ("Spring sale", "Brand", "Retargeting", "New arrivals", "Clearance", "Lookalike", "Launch", "Loyalty")

_ACCOUNT_ID: dict[PlatformName, Callable[[int], str]] = {
    PlatformName.GOOGLE: lambda index: f"{1_000_000_000 + index}",
    PlatformName.META: lambda index: f"{10_150_000_000_000 + index}",
    # Above 2^53, so that reading them as a double loses digits.
    PlatformName.AMAZON: lambda index: f"{9_100_000_000_000_001 + 2 * index}",
    PlatformName.TIKTOK: lambda index: f"{7_100_000_000_000_000_000 + index}",
}
_CAMPAIGN_ID_BASE: dict[PlatformName, int] = {
    PlatformName.GOOGLE: 20_000_000_000,
    PlatformName.META: 23_850_000_000_000_000,
    PlatformName.AMAZON: 280_000_000_000_000,
    PlatformName.TIKTOK: 1_780_000_000_000_000_000,
}
_BUDGET_KINDS: dict[PlatformName, tuple[BudgetKind, ...]] = {
    PlatformName.GOOGLE: (BudgetKind.DAILY, BudgetKind.DAILY, BudgetKind.SHARED, BudgetKind.LIFETIME),
    PlatformName.META: (BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL),
    PlatformName.AMAZON: (BudgetKind.DAILY,),
    PlatformName.TIKTOK: (BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL),
}
_STATES = (
    *[CampaignStatus.ACTIVE] * 4,
    *[CampaignStatus.PAUSED] * 2,
    CampaignStatus.ARCHIVED,
    CampaignStatus.REMOVED,
)


def unit_of(currency: str) -> Decimal:
    """Return what about a dollar is in a currency."""
    return Decimal(1000) if currency in WHOLE_CURRENCIES else Decimal(1)


def days_from(since: date, until: date) -> list[date]:
    """Return the days of a window."""
    return [since + timedelta(days=n) for n in range((until - since).days + 1)]


def _make_campaign(account: Account, index: int) -> Campaign:
    platform = account.platform
    number = _CAMPAIGN_ID_BASE[platform] + account.index * 10_000 + index
    rng = make_rng(account.seed, platform, account.id, index)
    state = _STATES[index % len(_STATES)]
    if platform is PlatformName.AMAZON and state is CampaignStatus.REMOVED:
        state = CampaignStatus.ARCHIVED  # nothing is ever deleted there
    if platform in (PlatformName.GOOGLE, PlatformName.TIKTOK) and state is CampaignStatus.ARCHIVED:
        state = CampaignStatus.REMOVED  # these two have no archive
    kind = _BUDGET_KINDS[platform][index % len(_BUDGET_KINDS[platform])]
    created = EPOCH + timedelta(minutes=rng.randrange(60 * 24 * 100))
    # Campaigns that share a budget must agree on it, and have to share it.
    daily, sharing = (50, 4) if kind is BudgetKind.SHARED else (rng.randrange(5, 200), 1)
    days = DAYS_OF_LIFETIME if kind is BudgetKind.LIFETIME else 1
    return Campaign(
        id=str(number),
        name=f"{_THEMES[index % len(_THEMES)]} {index + 1}",
        state=state,
        product=account.products[index % len(account.products)],
        budget_kind=kind,
        budget=daily * days * unit_of(account.currency),
        budget_id=str(70_000_000_000 + account.index * 10_000 + (9_999 if sharing > 1 else index)),
        created=created,
        updated=created,
        start=created.date(),
        habits=make_habits(rng, daily * 100 // sharing),
        stopped=None if state is CampaignStatus.ACTIVE else NEVER_RAN,
        single_ad_group=platform is PlatformName.AMAZON and index % 12 == 10,  # one of Sponsored Brands
    )
