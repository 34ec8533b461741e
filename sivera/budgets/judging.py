"""How much is spent of the platforms' budgets, by account, and of the monthly budgets that teams set.

If the figures of a budget are too old or cannot be added, its alerts stay as they are.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE
from sivera.alerts.queries import open_of_accounts, open_of_teams
from sivera.budgets import queries, rules
from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import PACING, Period, Span, days_of, period_limit, running_days
from sivera.budgets.projection import HISTORY_DAYS, project
from sivera.budgets.queries import Since
from sivera.budgets.rules import Reading
from sivera.budgets.summary import Checked
from sivera.budgets.wording import FOREIGN, MIXED, NOT_REPORTED
from sivera.clock import find_zone
from sivera.logs import log
from sivera.models import AdAccount, Alert, TeamBudget
from sivera.units import counted
from sivera.values import BudgetKind, PlatformName

logger = logging.getLogger("sivera.budgets")

HISTORY = timedelta(days=HISTORY_DAYS)
NOTHING = Decimal(0)


@dataclass
class Judged:
    """The readings of some budgets, the open alerts that they decide, and what could not be judged."""

    readings: list[Reading]
    alerts: Sequence[Alert]
    found: Checked = field(default_factory=Checked)


@dataclass(frozen=True)
class _Watched:
    """An account to check.

    `today` is the day in its time zone, `partial` the first day with incomplete figures, and `known_from` the first day
    with all figures read, if there is one. `as_of` is when its figures were read.
    """

    account: AdAccount
    team: str
    today: date
    partial: date
    known_from: date | None
    as_of: datetime | None
    is_stale: bool

    @classmethod
    def at(
        cls, account: AdAccount, team: str, known_from: date | None, now: datetime, stale_hours: int
    ) -> "_Watched | None":
        """Describe an account at a time; None if its time zone is unknown."""
        if (zone := find_zone(account.timezone)) is None:
            return None
        # A time ahead of the clock is wrong. The figures may be as old as the connection of the account.
        synced, reports = (
            account.created_at if at and at > now else at for at in (account.synced_as_of, account.reports_as_of)
        )
        as_of = min((at for at in (synced, reports) if at), default=None)
        today = now.astimezone(zone).date()
        partial = min(today, as_of.astimezone(zone).date()) if as_of else today
        is_stale = rules.is_stale(synced or account.created_at, reports, now, stale_hours)
        return cls(account, team, today, partial, known_from, as_of, is_stale)

    @property
    def platform(self) -> PlatformName:
        return PlatformName(self.account.platform)

    def days_to_read(self) -> Since:
        since, _ = days_of(PACING[self.platform].span, self.today)
        return Since(self.account.id, self.today, since, self.partial - HISTORY)


def judge_accounts(session: Session, now: datetime, options: BudgetOptions, ids: Sequence[int]) -> Judged:
    """Judge the platforms' budgets of these accounts."""
    watched: dict[int, _Watched] = {}
    readings: list[Reading] = []
    failures: dict[str, str] = {}
    unreported: dict[str, str] = {}
    active = [one for one in queries.read_accounts(session, ids) if one.AdAccount.status == ACTIVE]
    for account, team, known_from in active:
        if one := _Watched.at(account, team, known_from, now, options.stale_hours):
            watched[account.id] = one
        else:
            reason = f"its time zone '{account.timezone}' is unknown: connect its grant again, which updates it"
            failures[f"account-{account.id}"] = reason
    stale = [f"account-{one.account.id}" for one in watched.values() if one.is_stale]
    for row in queries.read_spend(session, [one.days_to_read() for one in watched.values() if not one.is_stale]):
        subject = f"account-{row.account_id}.{row.budget}"
        if not row.known_days:
            unreported[subject] = f"{row.name}: {NOT_REPORTED}"
        elif row.is_mixed:
            failures[subject] = MIXED.format(currency=row.currency)
        else:
            readings += _readings(watched[row.account_id], row, subject)
    _log(watched.values(), readings, failures, unreported)
    alerts = _without(open_of_accounts(session, ids), (*stale, *failures, *unreported))
    found = Checked(accounts=len(active), stale=len(stale), failures=failures, unreported=unreported)
    return Judged(readings, alerts, found)


def _without(alerts: Sequence[Alert], subjects: Sequence[str]) -> list[Alert]:
    return [alert for alert in alerts if not alert.subject.startswith(tuple(f"{subject}." for subject in subjects))]


def _log(
    watched: Iterable[_Watched], readings: Sequence[Reading], failures: Mapping[str, str], unreported: Mapping[str, str]
) -> None:
    budgets = Counter(one.account_id for one in readings)
    for one in watched:
        of = {"account_id": one.account.id, "platform": one.account.platform, "name": one.account.name}
        said = {"outcome": "not judged"} if one.is_stale else {"outcome": "judged", "budgets": budgets[one.account.id]}
        log(logger, logging.INFO, "Account checked", **of, **said)
    for level, reasons in ((logging.WARNING, failures), (logging.INFO, unreported)):
        for subject, reason in reasons.items():
            log(logger, level, "Not judged", subject=subject, reason=reason)


def _readings(watched: _Watched, row: Row[Any], subject: str) -> Iterator[Reading]:
    """Yield how much of a platform's budget is spent in its period and, if it is a daily one, today."""
    account, today, days = watched.account, watched.today, dict(zip(row.days, row.spends, strict=True))
    reading = partial(
        Reading,
        team_id=account.team_id,
        account_id=account.id,
        platform=watched.platform,
        team=watched.team,
        account=account.name,
        name=f"shared by {counted(row.campaigns, 'campaign')}" if row.budget_kind == BudgetKind.SHARED else row.name,
        budget=row.budget_kind,
        currency=row.currency,
        as_of=watched.as_of,
    )
    if row.budget_kind == BudgetKind.LIFETIME:
        period, limit, pace, most_a_day = Period(Span.LIFETIME, row.first_day, row.last_day), row.amount, None, None
    else:
        pacing = PACING[watched.platform]
        since, until = days_of(pacing.span, today)
        period = Period(pacing.span, since, until)
        limit = period_limit(pacing, row.amount, today, row.first_day, row.last_day)
        pace = row.amount * running_days(since, today, row.first_day, row.last_day)
        most_a_day = None if pacing.day_factor is None else row.amount * pacing.day_factor
    if limit > 0:
        start = max((day for day in (period.since, row.first_day) if day), default=date.min)
        end = min((day for day in (period.until, row.last_day) if day), default=None)
        notes = _unknown_before(start, [watched.known_from])
        if row.unreported:
            notes.append(f"The platform reports no figures for {row.unreported} of its campaigns")
        yield reading(
            subject=f"{subject}.{period.key}",
            period=period,
            limit=limit,
            spent=row.spent,
            pace=pace,
            at_least=bool(notes),
            note=". ".join(notes),
            projection=project(
                row.spent,
                days,
                watched.partial,
                end,
                since=period.since,
                known_from=watched.known_from or date.max,
                # Without an active campaign, nothing more is spent.
                most_a_day=most_a_day if row.is_active else NOTHING,
                most=limit,
            ),
        )
    if most_a_day and (spent := days.get(today)):
        period = Period(Span.DAY, today, today)
        day_subject = f"{subject}.{period.key}"
        yield reading(subject=day_subject, period=period, limit=most_a_day, spent=spent, pace=most_a_day)


def _unknown_before(start: date, known_from: Sequence[date | None]) -> list[str]:
    """Say what is unknown of a period, given its first day and the first known day of each account."""
    late = [day for day in known_from if day and day > start]
    said = [f"Spending before {max(late)} is unknown"] if late else []
    return said + ["Not all figures have been read yet"] * (None in known_from)


def judge_teams(session: Session, now: datetime, options: BudgetOptions, ids: Sequence[int]) -> Judged:
    """Judge the budgets that these teams set."""
    scopes = {budget.id: _Scope(budget, team, name) for budget, team, name in queries.list_team_budgets(session, ids)}
    for budget_id, account, known_from in queries.accounts_of_team_budgets(session, list(scopes)):
        scopes[budget_id].add(account, known_from, now, options.stale_hours)
    readings = [scope.reading(session) for scope in scopes.values() if scope.watched and not scope.is_unknown]
    foreign = [scope for scope in scopes.values() if scope.foreign and not scope.counted]
    unreported = {scope.subject: FOREIGN.format(currency=scope.budget.currency) for scope in foreign}
    unknown = [scope.subject for scope in scopes.values() if scope.is_unknown]
    alerts = _without(open_of_teams(session, ids), (*unknown, *unreported))
    return Judged(readings, alerts, Checked(unreported=unreported))


@dataclass
class _Scope:
    """A team's budget and its accounts. The spending of all `counted` accounts is added up, even of closed ones.

    If only some accounts have fresh figures, the total is a lower bound, which may open an alert but never closes one.
    """

    budget: TeamBudget
    team: str
    account: str | None
    counted: list[int] = field(default_factory=list)
    watched: list[_Watched] = field(default_factory=list)
    fresh: list[_Watched] = field(default_factory=list)
    stale: int = 0
    foreign: int = 0

    @property
    def subject(self) -> str:
        return f"team-{self.budget.team_id}.budget-{self.budget.id}"

    @property
    def is_unknown(self) -> bool:
        return bool(self.stale and not self.fresh)

    def add(self, account: AdAccount, known_from: date | None, now: datetime, stale_hours: int) -> None:
        is_active = account.status == ACTIVE
        if account.currency != self.budget.currency:
            self.foreign += is_active
            return
        self.counted.append(account.id)
        one = _Watched.at(account, self.team, known_from, now, stale_hours)
        if one is not None:  # otherwise the check of the account's own budgets reports it
            self.watched.append(one)
            if is_active and not one.is_stale:
                self.fresh.append(one)
                return
        self.stale += is_active

    def reading(self, session: Session) -> Reading:
        # A month starts when the previous one is over for every account.
        since, until = days_of(Span.MONTH, min(one.today for one in self.watched))
        period = Period(Span.MONTH, since, until)
        partial_day = min((one.partial for one in self.fresh), default=since)
        oldest = min(since, partial_day - HISTORY)
        days = queries.read_team_spend(session, self.counted, self.budget.currency, oldest)
        spent = sum((spend for day, spend in days.items() if since <= day <= until), NOTHING)
        # An account that was closed when it was connected is never read.
        known_from = [one.known_from for one in self.watched if one.known_from or one.account.status == ACTIVE]
        lacking = _unknown_before(since, known_from)
        if unreported := queries.count_unreported(session, self.counted):
            lacking.append(f"The platforms report no figures for {counted(unreported, 'campaign')}")
        if mixed := queries.count_mixed(session, self.counted, self.budget.currency, since):
            lacking.append(f"Not counted: the figures of {counted(mixed, 'account')} in an earlier currency")
        notes = [f"The spend data of {counted(self.stale, 'account')} is old"] if self.stale else []
        notes += lacking
        notes += [f"Not counted: {counted(self.foreign, 'account')} in another currency"] if self.foreign else []
        return Reading(
            subject=f"{self.subject}.{period.key}",
            team_id=self.budget.team_id,
            team=self.team,
            account=self.account or self.budget.platform or "all accounts",
            name=f"monthly budget {self.budget.id}",
            budget="set by the team",
            period=period,
            currency=self.budget.currency,
            limit=self.budget.amount,
            spent=spent,
            is_complete=not self.stale and not mixed,
            at_least=bool(self.stale or lacking),
            note=". ".join(notes),
            as_of=min((one.as_of for one in self.fresh if one.as_of), default=None),
            # Platforms do not know this budget, so it does not limit the projection.
            projection=project(
                spent,
                days,
                partial_day,
                until,
                since=since,
                known_from=max((day or date.max for day in known_from), default=date.min),
            ),
        )
