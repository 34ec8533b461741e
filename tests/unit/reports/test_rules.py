"""When a report is due, what it compares and what is missing, without a database."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ops.timetable import find_timetable, read_timetable
from sivera.clock import find_zone
from sivera.reports import coverage, rules
from sivera.reports.coverage import Known, State, state_of
from sivera.reports.rules import AccountFacts, MissingAccount, Why
from sivera.reports.summary import DueTeam, ReportPlan
from sivera.sync.parts import PartState
from sivera.sync.plan import SyncMode
from sivera.sync.rules import RESTATEMENT_DAYS, metrics_window
from sivera.values import PlatformName, days_between
from tests.unit.reports.books import DAY, NEXT_MORNING, ONE_DAY

TIMETABLE, FLOWS = read_timetable(find_timetable())
(CRON,) = [
    schedule.cron
    for deployment in TIMETABLE.deployments
    if FLOWS[deployment.entrypoint].name == "generate-reports"
    for schedule in deployment.schedules
]


def ticks(since: date, until: date) -> Iterator[datetime]:
    """Yield the times at which the timetable runs the job."""
    minutes, *others = CRON.split()
    assert others == ["*"] * 4
    for day in days_between(since, until):
        for hour in range(24):
            for minute in minutes.split(","):
                yield datetime.combine(day, time(hour, int(minute)), UTC)


@pytest.mark.parametrize(
    ("zone", "changes"),
    [
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/New_York", date(2026, 3, 8)),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
        ("America/Havana", date(2026, 3, 8)),
        ("America/Havana", date(2026, 11, 1)),
        ("Pacific/Chatham", date(2026, 9, 27)),
        ("Asia/Seoul", date(2026, 6, 1)),
        ("Asia/Kathmandu", date(2026, 6, 1)),
        ("Pacific/Kiritimati", date(2026, 6, 1)),
        ("Pacific/Pago_Pago", date(2026, 6, 1)),
    ],
)
def test_each_local_day_has_one_report_at_one_in_the_morning(zone: str, changes: date) -> None:
    there = ZoneInfo(zone)
    first = changes - timedelta(days=3)
    reported: dict[date, datetime] = {}
    for now in ticks(changes - timedelta(days=4), changes + timedelta(days=5)):
        latest = rules.latest_due_day(now, there)
        for day in rules.days_to_write(latest, first, reported.keys(), make_up_days=14):
            reported[day] = now.astimezone(there)
    days = list(reported)
    assert days == days_between(first, days[-1]), "each day once, in order"
    assert days[-1] >= changes + timedelta(days=2)
    for day, at in reported.items():
        assert (at.date(), at.time()) == (day + ONE_DAY, time(1)), "as soon as it is 01:00 there"


def test_a_report_is_due_when_the_clocks_skip_one_in_the_morning() -> None:
    london, changed = ZoneInfo("Europe/London"), datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert rules.latest_due_day(changed - timedelta(seconds=1), london) == date(2026, 3, 27)
    assert rules.latest_due_day(changed, london) == date(2026, 3, 28)


def test_a_team_that_changes_its_time_zone_gets_each_day_once() -> None:
    zones = ("Asia/Seoul", "America/New_York", "Asia/Seoul")
    written: list[date] = []
    for now in ticks(date(2026, 11, 23), date(2026, 11, 28)):
        zone = ZoneInfo(zones[(now - datetime(2026, 11, 23, 15, tzinfo=UTC)) // timedelta(days=1) % 3])
        written += rules.days_to_write(rules.latest_due_day(now, zone), DAY, written, make_up_days=14)
    assert written == days_between(DAY, written[-1])


def test_the_team_that_has_waited_longest_comes_first() -> None:
    def team(id_: int, restated: int | None, *days: int) -> DueTeam:
        facts = {"id": id_, "name": "", "timezone": "UTC", "language": "en", "latest": DAY, "restates": restated != 23}
        through = restated and DAY.replace(day=restated)
        return DueTeam(**facts, days=[DAY.replace(day=day) for day in days], restated_through=through)

    plan = ReportPlan(due=(team(1, None, 23), team(2, 22, 22, 23), team(3, 21), team(4, 23, 23)))
    assert [one.id for one in plan.lacking] == [2, 1, 4]
    assert [one.id for one in plan.restating] == [1, 3, 2]


def test_missed_days_are_made_up_in_order_within_bounds() -> None:
    def missed(first: date, *reported: date, make_up_days: int = 3) -> list[int]:
        return [day.day for day in rules.days_to_write(DAY, first, reported, make_up_days)]

    assert missed(date(2026, 1, 1)) == [20, 21, 22, 23]
    assert missed(date(2026, 1, 1), date(2026, 11, 21)) == [20, 22, 23]
    assert missed(date(2026, 11, 22)) == [22, 23], "no report is older than the team's first figures"
    assert missed(date(2026, 1, 1), make_up_days=0) == [23]
    assert missed(date(2026, 11, 24)) == []


def test_a_day_is_final_when_no_full_sync_reads_it_again() -> None:
    for platform, days in RESTATEMENT_DAYS.items():
        final = rules.final_on(DAY, platform)
        assert (final - DAY).days == days
        # The window of the last sync on the previous day still starts with the report's day.
        assert metrics_window(platform, SyncMode.FULL, None, final - ONE_DAY, PartState()).since == DAY
        assert metrics_window(platform, SyncMode.FULL, None, final, PartState()).since > DAY
        assert final - DAY < rules.COMPARED, "figures restated by that sync are still compared after it"


SHOP = AccountFacts(
    id=1,
    platform=PlatformName.AMAZON,
    name="Shop",
    timezone="UTC",
    is_connected=True,
    synced_as_of=NEXT_MORNING,
    reports_as_of=None,
    connected_at=datetime(2026, 1, 1, tzinfo=UTC),
    is_active=True,
    currency="USD",
    covered_since=date(2026, 1, 1),
    covered_until=date(2026, 12, 31),
    lacks_product=False,
)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, None),
        ({"synced_as_of": MIDNIGHT}, None),
        ({"synced_as_of": MIDNIGHT - timedelta(seconds=1)}, Why.NOT_SYNCED),
        ({"synced_as_of": MIDNIGHT - timedelta(days=2), "is_connected": False}, Why.RECONNECT),
        ({"synced_as_of": None}, Why.NEVER_SYNCED),
        ({"synced_as_of": None, "connected_at": NEXT_MORNING}, None),
        ({"timezone": "America/Los_Angeles"}, Why.DAY_NOT_OVER),
        ({"timezone": "Asia/Seoul", "synced_as_of": datetime(2026, 11, 23, 15, tzinfo=UTC)}, None),
        ({"timezone": "Nowhere/City", "synced_as_of": MIDNIGHT}, None),
        ({"reports_as_of": MIDNIGHT}, None),
        ({"reports_as_of": MIDNIGHT - timedelta(hours=12)}, Why.PREPARING),
        ({"reports_as_of": MIDNIGHT - timedelta(hours=12), "is_connected": False}, Why.RECONNECT),
        ({"reports_as_of": MIDNIGHT, "synced_as_of": MIDNIGHT - timedelta(seconds=1)}, Why.NOT_SYNCED),
        ({"reports_as_of": NEXT_MORNING, "timezone": "America/Los_Angeles"}, Why.DAY_NOT_OVER),
    ],
)
def test_why_the_figures_of_an_account_are_incomplete(facts: dict[str, Any], why: Why | None) -> None:
    found = rules.missing_accounts([SHOP._replace(**facts)], DAY, NEXT_MORNING)
    assert [one.why for one in found] == ([why] if why else [])


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, State(Known.WHOLE)),
        ({"covered_since": DAY - 2 * ONE_DAY}, State(Known.WHOLE)),
        ({"covered_since": DAY}, State(Known.PART, DAY)),
        ({"covered_since": DAY + ONE_DAY}, State(Known.NOT_READ)),
        ({"covered_since": None, "covered_until": None}, State(Known.NOT_READ)),
        ({"covered_until": DAY - ONE_DAY}, State(Known.PART)),
        ({"covered_until": DAY - 3 * ONE_DAY}, State(Known.NOT_READ)),
        ({"covered_until": DAY - 3 * ONE_DAY, "is_active": False}, State(Known.WHOLE)),
        ({"lacks_product": True}, State(Known.PART)),
        ({"lacks_product": True, "covered_since": DAY}, State(Known.PART)),
    ],
)
def test_how_much_of_three_days_is_known(facts: dict[str, Any], state: State) -> None:
    shop, since = SHOP._replace(**facts), DAY - 2 * ONE_DAY
    assert state_of(shop, since, DAY) == state
    if state.known is Known.WHOLE:
        assert state_of(shop, since, DAY, is_missing=True) == State(Known.PART)


def test_the_digest_changes_only_with_the_content_of_the_report() -> None:
    def digest(digests: Mapping[tuple[int, date], str], *missing: MissingAccount) -> str:
        return coverage.digest(DAY, digests, [], missing, [])

    shop = MissingAccount(1, PlatformName.META, "Shop", "UTC", Why.NOT_SYNCED)
    digests = {(1, DAY): "a", (1, DAY - timedelta(days=7)): "b", (2, DAY): "c"}
    found = digest(digests, shop)
    assert found == digest(dict(reversed(digests.items())), shop)
    assert found == digest(digests, shop._replace(name="Store"))
    outside = (1, date(2026, 10, 31))
    assert rules.compared_since(DAY) == date(2026, 11, 1)
    assert rules.compared_since(date(2026, 11, 3)) == date(2026, 10, 27)
    assert found == digest(digests | {outside: "d"}, shop)
    for other in (digests | {(1, DAY): "A"}, digests | {(3, date(2026, 11, 1)): "e"}, {(1, DAY): "a", (2, DAY): "c"}):
        assert found != digest(other, shop)
    assert found != digest(digests)


@pytest.mark.parametrize("name", ["", "Nowhere/City", "../etc/passwd", "Europe", "a\0b"])
def test_an_unknown_time_zone_is_none(name: str) -> None:
    assert find_zone(name) is None
