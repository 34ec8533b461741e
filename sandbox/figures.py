"""Daily figures of the sandbox's campaigns: within their budgets, with weekdays, and higher in winter."""

import hashlib
import random
from dataclasses import astuple, dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

WHOLE_CURRENCIES = frozenset({"KRW", "JPY", "TWD"})

WEEKDAYS = (90, 88, 88, 90, 94, 82, 78)
"""From Monday, in percent."""
MONTHS = (84, 84, 86, 88, 90, 88, 84, 84, 90, 94, 100, 98)
"""From January, in percent. With WEEKDAYS and chance it stays below 100: no campaign exceeds its daily budget."""

SMALL = 4_000
"""Campaigns that spend less than this many cents a day have days without spend."""


@dataclass(frozen=True)
class Figures:
    """What a campaign did on one day; money in major units."""

    impressions: int
    clicks: int
    spend: Decimal
    conversions: Decimal
    conversion_value: Decimal

    def times(self, factor: int) -> "Figures":
        """Return the figures multiplied by a factor."""
        return Figures(*(mine * factor for mine in astuple(self)))


ZERO = Figures(0, 0, Decimal(0), Decimal(0), Decimal(0))


class Habits(NamedTuple):
    """A campaign's usual spend a day, price of a click and value of a conversion, in cents.

    `clicks` are per 1,000 impressions, and `conversions` per 1,000 clicks.
    """

    day: int
    click: int
    clicks: int
    conversions: int
    value: int


def make_habits(rng: random.Random, day: int) -> Habits:
    """Return the habits of a campaign that spends `day` cents a day."""
    return Habits(day, rng.randrange(20, 160), rng.randrange(5, 60), rng.randrange(10, 70), rng.randrange(1_500, 9_000))


@lru_cache(maxsize=50_000)  # clients ask for the same days again and again
def make_figures(seed: int, campaign_id: str, habits: Habits, day: date, currency: str) -> Figures:
    """Return a campaign's figures for a day, always the same."""
    rng = make_rng(seed, campaign_id, day)
    share = WEEKDAYS[day.weekday()] * MONTHS[day.month - 1] * rng.randrange(85, 106)
    clicks = habits.day * share // (habits.click * 1_000_000)
    if not clicks or (not rng.randrange(10) and habits.day < SMALL):
        return ZERO  # platforms leave such days out
    unit = Decimal(10) if currency in WHOLE_CURRENCIES else Decimal("0.01")
    conversions = clicks * habits.conversions * rng.randrange(60, 141) // 100_000
    return Figures(
        impressions=clicks * 1000 // habits.clicks + rng.randrange(100),
        clicks=clicks,
        spend=(clicks * habits.click - rng.randrange(habits.click)) * unit,
        conversions=Decimal(conversions),
        conversion_value=conversions * habits.value * unit,
    )


def as_number(amount: Decimal) -> int | float:
    """Return an amount as a JSON number: an integer if it is whole."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def make_rng(*parts: object) -> random.Random:
    """Return a generator that depends only on its parts; Python's own `hash` changes from run to run."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))
