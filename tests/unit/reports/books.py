"""Teams, accounts and daily figures for tests of reports, written straight into the database."""

import csv
import io
import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from fsspec.implementations.dirfs import DirFileSystem
from sqlalchemy.orm import Session

from sivera.private_files import PrivateFileSystem
from sivera.reports.options import ReportOptions
from sivera.reports.rules import paths
from sivera.reports.summary import ReportPlan, ReportSummary, ReportTally
from sivera.reports.writing import ReportDependencies, plan_reports, revise_reports, write_reports
from sivera.values import PlatformName
from tests.unit.tables import Tables

DAY = date(2026, 11, 23)
"""A Monday: the day of the report, unless a test says otherwise."""

NEXT_MORNING = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
TODAY = {"make_up_days": 0}
"""Options of a run for the last day due only."""


@dataclass
class Books(Tables):
    """Writes figures, and reports of them into a folder. Its clock stands still until a test moves it."""

    folder: Path
    now: datetime = NEXT_MORNING

    def account(
        self,
        team_id: int,
        platform: PlatformName = PlatformName.GOOGLE,
        *,
        name: str = "Shop",
        timezone: str = "UTC",
        synced: datetime | None = NEXT_MORNING,
        covered: tuple[date, date] | None = (date(2026, 1, 1), date(2027, 12, 31)),
    ) -> int:
        """Add an account whose figures were read for the covered days."""
        account = self.add_account(
            team_id,
            platform,
            external_id=name,
            name=name,
            currency="USD",
            timezone=timezone,
            synced_as_of=synced,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.cover(account, *covered or (None, None))
        return account

    def ran(
        self, account_id: int, day: date = DAY, spend: float | str = 0, *, campaign: str = "c1", **figures: object
    ) -> None:
        """Write a campaign's day, or replace it."""
        self.add_figures(account_id, campaign, day, None, spend=spend, **figures)

    def deps(self) -> ReportDependencies:
        files = DirFileSystem(path=str(self.folder), fs=PrivateFileSystem())
        return ReportDependencies(self.engine, files, lambda _: self.now)

    def plan(self, **options: Any) -> ReportPlan:
        with Session(self.engine) as session:
            return plan_reports(session, ReportOptions(**options), self.now)

    def run(self, **options: Any) -> ReportSummary:
        """Run the job without Prefect."""
        plan = self.plan(**options)
        tally = ReportTally(plan)
        for team in plan.lacking:
            tally.add(team, write_reports(self.deps(), team, math.inf))
        for team in tally.restating():
            tally.add(team, revise_reports(self.deps(), team, math.inf))
        return tally.summary()

    def written(self, **options: Any) -> tuple[list[int], list[int]]:
        """Run, and return the days of the month with new and with revised reports, in the order of writing."""
        teams = self.run(**options).written
        return [day.day for team in teams for day in team.reports], [day.day for team in teams for day in team.revised]

    def next_day(self, days: int = 1) -> None:
        """Let days pass, and sync every account."""
        self.now += days * ONE_DAY
        self.execute("UPDATE ad_accounts SET synced_as_of = :now", now=self.now)

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def page(self, day: date = DAY, team: int = 1) -> str:
        return (self.folder / paths(team, day)[0]).read_text()

    def table(self, day: date = DAY, team: int = 1) -> list[dict[str, str]]:
        return rows_of((self.folder / paths(team, day)[1]).read_bytes())


def rows_of(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))


def words(page: str) -> str:
    """Return the text of a page as a person reads it."""
    body = re.sub("</?bdi>", "", page.partition("<body>")[2])
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def periods(books: Books, level: str = "total", **of: str) -> dict[str, tuple[str, str, str]]:
    """Return the spend of a line in the table, how much of it is known and since when, by period."""
    rows = [row for row in books.table() if row["level"] == level and of.items() <= row.items()]
    return {row["period"]: (row["spend"], row["known"], row["since"]) for row in rows}
