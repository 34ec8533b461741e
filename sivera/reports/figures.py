"""The figures of a report. Money is in major units of one currency: what is added here is never of two."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Self

from sivera.reports.rules import Period
from sivera.values import PlatformName, Value

MOVERS = 5
ZERO = Decimal(0)


class Figures(Value):
    """What was spent and what came of it in a period. A ratio whose denominator is zero is None."""

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

    def __add__(self, other: Self) -> "Figures":
        """Add figures of the same currency."""
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


def ratio(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    """Return `part` by `whole`, or None where that is undefined."""
    return Decimal(part) / Decimal(whole) if whole else None


def change(now: Decimal | int | None, before: Decimal | int | None) -> Decimal | None:
    """Return by what share a figure changed, or None where that is undefined."""
    return None if now is None or before is None else ratio(Decimal(now) - Decimal(before), abs(Decimal(before)))


class Line(Value):
    """The figures of a platform, an account, a campaign or a whole currency, by period.

    `id` and `name` are those of the campaign, else of the account, else empty.
    """

    platform: PlatformName | None = None
    account_id: int | None = None
    account: str = ""
    campaign_id: str | None = None
    campaign: str = ""
    periods: dict[Period, Figures]

    @property
    def day(self) -> Figures:
        """The figures of the report's day."""
        return self.periods[Period.DAY]

    @property
    def day_before(self) -> Figures:
        """The figures of the day before."""
        return self.periods[Period.DAY_BEFORE]

    @property
    def week_before(self) -> Figures:
        """The figures of the same weekday a week before."""
        return self.periods[Period.WEEK_BEFORE]

    @property
    def month(self) -> Figures:
        """The figures of the month until the report's day."""
        return self.periods[Period.MONTH_TO_DATE]

    @property
    def moved(self) -> Decimal:
        """By how much its spend is above or below that of the same weekday a week before."""
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
    """Add up the campaigns of a currency.

    Args:
        currency: Its ISO code.
        campaigns: Their lines; at least one.
    """
    ordered = _by_spend(campaigns)
    moved = sorted(ordered, key=lambda line: line.moved)
    return Section(
        currency=currency,
        total=_add(ordered, {}),
        platforms=_groups(ordered, lambda line: {"platform": line.platform}),
        accounts=_groups(
            ordered,
            lambda line: {"platform": line.platform, "account_id": line.account_id, "account": line.account},
        ),
        campaigns=ordered,
        rising=tuple(line for line in moved[: -MOVERS - 1 : -1] if line.moved > 0),
        falling=tuple(line for line in moved[:MOVERS] if line.moved < 0),
    )


def _groups(lines: Iterable[Line], key: Callable[[Line], dict[str, object]]) -> tuple[Line, ...]:
    groups: dict[tuple[object, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(tuple(key(line).values()), []).append(line)
    return _by_spend([_add(group, key(group[0])) for group in groups.values()])


def _add(lines: Sequence[Line], names: dict[str, object]) -> Line:
    return Line.model_validate(
        names | {"periods": {period: sum((line.periods[period] for line in lines), Figures()) for period in Period}}
    )


def _by_spend(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: (-line.day.spend, -line.month.spend, str(line.campaign_id))))
