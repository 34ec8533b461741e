"""A report as data, before it is written as a page and as a table."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sivera.reports.figures import Section
from sivera.reports.rules import MissingAccount, final_on
from sivera.values import PlatformName, Value


class Point(Value):
    """What one platform spent on one day, in one currency, and the conversions."""

    currency: str
    day: date
    platform: PlatformName
    spend: Decimal
    conversions: Decimal


class Report(Value):
    """What a team's report on a day says; `checksum` is that of `sivera.reports.rules`."""

    team_id: int
    team: str
    timezone: str
    day: date
    checksum: str
    sections: tuple[Section, ...]
    points: tuple[Point, ...]
    missing: tuple[MissingAccount, ...]
    zones: dict[int, str]

    def provisional(self, made_on: date) -> Sequence[tuple[PlatformName, date]]:
        """Return the platforms that still restate the day, each with the day from which they do not.

        Args:
            made_on: The day on which the report is made.
        """
        platforms = sorted({line.platform for section in self.sections for line in section.platforms if line.platform})
        final = ((platform, final_on(self.day, platform)) for platform in platforms)
        return [(platform, until) for platform, until in final if made_on < until]

    def summary(self) -> dict[str, Any]:
        """Return what stands beside the report in the database: its totals by currency, and what is missing."""
        return {
            "currencies": {section.currency: section.total.day.model_dump(mode="json") for section in self.sections},
            "missing": [account.model_dump(mode="json") for account in self.missing],
        }


class Made(Value):
    """When (in the team's time zone) and as which version a report is made."""

    at: datetime
    version: int
