"""The figures of a report. Money is in major units, and amounts in different currencies are never added."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sivera.reports.coverage import Known, State, States
from sivera.reports.rules import AccountFacts, MissingAccount, Period, final_on
from sivera.values import PlatformName

MOVERS = 5
ZERO = Decimal(0)

SUMS = ("impressions", "clicks", "spend", "conversions", "conversion_value")

OF_ONE_PLATFORM = ("cpa", "roas")
"""Each platform counts conversions its own way, so these ratios mean nothing across platforms."""


class Figures(NamedTuple):
    """The spend of a period and its results. A ratio with a denominator of zero is None.

    `spend` includes `unattributed` spend, which belongs to no campaign. Ratios leave it out, because its results are
    unknown. See `State` for `known` and `since`.
    """

    impressions: int = 0
    clicks: int = 0
    spend: Decimal = ZERO
    conversions: Decimal = ZERO
    conversion_value: Decimal = ZERO
    unattributed: Decimal = ZERO
    known: Known = Known.WHOLE
    since: date | None = None

    @property
    def is_shown(self) -> bool:
        """Whether any of the period is known."""
        return self.known in (Known.WHOLE, Known.PART)

    @property
    def ctr(self) -> Decimal | None:
        """Clicks per impression."""
        return ratio(self.clicks, self.impressions)

    @property
    def cpc(self) -> Decimal | None:
        """Spend per click."""
        return ratio(self.spend - self.unattributed, self.clicks)

    @property
    def cpa(self) -> Decimal | None:
        """Spend per conversion."""
        return ratio(self.spend - self.unattributed, self.conversions)

    @property
    def roas(self) -> Decimal | None:
        """Conversion value per spend."""
        return ratio(self.conversion_value, self.spend - self.unattributed)


def ratio(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """Return `part` divided by `whole`, or None if that is undefined."""
    return Decimal(part) / Decimal(whole) if whole else None


def change(now: Decimal | int | None, before: Decimal | int | None) -> Decimal | None:
    """Return the relative change of a figure, or None if that is undefined."""
    return None if now is None or before is None else ratio(Decimal(now) - Decimal(before), abs(Decimal(before)))


def comparable(now: Figures, before: Figures) -> bool:
    """Whether both periods are wholly known."""
    return now.known is before.known is Known.WHOLE


NOTHING: Mapping[Period, Figures] = dict.fromkeys(Period, Figures())


class Line(NamedTuple):
    """The figures of a campaign, of an account's unattributed spend, of an account, a platform or a currency."""

    platform: PlatformName | None = None
    account_id: int | None = None
    account: str = ""
    campaign_id: str | None = None
    campaign: str = ""
    figures: Mapping[Period, Figures] = NOTHING
    is_reported: bool = True
    is_unattributed: bool = False

    @property
    def moved(self) -> Decimal:
        """How much more it spent than on the same weekday a week earlier; zero if they are not comparable."""
        now, before = self.figures[Period.DAY], self.figures[Period.WEEK_BEFORE]
        return now.spend - before.spend if comparable(now, before) and not self.is_unattributed else ZERO

    def marked(self, states: States) -> "Line":
        """Return the line with the state of each period."""
        return self._replace(figures={period: self._marked(period, states[period]) for period in Period})

    def _marked(self, period: Period, state: State) -> Figures:
        figures = self.figures[period]
        if not self.is_reported:
            state = State(Known.NOT_REPORTED)
        elif state.known is Known.NOT_READ and any(getattr(figures, name) for name in SUMS):
            state = State(Known.PART)  # it was read before a pause that was too long to catch up on
        return figures._replace(**state._asdict())


@dataclass(frozen=True)
class Section:
    """The figures in one currency. Lines are ordered by spend on the day, then in the month, the largest first."""

    currency: str
    total: Line
    platforms: tuple[Line, ...]
    accounts: tuple[Line, ...]
    campaigns: tuple[Line, ...]
    rising: tuple[Line, ...]
    falling: tuple[Line, ...]
    gaps: tuple[date, ...] = ()

    @property
    def is_of_one_platform(self) -> bool:
        """Whether its conversions are all counted the same way."""
        return len(self.platforms) == 1

    @property
    def unreported(self) -> int:
        """How many campaigns the sums leave out."""
        return sum(not line.is_reported for line in self.campaigns)


def to_section(
    currency: str, campaigns: Sequence[Line], quiet: Sequence[Line] = (), gaps: tuple[date, ...] = ()
) -> Section:
    """Add up the campaigns of a currency, of which there is at least one.

    `campaigns` also has a line for each account's unattributed spend. `quiet` has one for each account without any, to
    say how much of its figures is known. `gaps` are the days of the charts with incomplete figures.
    """
    ordered = _by_spend(campaigns)
    moved = sorted(ordered, key=lambda line: line.moved)
    added = (*ordered, *quiet)
    return Section(
        currency=currency,
        total=_add(added),
        platforms=_group(added, "platform"),
        accounts=_group(added, "platform", "account_id", "account"),
        campaigns=ordered,
        gaps=gaps,
        rising=tuple(line for line in moved[: -MOVERS - 1 : -1] if line.moved > 0),
        falling=tuple(line for line in moved[:MOVERS] if line.moved < 0),
    )


def _group(lines: Iterable[Line], *names: str) -> tuple[Line, ...]:
    groups: dict[tuple[object, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(tuple(getattr(line, name) for name in names), []).append(line)
    return _by_spend(_add(group, **dict(zip(names, key, strict=True))) for key, group in groups.items())


def _add(lines: Sequence[Line], **names: Any) -> Line:
    return Line(**names, figures={period: _sum([line.figures[period] for line in lines]) for period in Period})


def _sum(figures: Sequence[Figures]) -> Figures:
    sums = (sum(amounts) for amounts in zip(*(one[: len(SUMS) + 1] for one in figures), strict=True))
    return Figures(*sums)._replace(**_together(figures)._asdict())


def _together(figures: Sequence[Figures]) -> State:
    """Return how much of a sum is known. It leaves out campaigns that are not reported; the report says so."""
    reported = [one for one in figures if one.known is not Known.NOT_REPORTED]
    odd = [one for one in reported if one.known is not Known.WHOLE]
    if not odd:
        return State(Known.WHOLE if reported else Known.NOT_REPORTED)
    if all(one.known is Known.NOT_READ for one in reported):
        return State(Known.NOT_READ)
    sinces = [one.since for one in odd if one.since]
    return State(Known.PART, max(sinces) if len(sinces) == len(odd) else None)


def _by_spend(lines: Iterable[Line]) -> tuple[Line, ...]:
    def key(line: Line) -> tuple[Decimal, Decimal, str]:
        day, month = line.figures[Period.DAY], line.figures[Period.MONTH_TO_DATE]
        return -day.spend, -month.spend, str(line.campaign_id)

    return tuple(sorted(lines, key=key))


class Point(NamedTuple):
    """The spend and the conversions on one platform on one day in one currency."""

    currency: str
    day: date
    platform: PlatformName
    spend: Decimal
    conversions: Decimal


@dataclass(frozen=True)
class Report:
    """The content of a team's report on a day."""

    team: str
    timezone: str
    day: date
    digest: str
    sections: tuple[Section, ...]
    points: tuple[Point, ...]
    missing: tuple[MissingAccount, ...]
    late: tuple[AccountFacts, ...] = ()
    meta_conversion: str | None = None

    def provisional(self, today: date) -> list[tuple[PlatformName, date]]:
        """Return the platforms that may still restate the day, each with the day on which it becomes final."""
        final = ((platform, final_on(self.day, platform)) for platform in self.platforms)
        return [(platform, until) for platform, until in final if today < until]

    @property
    def platforms(self) -> list[PlatformName]:
        """The platforms with figures."""
        return sorted({line.platform for section in self.sections for line in section.platforms if line.platform})
