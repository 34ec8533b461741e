"""The check of the monthly budgets that teams set, over all their accounts in the budget's currency.

No platform keeps to such a budget, so nothing bounds its projection. A month begins when the one before is over in the
time zone of each of its accounts. If only some of its accounts have fresh figures, what is known is a lower bound: it
may open an alert, and never closes one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE
from sivera.alerts.queries import open_of_teams
from sivera.budgets import queries
from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import Period, Span, period_of
from sivera.budgets.platform_budgets import Judged
from sivera.budgets.projection import HISTORY_DAYS, Bounds, project
from sivera.budgets.queries import Since
from sivera.budgets.rules import Reading
from sivera.budgets.summary import Checked, worst_first
from sivera.budgets.watched import Watched, is_stale
from sivera.models import AdAccount, TeamBudget


def in_turn(session: Session, _part: str, options: BudgetOptions) -> Sequence[int]:
    """Return the ids of the teams to check, those first that have waited longest for a check."""
    return queries.teams_in_turn(session, options.teams)


def judge(session: Session, now: datetime, options: BudgetOptions, ids: Sequence[int]) -> Judged:
    """Judge the budgets that some teams set."""
    scopes = {
        budget.id: _Scope(budget, team, account or budget.platform or "all accounts")
        for budget, team, account in queries.list_team_budgets(session, ids)
    }
    for budget_id, account in queries.accounts_of_team_budgets(session, list(scopes)):
        scopes[budget_id].add(account, now, options.stale_hours)
    spend = queries.read_team_spend(session, [since for scope in scopes.values() for since in scope.asked()])
    readings = [scope.reading(spend.get(scope.budget.id)) for scope in scopes.values() if scope.watched]
    # If all accounts of a budget have old figures, nothing is known of it.
    unknown = tuple(scope.subject for scope in scopes.values() if not scope.watched and scope.stale)
    alerts = [alert for alert in open_of_teams(session, ids) if not alert.subject.startswith(unknown)]
    return Judged(Checked(budgets=len(readings), worst=worst_first(readings)), readings, alerts)


@dataclass
class _Scope:
    """A team's budget, and the accounts that it is about: the spending of all `counted` is added up."""

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
        """How the subjects of its alerts begin."""
        return f"team-{self.budget.team_id}.budget-{self.budget.id}."

    @property
    def watched(self) -> list[Watched]:
        """The accounts that say which day it is; what a closed one spent still counts."""
        return self.fresh or ([] if self.stale else self.closed)

    @property
    def partial(self) -> date:
        return min(one.partial for one in self.watched)

    @property
    def period(self) -> Period:
        # Accounts with old figures count too: no sync has to say whether their month is over.
        return period_of(Span.MONTH, min(one.today for one in self.open or self.closed))

    def add(self, account: AdAccount, now: datetime, stale_hours: int) -> None:
        """Sort an account in."""
        is_active = account.status == ACTIVE
        if account.currency != self.budget.currency:
            self.foreign += is_active
            return
        self.counted.append(account.id)
        try:
            watched = Watched.at(account, self.team, now)
        except (KeyError, ValueError):  # its time zone is unknown; the check of its own budgets says so
            self.stale += is_active
            return
        (self.open if is_active else self.closed).append(watched)
        if is_active and is_stale(account, now, stale_hours):
            self.stale += 1
        elif is_active:
            self.fresh.append(watched)

    def asked(self) -> list[Since]:
        """Return the days to ask for, of each account."""
        if not self.watched:
            return []
        oldest = self.partial - timedelta(days=HISTORY_DAYS)
        return [Since(self.budget.id, one, self.partial, self.period.since or oldest, oldest) for one in self.counted]

    def reading(self, row: Row[Any] | None) -> Reading:
        """Return how much of the budget is spent; without a row, nothing is."""
        days: Mapping[date, Decimal] = dict(zip(row.days, row.spends, strict=True)) if row else {}
        spent = row.spent if row else Decimal(0)
        notes = [f"{self.stale} of its accounts have old spend data"] if self.stale else []
        notes += [f"{self.foreign} accounts in other currencies are not counted"] if self.foreign else []
        return Reading(
            subject=f"{self.subject}{self.period.key}",
            team_id=self.budget.team_id,
            team=self.team,
            account=self.about,
            name=f"monthly budget {self.budget.id}",
            budget="set by the team",
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
