"""Teams, accounts and plain SQL for tests that write what a sync would have stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, select, text
from sqlalchemy.orm import Session

from sivera.models import AdAccount, PlatformCredential, Team
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
