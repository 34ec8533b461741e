"""The world behind the sandbox: the accounts, campaigns and daily figures of grants, independent of any platform.

A seed determines everything: two worlds of the same seed are equal, whatever is asked of them and in any order. Tests
change a world through the methods of `World`; the files of the platforms only encode it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from sandbox.accounts import NEVER_RAN, Account, Campaign, make_account, make_campaign
from sandbox.facts import FACTS, TokenKind
from sandbox.faults import Faults
from sandbox.figures import ZERO, Figures, make_figures
from sandbox.tokens import Grant, Grants
from sivera.values import CampaignStatus, PlatformName, days_between


class World(Grants):
    """Everything the sandbox knows, and every way to change it. Its clock stands still at `now`, if that is given."""

    def __init__(self, seed: int = 1, now: datetime | None = None) -> None:
        super().__init__(seed, now)
        self.faults = Faults()
        self.accounts: dict[PlatformName, dict[str, Account]] = {name: {} for name in PlatformName}
        self.reports: dict[str, str] = {}
        """Amazon's reports in preparation: their ids by what was requested."""
        self.report_seconds = 0.0
        """How long Amazon takes to prepare a report; with 0 it is ready at the first poll."""
        self.app_usage = 0
        """The used part of our application's calls on Meta, in percent."""
        self.longest_insights = 10_000
        """The longest range of insights that Meta allows, in days; it refuses a longer one as too much data."""
        self.redirects: set[str] = set()
        """The redirects that our application has registered, apart from those to this machine."""
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
        """Add a grant with new accounts, each with `campaigns` campaigns; for the rest see `Grant` and `make_account`.

        Raises:
            ValueError: The grant is to rotate, but its platform has no refresh tokens.
        """
        facts = FACTS[platform]
        if rotates and TokenKind.REFRESH not in facts.prefixes:
            raise ValueError(f"{platform.value} has no refresh tokens to rotate; leave `rotates` out.")
        grant = Grant(len(self.grants) + 1, platform, rotates=rotates, leeway=leeway)
        grant.expires = facts.tokens_end or rotates
        if facts.has_manager:
            grant.manager_id = f"{9_000_000_000 + grant.id}"
        self.grants[grant.id] = grant
        for _ in range(accounts):
            index = len(self.accounts[platform])
            account = make_account(self.seed, grant, index, campaigns, brand, currency)
            self.accounts[platform][account.id] = account
            grant.account_ids.append(account.id)
        return grant

    def add_campaign(self, platform: PlatformName, account_id: str, **changes: object) -> Campaign:
        """Add a campaign to an account, created now."""
        account = self.account(platform, account_id)
        campaigns, now = account.campaigns, self.clock.now()
        made = replace(make_campaign(account, account.campaign_count), created=now, updated=now, **changes)  # type: ignore[arg-type]
        made.stopped = None if made.state is CampaignStatus.ACTIVE else NEVER_RAN
        account.campaign_count += 1  # it never shrinks, so no id is used twice
        campaigns[made.id] = made
        return made

    def change_campaign(self, platform: PlatformName, account_id: str, campaign_id: str, **changes: object) -> Campaign:
        """Change fields of a campaign; it counts as updated now unless `updated` is among the changes.

        One that stops being ACTIVE keeps its figures up to today; one that is ACTIVE again has figures for all days.
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
        """Delete a campaign as a user does: its platform still knows it as deleted."""
        self.change_campaign(platform, account_id, campaign_id, state=CampaignStatus.REMOVED)

    def hard_delete_campaign(self, platform: PlatformName, account_id: str, campaign_id: str) -> None:
        """Delete a campaign without a trace."""
        del self.account(platform, account_id).campaigns[campaign_id]

    def restate(self, campaign_id: str, day: date, figures: Figures) -> None:
        """Replace a campaign's figures for a day."""
        self._restated[campaign_id, day] = figures

    def spend_elsewhere(self, account_id: str, day: date, spend: Decimal) -> None:
        """Add spend of an account that no campaign report has, as in campaigns of a kind without reports."""
        self._spent_elsewhere[account_id, day] = spend

    def forget_reports(self) -> None:
        """Forget Amazon's reports in preparation."""
        self.reports.clear()

    def account(self, platform: PlatformName, account_id: str) -> Account:
        """Return an account; KeyError names an unknown one."""
        return self.accounts[platform][account_id]

    def accounts_of(self, grant: Grant) -> list[Account]:
        """Return a grant's accounts in a fixed order."""
        return [self.accounts[grant.platform][account_id] for account_id in grant.account_ids]

    def figures(self, account: Account, campaign: Campaign, day: date) -> Figures:
        """Return a campaign's figures for a day: zero before its start, after its end, and in the future."""
        if (restated := self._restated.get((campaign.id, day))) is not None:
            return restated
        last = min(campaign.end or date.max, campaign.stopped or date.max, account.today(self.clock.now()))
        if not campaign.start <= day <= last:
            return ZERO
        return make_figures(self.seed, campaign.id, campaign.habits, day, account.currency)

    def days(
        self, account: Account, campaigns: Iterable[Campaign], since: date, until: date, *, zeros: bool = False
    ) -> Iterator[tuple[Campaign, date, Figures]]:
        """Yield the days of campaigns with figures; with `zeros`, all days on which a campaign could run."""
        today = account.today(self.clock.now())
        for campaign in campaigns:
            for day in days_between(since, until):
                figures = self.figures(account, campaign, day)
                could_run = campaign.state is CampaignStatus.ACTIVE and campaign.start <= day <= today
                if figures != ZERO or (zeros and could_run):
                    yield campaign, day, figures

    def totals(self, account: Account, since: date, until: date) -> Iterator[tuple[date, Figures]]:
        """Yield the days on which an account spent something."""
        for day in days_between(since, until):
            if spend := self.account_spend(account, day):
                yield day, replace(ZERO, spend=spend)

    def account_spend(self, account: Account, day: date) -> Decimal:
        """Return what an account spent on a day, including spend outside its campaigns."""
        of_campaigns = sum((self.figures(account, each, day).spend for each in account.campaigns.values()), Decimal(0))
        unlisted = account.unlisted_spend if day <= account.today(self.clock.now()) else 0
        return of_campaigns + unlisted + self._spent_elsewhere.get((account.id, day), 0)
