"""Teams, accounts and plain SQL for tests that write what a sync would have stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Engine, Row, select, text
from sqlalchemy.orm import Session

from sivera.models import (
    AccountDailyTotal,
    AdAccount,
    Campaign,
    PlatformCredential,
    SyncPart,
    Team,
)
from sivera.values import PlatformName


@dataclass
class Tables:
    """Writes straight into a database."""

    engine: Engine

    def execute(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, query: str, **values: object) -> Sequence[Row[Any]]:
        with self.engine.connect() as connection:
            return connection.execute(text(query), values).all()

    def team(self, name: str = "Hanok", timezone: str = "UTC", language: str = "en") -> int:
        """The id of a team, which is added if it is not there."""
        with Session(self.engine) as session, session.begin():
            team = session.scalar(select(Team).where(Team.name == name))
            team = team or Team(name=name, timezone=timezone, language=language)
            session.add(team)
            session.flush()
            return team.id

    def add_account(self, team_id: int, platform: PlatformName, **columns: object) -> int:
        """Add an account to the team's grant for the platform; return its id."""
        with Session(self.engine) as session, session.begin():
            of_team = {"team_id": team_id, "platform": platform.value}
            grant = session.scalar(select(PlatformCredential).filter_by(**of_team))
            grant = grant or PlatformCredential(**of_team, name="main")
            session.add(grant)
            session.flush()
            account = AdAccount(**of_team, credential_id=grant.id, **columns)
            session.add(account)
            session.flush()
            return account.id

    def cover(
        self, account_id: int, since: date | None, until: date | None, product: str = "", as_of: datetime | None = None
    ) -> None:
        """Let the figures of these days have been read; of an ad product perhaps by a report of a time."""
        read = {"covered_since": since, "covered_until": until, "figures_as_of": as_of}
        with Session(self.engine) as session, session.begin():
            session.merge(SyncPart(account_id=account_id, kind="metrics", ad_product=product, **read))

    def add_campaign(self, account_id: int, campaign_id: str, **columns: object) -> None:
        described = {"status": "active", "native_status": "ENABLED", "budget_kind": "lower_level", **columns}
        with Session(self.engine) as session, session.begin():
            currency = session.get_one(AdAccount, account_id).currency
            session.add(Campaign(account_id=account_id, external_id=campaign_id, budget_currency=currency, **described))

    def add_figures(
        self, account_id: int, campaign_id: str, since: date, until: date | None = None, **figures: object
    ) -> None:
        """Write what a campaign did on each of these days, in place of what was there."""
        known = dict.fromkeys(("currency", "impressions", "clicks", "spend", "conversions", "conversion_value"))
        self.execute(
            """INSERT INTO campaign_daily_metrics (account_id, campaign_id, day, currency, impressions, clicks, spend,
                                                   conversions, conversion_value)
               SELECT id, :campaign, day, coalesce(:currency, currency), coalesce(CAST(:impressions AS int), 0),
                      coalesce(CAST(:clicks AS int), 0), coalesce(CAST(:spend AS numeric), 0),
                      coalesce(CAST(:conversions AS numeric), 0), coalesce(CAST(:conversion_value AS numeric), 0)
               FROM ad_accounts, generate_series(CAST(:since AS date), CAST(:until AS date), interval '1 day') AS day
               WHERE id = :account
               ON CONFLICT (account_id, campaign_id, day) DO UPDATE
               SET spend = excluded.spend, conversions = excluded.conversions""",
            account=account_id,
            campaign=campaign_id,
            since=since,
            until=until or since,
            **known | figures,
        )

    def add_total(self, account_id: int, day: date, spend: float | str, unattributed: float | str) -> None:
        """Write what an account spent on a day, and how much of it no campaign has."""
        with Session(self.engine) as session, session.begin():
            amounts = {"spend": str(spend), "unattributed": str(unattributed), "currency": "USD"}
            session.merge(AccountDailyTotal(account_id=account_id, day=day, **amounts))
