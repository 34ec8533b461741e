"""A database with accounts, campaigns and what they spent, for the tests of check-budgets."""

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from sivera.alerts.changes import AlertEvent
from sivera.budgets.checking import check_part
from sivera.budgets.options import BudgetOptions
from sivera.budgets.summary import TEAMS, Checked, CheckSummary
from sivera.values import PlatformName
from tests.unit.tables import Tables

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LONG = 60.0
DEFAULT = BudgetOptions()


@dataclass
class Ledger(Tables):
    """Writes accounts and their spending, and checks the budgets at a time that a test chooses."""

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
        """Add an account that was connected long ago and synced in full, the last time just now."""
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
        self.cover(account, date(2025, 1, 1))
        return account

    def cover(self, account: int, since: date | None, product: str = "") -> None:
        """Let all figures since a day have been read."""
        self.execute(
            """INSERT INTO sync_parts (account_id, kind, ad_product, covered_since, covered_until)
               VALUES (:account, 'metrics', :product, :since, :since)
               ON CONFLICT (account_id, kind, ad_product) DO UPDATE SET covered_since = excluded.covered_since""",
            account=account,
            product=product,
            since=since,
        )

    def campaign(self, account: int, amount: str | None, kind: str = "daily", **more: object) -> str:
        """Add a campaign; returns its id at the platform."""
        self.campaigns += 1
        given = {
            "account": account,
            "id": str(self.campaigns),
            "name": f"Campaign {self.campaigns}",
            "kind": kind,
            "amount": amount,
            "budget": None,
            "status": "active",
            "start": date(2026, 1, 1),
            "end": None,
        } | more
        self.execute(
            """INSERT INTO campaigns (account_id, external_id, name, status, native_status, budget_kind, budget_amount,
                                      budget_currency, budget_id, start_date, end_date)
               SELECT id, :id, :name, :status, :status, :kind, CAST(:amount AS numeric), currency, :budget,
                      CAST(:start AS date), CAST(:end AS date) FROM ad_accounts WHERE id = :account""",
            **given,
        )
        return str(given["id"])

    def spend(self, account: int, campaign: str, spend: str, since: date, until: date | None = None) -> None:
        """Let a campaign have spent so much on each of these days."""
        self.execute(
            """INSERT INTO campaign_daily_metrics (account_id, campaign_id, day, impressions, clicks, spend,
                                                   conversions, conversion_value, currency)
               SELECT id, :campaign, day, 1, 1, CAST(:spend AS numeric), 0, 0, currency
               FROM ad_accounts, generate_series(CAST(:since AS date), CAST(:until AS date), interval '1 day') AS day
               WHERE id = :account
               ON CONFLICT (account_id, campaign_id, day) DO UPDATE SET spend = excluded.spend""",
            account=account,
            campaign=campaign,
            spend=spend,
            since=since,
            until=until or since,
        )

    def synced(self, account: int, at: datetime | None = None) -> None:
        self.execute("UPDATE ad_accounts SET synced_as_of = :at WHERE id = :id", at=at or self.now, id=account)

    def reported(self, account: int, as_of: datetime, product: str) -> None:
        """Store a report of an ad product that was asked for at a time."""
        self.execute(
            """INSERT INTO sync_parts (account_id, kind, ad_product, figures_as_of, covered_since, covered_until)
               VALUES (:account, 'metrics', :product, :as_of, '2025-01-01', '2026-12-31')
               ON CONFLICT (account_id, kind, ad_product) DO UPDATE SET figures_as_of = excluded.figures_as_of""",
            account=account,
            product=product,
            as_of=as_of,
        )

    def go_to(self, now: datetime) -> None:
        """Let time pass, while every account is synced."""
        self.now = now
        self.execute("UPDATE ad_accounts SET synced_as_of = :now", now=now)

    def budget(self, amount: str, currency: str = "USD", **scope: object) -> int:
        given = {"team": self.team(), "platform": None, "account": None} | scope
        self.execute(
            """INSERT INTO team_budgets (team_id, platform, account_id, currency, amount)
               VALUES (:team, :platform, :account, :currency, CAST(:amount AS numeric))""",
            currency=currency,
            amount=amount,
            **given,
        )
        (last,) = self.rows("SELECT max(id) AS id FROM team_budgets")
        return int(last.id)

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
        """Check everything, as a run of the flow."""
        parts = [*(platform.value for platform in options.platforms or PlatformName), TEAMS]
        until = time.monotonic() + LONG
        return CheckSummary.of({part: self.check_part(part, until, options) for part in parts})

    def open(self) -> dict[str, int]:
        """The level of each open alert by its subject, without the first day of its period."""
        found = self.rows("SELECT subject, level FROM alerts WHERE closed_at IS NULL ORDER BY 1")
        return {without_period(row.subject): row.level for row in found}

    def news(self) -> list[tuple[str, str, int]]:
        """Name, subject and threshold of the events so far, in their order."""
        return [(one.name, without_period(one.payload["subject"]), one.payload["threshold"]) for one in self.events]

    def spent(self, summary: CheckSummary) -> dict[str, Decimal]:
        """What each subject that is shown has spent."""
        return {without_period(one.subject): one.spent for one in summary.total.worst}


def without_period(subject: str) -> str:
    """The subject of an alert without the first day of its period."""
    return re.sub(r"\.\d{4}-\d\d-\d\d$", "", subject)
