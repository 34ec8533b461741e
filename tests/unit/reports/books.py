"""Books for tests of reports: teams, accounts and daily figures, written straight into the database."""

import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from sqlalchemy import Engine, Row, text
from sqlalchemy.orm import Session

from sivera.database import open_engine
from sivera.files import PrivateFileSystem
from sivera.models import AdAccount, Campaign, CampaignDailyMetric, PlatformCredential, Team
from sivera.reports.keeping import NotKeptError
from sivera.reports.options import ReportOptions
from sivera.reports.plan import plan_reports
from sivera.reports.summary import ReportPlan, TeamReports
from sivera.reports.writing import ReportDependencies, restate_reports, write_reports
from sivera.values import PlatformName

DAY = date(2026, 11, 23)
"""A Monday: the day of the report, unless a test says otherwise."""

NEXT_MORNING = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)


@dataclass
class Books:
    """Writes books, and has reports of them written below a folder; its clock stands still until a test moves it."""

    engine: Engine
    folder: Path
    now: datetime = NEXT_MORNING
    seconds: float = 0.0
    _grants: dict[tuple[int, PlatformName], int] = field(default_factory=dict)

    def team(self, name: str = "Hanok", timezone: str = "UTC", language: str = "en") -> int:
        with Session(self.engine) as session, session.begin():
            team = Team(name=name, timezone=timezone, language=language)
            session.add(team)
            session.flush()
            return team.id

    def account(
        self,
        team_id: int,
        platform: PlatformName = PlatformName.GOOGLE,
        *,
        name: str = "Shop",
        timezone: str = "UTC",
        synced: datetime | None = NEXT_MORNING,
        connected: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    ) -> int:
        with Session(self.engine) as session, session.begin():
            if (team_id, platform) not in self._grants:
                grant = PlatformCredential(team_id=team_id, platform=platform.value, name="main")
                session.add(grant)
                session.flush()
                self._grants[team_id, platform] = grant.id
            account = AdAccount(
                team_id=team_id,
                credential_id=self._grants[team_id, platform],
                platform=platform.value,
                external_id=name,
                name=name,
                currency="USD",
                timezone=timezone,
                synced_as_of=synced,
                created_at=connected,
            )
            session.add(account)
            session.flush()
            return account.id

    def campaign(self, account_id: int, campaign_id: str, name: str) -> None:
        with Session(self.engine) as session, session.begin():
            session.add(
                Campaign(
                    account_id=account_id,
                    external_id=campaign_id,
                    name=name,
                    status="active",
                    native_status="ENABLED",
                    budget_kind="lower_level",
                    budget_currency="USD",
                )
            )

    def ran(
        self,
        account_id: int,
        day: date = DAY,
        spend: float | str = 0,
        *,
        campaign: str = "c1",
        impressions: int = 0,
        clicks: int = 0,
        conversions: float | str = 0,
        value: float | str = 0,
        currency: str = "USD",
    ) -> None:
        """Write a campaign's day, in place of what stood there."""
        with Session(self.engine) as session, session.begin():
            session.merge(
                CampaignDailyMetric(
                    account_id=account_id,
                    campaign_id=campaign,
                    day=day,
                    impressions=impressions,
                    clicks=clicks,
                    spend=str(spend),
                    conversions=str(conversions),
                    conversion_value=str(value),
                    currency=currency,
                )
            )

    def deps(self) -> ReportDependencies:
        files = DirFileSystem(path=str(self.folder), fs=PrivateFileSystem())
        return ReportDependencies(self.engine, files, lambda: self.now, lambda: self.seconds)

    def plan(self, **options: Any) -> ReportPlan:
        with Session(self.engine) as session:
            return plan_reports(session, ReportOptions(**options), self.now)

    def run(self, **options: Any) -> list[TeamReports]:
        """What a run does, without Prefect."""
        plan = self.plan(**options)
        steps = ((write_reports, plan.lacking), (restate_reports, plan.restating))
        return [step(self.deps(), team, 1.0) for step, teams in steps for team in teams]

    def written(self, **options: Any) -> list[tuple[str, int]]:
        """Run, and return the days and versions that were written."""
        return [(str(one.day), one.version) for team in self.run(**options) for one in team.written]

    def pass_time(self, by: timedelta) -> None:
        self.now += by

    def execute(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, query: str) -> Sequence[Row[Any]]:
        with self.engine.connect() as connection:
            return connection.execute(text(query)).all()

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def page(self, day: date = DAY, version: int = 1) -> str:
        (path,) = self.folder.glob(f"team-*/{day:%Y/%m}/{day}.v{version}.html")
        return path.read_text()


def write_on_full_disk(database_url: str, folder: str, now: datetime) -> None:
    """Write reports in a process of its own, none of whose files may grow to more than 5,000 bytes."""
    books = Books(open_engine(database_url), Path(folder), now)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
    with pytest.raises(NotKeptError, match=r"2026-11-23.v1.html \(OSError\): .* has room"):
        books.run(make_up_days=0)
