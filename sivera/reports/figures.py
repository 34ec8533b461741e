"""The figures of a report. Money is in major units; amounts of two currencies are never added."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sivera.reports.rules import MissingAccount, Period, final_on
from sivera.values import PlatformName, Value

MOVERS = 5
ZERO = Decimal(0)


class Figures(Value):
    """What was spent in a period, and what came of it. A ratio with a denominator of zero is None."""

    impressions: int = 0
    clicks: int = 0
    spend: Decimal = ZERO
    conversions: Decimal = ZERO
    conversion_value: Decimal = ZERO

    @property
    def ctr(self) -> Decimal | None:
        """Clicks by impressions."""
        return ratio(self.clicks, self.impressions)

    @property
    def cpc(self) -> Decimal | None:
        """Spend by clicks."""
        return ratio(self.spend, self.clicks)

    @property
    def cpa(self) -> Decimal | None:
        """Spend by conversions."""
        return ratio(self.spend, self.conversions)

    @property
    def roas(self) -> Decimal | None:
        """Value of conversions by spend."""
        return ratio(self.conversion_value, self.spend)


def ratio(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """Return `part` by `whole`, or None if that is undefined."""
    return Decimal(part) / Decimal(whole) if whole else None


def change(now: Decimal | int | None, before: Decimal | int | None) -> Decimal | None:
    """Return by what share a figure changed, or None if that is undefined."""
    return None if now is None or before is None else ratio(Decimal(now) - Decimal(before), abs(Decimal(before)))


class Line(Value):
    """The figures of a campaign, an account, a platform or a whole currency, by `Period`."""

    platform: PlatformName | None = None
    account_id: int | None = None
    account: str = ""
    campaign_id: str | None = None
    campaign: str = ""
    day: Figures
    day_before: Figures
    week_before: Figures
    month_to_date: Figures

    @property
    def moved(self) -> Decimal:
        """How much more it spent than on the same weekday a week before."""
        return self.day.spend - self.week_before.spend


class Section(Value):
    """All of one currency; lines by spend of the day, then of the month, the largest first."""

    currency: str
    total: Line
    platforms: tuple[Line, ...]
    accounts: tuple[Line, ...]
    campaigns: tuple[Line, ...]
    rising: tuple[Line, ...]
    falling: tuple[Line, ...]


def to_section(currency: str, campaigns: Sequence[Line]) -> Section:
    """Add up the campaigns of a currency; there is at least one."""
    ordered = _by_spend(campaigns)
    moved = sorted(ordered, key=lambda line: line.moved)
    return Section(
        currency=currency,
        total=_add(ordered),
        platforms=_group(ordered, "platform"),
        accounts=_group(ordered, "platform", "account_id", "account"),
        campaigns=ordered,
        rising=tuple(line for line in moved[: -MOVERS - 1 : -1] if line.moved > 0),
        falling=tuple(line for line in moved[:MOVERS] if line.moved < 0),
    )


def _group(lines: Iterable[Line], *names: str) -> tuple[Line, ...]:
    groups: dict[tuple[object, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(tuple(getattr(line, name) for name in names), []).append(line)
    return _by_spend(_add(group, **dict(zip(names, key, strict=True))) for key, group in groups.items())


def _add(lines: Sequence[Line], **names: object) -> Line:
    periods = {period.value: _sum([getattr(line, period) for line in lines]) for period in Period}
    return Line.model_validate(names | periods)


def _sum(figures: Sequence[Figures]) -> Figures:
    return Figures(**{name: sum(getattr(one, name) for one in figures) for name in Figures.model_fields})


def _by_spend(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: (-line.day.spend, -line.month_to_date.spend, str(line.campaign_id))))


class Point(NamedTuple):
    """What was spent on one platform on one day, in one currency, and the conversions."""

    currency: str
    day: date
    platform: PlatformName
    spend: Decimal
    conversions: Decimal


class Report(Value):
    """What a team's report on a day says."""

    team: str
    timezone: str
    day: date
    digest: str
    sections: tuple[Section, ...]
    points: tuple[Point, ...]
    missing: tuple[MissingAccount, ...]

    def provisional(self, today: date) -> list[tuple[PlatformName, date]]:
        """Return the platforms that may still restate the day, each with the day from which they do not."""
        platforms = sorted({line.platform for section in self.sections for line in section.platforms if line.platform})
        final = ((platform, final_on(self.day, platform)) for platform in platforms)
        return [(platform, until) for platform, until in final if today < until]
