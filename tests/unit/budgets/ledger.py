"""A database with accounts, campaigns and spending, for the tests of check-budgets."""

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from sivera.alerts.changes import AlertEvent
from sivera.budgets.checking import check_part
from sivera.budgets.options import BudgetOptions
from sivera.budgets.summary import TEAMS, Checked, CheckSummary
from sivera.models import TeamBudget
from sivera.values import PlatformName
from tests.unit.tables import Tables

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FIRST, TODAY = date(2026, 11, 1), date(2026, 11, 20)
DAY = timedelta(days=1)
LONG = 60.0
READ = date(2025, 1, 1), date(2026, 12, 31)
DEFAULT = BudgetOptions()


@dataclass
class Ledger(Tables):
    """Writes accounts and their spending, and checks the budgets at a chosen time."""

    now: datetime = NOW
    campaigns: int = field(default=0)
    events: list[AlertEvent] = field(default_factory=list)

    def account(
        self,
        platform: PlatformName = PlatformName.GOOGLE,
        timezone: str = "UTC",
        currency: str = "USD",
        *,
        team: str = "Hanok",
    ) -> int:
        """Add an account that was connected long ago, and was synced in full just now."""
        self.campaigns += 1
        account = self.add_account(
            self.team(team),
            platform,
            external_id=str(self.campaigns),
            name=f"Account {self.campaigns}",
            currency=currency,
            timezone=timezone,
            synced_as_of=self.now,
            last_full_sync_at=self.now,
            created_at=self.now - timedelta(days=400),
        )
        self.cover(account, *READ)
        return account

    def campaign(self, account: int, amount: str, kind: str = "daily", **more: object) -> str:
        """Add a campaign, and return its id at the platform."""
        self.campaigns += 1
        described = {"name": f"Campaign {self.campaigns}", "start_date": date(2026, 1, 1), **more}
        self.add_campaign(account, str(self.campaigns), budget_kind=kind, budget_amount=amount, **described)
        return str(self.campaigns)

    def spend(self, account: int, campaign: str, spend: str, since: date, until: date | None = None) -> None:
        """Write what a campaign spent on each of these days."""
        self.add_figures(account, campaign, since, until, spend=spend)

    def synced(self, account: int, at: datetime | None = None) -> None:
        self.execute("UPDATE ad_accounts SET synced_as_of = :at WHERE id = :id", at=at or self.now, id=account)

    def reported(self, account: int, as_of: datetime, product: str) -> None:
        """Store a report of an ad product that was requested at a time."""
        self.cover(account, *READ, product, as_of)

    def go_to(self, now: datetime) -> None:
        """Move the time, and sync every account."""
        self.now = now
        self.execute("UPDATE ad_accounts SET synced_as_of = :now", now=now)

    def budget(self, amount: str, currency: str = "USD", **scope: object) -> str:
        """Set a team's monthly budget, and return the subject of its alerts."""
        team = self.team()
        with Session(self.engine) as session, session.begin():
            session.add(budget := TeamBudget(team_id=team, currency=currency, amount=amount, **scope))
            session.flush()
            return f"team-{team}.budget-{budget.id}.month"

    def check_part(self, part: str, until: float, options: BudgetOptions = DEFAULT) -> Checked:
        return check_part(
            self.engine,
            options,
            part,
            until,
            link="http://ui/run",
            send_events=self.events.extend,
            now=lambda _: self.now,
        )

    def check(self, options: BudgetOptions = DEFAULT) -> CheckSummary:
        """Check everything, as a run of the flow does."""
        until = time.monotonic() + LONG
        return CheckSummary.of({part: self.check_part(part, until, options) for part in (*PlatformName, TEAMS)})

    def open(self) -> dict[str, int]:
        """The level of each open alert by its subject without the period."""
        found = self.rows("SELECT subject, level FROM alerts WHERE closed_at IS NULL ORDER BY 1")
        return {without_period(row.subject): row.level for row in found}

    def news(self) -> list[tuple[str, str, int]]:
        """Name, subject and threshold of the events so far."""
        return [(one.name, without_period(one.payload["subject"]), one.payload["threshold"]) for one in self.events]

    def spent(self, summary: CheckSummary) -> dict[str, Decimal]:
        """The spending of each subject that the page shows."""
        return {without_period(one.subject): one.spent for one in summary.total.worst}


def without_period(subject: str) -> str:
    """The subject of an alert without the first day of its period."""
    return re.sub(r"\.\d{4}-\d\d-\d\d$", "", subject)


def spent_over(ledger: Ledger, total: str, amount: str = "100") -> tuple[int, str, str]:
    """Add a Google campaign that spent a total on the first; return its account, id and subject."""
    account = ledger.account()
    campaign = ledger.campaign(account, amount)
    ledger.spend(account, campaign, total, FIRST)
    return account, campaign, f"account-{account}.campaign-{campaign}.month"
