"""How far the budgets of an account are spent, from what the database adds up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from sivera.budgets import rules
from sivera.budgets.pacing import PACING, Period, Span, period_limit, period_of, running_days
from sivera.budgets.projection import HISTORY_DAYS, Bounds, project
from sivera.budgets.queries import Since
from sivera.budgets.rules import Reading, today_in
from sivera.models import AdAccount
from sivera.sync.rules import RECENT_DAYS, RESTATEMENT_DAYS
from sivera.values import BudgetKind, PlatformName

NOTHING = Decimal(0)


def is_stale(account: AdAccount, now: datetime, stale_hours: int) -> bool:
    """Whether what is stored of an account is too old to judge by."""
    return rules.is_stale(account.synced_as_of, account.reports_as_of, account.created_at, now, stale_hours)


@dataclass(frozen=True)
class Watched:
    """An account whose figures are fresh: what day it is there, and which day its figures are not complete of."""

    account: AdAccount
    team: str
    platform: PlatformName
    today: date
    partial: date

    @classmethod
    def at(cls, account: AdAccount, team: str, now: datetime) -> "Watched":
        """Return an account as it is at a time.

        Raises:
            ZoneInfoNotFoundError, ValueError: Nobody knows its time zone.
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
        """The first day of which all was copied: that many days back the first sync read, the full one more of them."""
        days = RESTATEMENT_DAYS[self.platform] if self.account.last_full_sync_at else RECENT_DAYS
        return today_in(self.account.timezone, self.account.created_at) - timedelta(days=days - 2)

    def since(self) -> Since:
        """Return which days to ask for."""
        since, oldest = self.period.since, self.partial - timedelta(days=HISTORY_DAYS)
        return Since(self.account.id, self.account.id, self.today, since or oldest, oldest)


def platform_readings(watched: Watched, row: Row[Any]) -> Iterator[Reading]:
    """Yield how far a budget of a platform is spent: in its period, and of a daily one today."""
    days = dict(zip(row.days, row.spends, strict=True))
    if row.budget_kind == BudgetKind.LIFETIME:
        period = Period(span=Span.LIFETIME, since=row.first_day, until=row.last_day)
        yield _over_period(watched, row, days, _reading(watched, row, period, row.amount, row.spent), None)
        return
    pacing, period = PACING[watched.platform], watched.period
    most_a_day = None if pacing.day_factor is None else row.amount * pacing.day_factor
    limit = period_limit(pacing, row.amount, period, row.first_day, row.last_day)
    if limit > 0:
        so_far = period.model_copy(update={"until": watched.today})
        pace = row.amount * running_days(so_far, row.first_day, row.last_day)
        reading = _reading(watched, row, period, limit, row.spent, pace)
        yield _over_period(watched, row, days, reading, most_a_day)
    today = days.get(watched.today, NOTHING)
    if most_a_day and today:
        yield _reading(watched, row, period_of(Span.DAY, watched.today), most_a_day, today, most_a_day)


def _over_period(
    watched: Watched, row: Row[Any], days: Mapping[date, Decimal], reading: Reading, most_a_day: Decimal | None
) -> Reading:
    """Return the reading with what is not known of its period, and where it leads."""
    period = reading.period
    begins = max((day for day in (period.since, row.first_day) if day), default=date.min)
    ends = min((day for day in (period.until, row.last_day) if day), default=None)
    is_cut = begins < watched.known_from
    # Of a budget that nothing runs on, nothing more is spent.
    bounds = Bounds(day=most_a_day if row.is_active else NOTHING, period=reading.limit)
    projection = project(row.spent, days, watched.partial, period.model_copy(update={"until": ends}), bounds)
    note = f"What was spent before {watched.known_from} is not known" if is_cut else ""
    return reading.model_copy(update={"at_least": is_cut, "note": note, "projection": projection})


def _reading(
    watched: Watched, row: Row[Any], period: Period, limit: Decimal, spent: Decimal, pace: Decimal | None = None
) -> Reading:
    account = watched.account
    name = f"shared by {row.campaigns} campaigns" if row.budget_kind == BudgetKind.SHARED else row.name
    return Reading(
        subject=f"account-{account.id}.{row.budget}.{period.span.value}",
        team_id=account.team_id,
        account_id=account.id,
        platform=watched.platform,
        team=watched.team,
        account=account.name,
        name=name,
        budget=row.budget_kind,
        period=period,
        currency=row.currency,
        limit=limit,
        spent=spent,
        pace=pace,
        as_of=account.metrics_as_of,
    )
