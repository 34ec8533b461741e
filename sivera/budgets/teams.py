"""The check of the monthly budgets that teams set, over all their accounts of the budget's currency.

No platform keeps to such a budget, so nothing bounds its projection. A month begins when the one before is over in the
time zone of each of its accounts. Where only some of its accounts have fresh figures, what is known is a lower bound:
it may open an alert, and never closes one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from sivera.accounts import queries as account_queries
from sivera.budgets import alert_queries, queries, rules
from sivera.budgets.alerting import Changes, as_open
from sivera.budgets.checking import CheckDependencies
from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import Period, Span, period_of
from sivera.budgets.projection import HISTORY_DAYS, Bounds, project
from sivera.budgets.queries import Since
from sivera.budgets.readings import Watched, is_stale
from sivera.budgets.rules import Reading
from sivera.budgets.summary import Checked, worst_first
from sivera.models import AdAccount, TeamBudget

KIND = "set by the team"


@dataclass
class _Scope:
    """A team's budget, and the accounts that it is about: `counted` are all whose spending is added up."""

    budget: TeamBudget
    team: str
    about: str
    counted: list[int] = field(default_factory=list)
    open: list[Watched] = field(default_factory=list)
    fresh: list[Watched] = field(default_factory=list)
    closed: list[Watched] = field(default_factory=list)
    stale: int = 0
    foreign: int = 0

    @property
    def subject(self) -> str:
        return f"team-{self.budget.team_id}.budget-{self.budget.id}"

    @property
    def watched(self) -> list[Watched]:
        """The accounts whose days are those of the budget; what a closed one spent still counts."""
        return self.fresh or ([] if self.stale else self.closed)

    @property
    def today(self) -> date:
        # Of accounts with old figures too: whether their month is over, no sync has to say.
        return min(one.today for one in self.open or self.closed)

    @property
    def partial(self) -> date:
        return min(one.partial for one in self.watched)

    @property
    def period(self) -> Period:
        return period_of(Span.MONTH, self.today)

    def add(self, account: AdAccount, now: datetime, stale_hours: int) -> None:
        """Sort an account in."""
        is_active = account.status == account_queries.ACTIVE
        if account.currency != self.budget.currency:
            self.foreign += is_active
            return
        self.counted.append(account.id)
        try:
            watched = Watched.at(account, self.team, now)
        except (KeyError, ValueError):  # the time zone is unknown; checking its own budgets says so
            self.stale += is_active
            return
        (self.open if is_active else self.closed).append(watched)
        if is_active and is_stale(account, now, stale_hours):
            self.stale += 1
        elif is_active:
            self.fresh.append(watched)

    def asked(self) -> list[Since]:
        """Return which days of which accounts to ask for."""
        if not self.watched:
            return []
        since, oldest = self.period.since, self.partial - timedelta(days=HISTORY_DAYS)
        return [Since(self.budget.id, one, self.today, since or oldest, oldest) for one in self.counted]

    def reading(self, row: Row[Any] | None) -> Reading:
        """Return how far the budget is spent; None where nothing is."""
        days: Mapping[date, Decimal] = dict(zip(row.days, row.spends, strict=True)) if row else {}
        spent = row.spent if row else Decimal(0)
        notes = [f"{self.stale} of its accounts have old spend data"] if self.stale else []
        notes += [f"{self.foreign} accounts in other currencies are not counted"] if self.foreign else []
        return Reading(
            subject=self.subject,
            team_id=self.budget.team_id,
            team=self.team,
            account=self.about,
            name=f"monthly budget {self.budget.id}",
            budget=KIND,
            period=self.period,
            currency=self.budget.currency,
            limit=self.budget.amount,
            spent=spent,
            is_complete=not self.stale,
            at_least=bool(self.stale),
            note=". ".join(notes),
            as_of=min((one.account.metrics_as_of for one in self.watched if one.account.metrics_as_of), default=None),
            projection=project(spent, days, self.partial, self.period, Bounds()),
        )


def check_team_budgets(deps: CheckDependencies, options: BudgetOptions, until: float) -> Checked:
    """Check the budgets that teams set, of all their platforms, in the order and with the bound of `check_platform`."""
    with Session(deps.engine) as session:
        in_turn = queries.teams_in_turn(session, options.teams)
    found = Checked()
    for first in range(0, len(in_turn), deps.teams_at_once):
        if deps.monotonic() >= until:
            return found + Checked(put_off=True)
        ids = in_turn[first : first + deps.teams_at_once]
        with Session(deps.engine) as session, session.begin():
            alert_queries.lock_alerts(session)
            found += _check_teams(session, deps, options, ids)
            queries.mark_teams(session, ids)
    return found


def _check_teams(session: Session, deps: CheckDependencies, options: BudgetOptions, team_ids: Sequence[int]) -> Checked:
    changes = Changes(deps.link)
    scopes = _scopes(session, deps.now(), options, team_ids)
    spend = queries.read_team_spend(session, [since for scope in scopes for since in scope.asked()])
    readings = {scope.subject: scope.reading(spend.get(scope.budget.id)) for scope in scopes if scope.watched}
    # Nothing is known of a budget all of whose accounts are stale.
    silent = {scope.subject for scope in scopes if not scope.watched and scope.stale}
    alerts = rules.by_subject([as_open(row) for row in alert_queries.open_of_teams(session, team_ids)])
    for subject in sorted((readings.keys() | alerts.keys()) - silent):
        changes.judge(readings.get(subject), alerts.get(subject, []), options)
    opened, closed = changes.write(session)
    return Checked(budgets=len(readings), opened=opened, closed=closed, worst=worst_first(tuple(readings.values())))


def _scopes(session: Session, now: datetime, options: BudgetOptions, team_ids: Sequence[int]) -> Sequence[_Scope]:
    found = {
        budget.id: _Scope(budget, team, account or budget.platform or "all accounts")
        for budget, team, account in queries.list_team_budgets(session, team_ids)
    }
    for budget_id, account in queries.accounts_of_team_budgets(session, list(found)):
        found[budget_id].add(account, now, options.stale_hours)
    return list(found.values())
