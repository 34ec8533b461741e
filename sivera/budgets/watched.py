"""An account at the time of a check: which days its budgets are judged by."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sivera.budgets import rules
from sivera.budgets.pacing import PACING, Period, period_of
from sivera.budgets.projection import HISTORY_DAYS
from sivera.budgets.queries import Since
from sivera.budgets.rules import today_in
from sivera.models import AdAccount
from sivera.sync.rules import RECENT_DAYS, RESTATEMENT_DAYS
from sivera.values import PlatformName


def is_stale(account: AdAccount, now: datetime, stale_hours: int) -> bool:
    """Say whether what is stored of an account is too old to judge by."""
    return rules.is_stale(account.synced_as_of, account.reports_as_of, account.created_at, now, stale_hours)


@dataclass(frozen=True)
class Watched:
    """An account that is checked. `today` is the day there, `partial` the first day with incomplete figures."""

    account: AdAccount
    team: str
    platform: PlatformName
    today: date
    partial: date

    @classmethod
    def at(cls, account: AdAccount, team: str, now: datetime) -> "Watched":
        """Return an account as it is at a time.

        Raises:
            ZoneInfoNotFoundError, ValueError: Its time zone is unknown.
        """
        today = today_in(account.timezone, now)
        as_of = account.metrics_as_of
        partial = min(today, today_in(account.timezone, as_of)) if as_of else today
        return cls(account, team, PlatformName(account.platform), today, partial)

    @property
    def period(self) -> Period:
        """The period in which the platform spreads a daily budget."""
        return period_of(PACING[self.platform].span, self.today)

    @property
    def known_from(self) -> date:
        """The first day that was copied whole: the first sync reads some days back, and a full one more."""
        days = RESTATEMENT_DAYS[self.platform] if self.account.last_full_sync_at else RECENT_DAYS
        return today_in(self.account.timezone, self.account.created_at) - timedelta(days=days - 2)

    def since(self) -> Since:
        """Return the days to ask for."""
        since, oldest = self.period.since, self.partial - timedelta(days=HISTORY_DAYS)
        return Since(self.account.id, self.account.id, self.today, since or oldest, oldest)
