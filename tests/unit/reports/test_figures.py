"""How figures are added and compared."""

from datetime import date
from decimal import Decimal
from typing import Any

from sivera.reports.coverage import Known, State
from sivera.reports.figures import NOTHING, Figures, Line, to_section
from sivera.reports.rules import Period
from sivera.values import PlatformName


def line(spend: int, before: int = 0, **more: Any) -> Line:
    spends = {Period.DAY: Figures(spend=Decimal(spend)), Period.WEEK_BEFORE: Figures(spend=Decimal(before))}
    return Line(PlatformName.META, 1, "Shop", str(spend), str(spend), {**NOTHING, **spends})._replace(**more)


def test_movers_are_ordered_by_their_change() -> None:
    section = to_section("USD", [line(spend, 10) for spend in (1, 3, 10, 12, 30, 40, 50, 60, 70)])
    assert [one.campaign for one in section.rising] == ["70", "60", "50", "40", "30"]
    assert [one.campaign for one in section.falling] == ["1", "3"]
    assert section.total.figures[Period.DAY].spend == 276
    assert section.total.moved == 276 - 90


def test_a_sum_is_known_since_a_day_only_if_all_of_it_is() -> None:
    def known(*states: State) -> State:
        lines = [line(4, account_id=n).marked(dict.fromkeys(Period, one)) for n, one in enumerate(states)]
        total = to_section("USD", lines).total.figures[Period.DAY]
        return State(total.known, total.since)

    later, paused = State(Known.PART, date(2026, 11, 18)), State(Known.NOT_READ)
    assert known(State(Known.WHOLE), later, State(Known.PART, date(2026, 11, 2))) == later
    assert known(later, State(Known.PART)) == State(Known.PART)
    assert known(paused) == State(Known.PART), "it was read before a pause"


def test_lines_are_added_by_platform_and_account() -> None:
    google = line(8, platform=PlatformName.GOOGLE, account_id=3, account="Store")
    section = to_section("USD", [line(1), line(2), line(4, account_id=2), google])
    platforms = [(one.platform, int(one.figures[Period.DAY].spend)) for one in section.platforms]
    accounts = [(one.account_id, one.account, int(one.figures[Period.DAY].spend)) for one in section.accounts]
    assert platforms == [(PlatformName.GOOGLE, 8), (PlatformName.META, 7)]
    assert accounts == [(3, "Store", 8), (2, "Shop", 4), (1, "Shop", 3)]
