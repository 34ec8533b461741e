"""`sivera schedule`: by Prefect's own reckoning, with changing clocks and collisions, on one screen."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.names import LOCKS
from blocks.server import connect
from ops.cli import main
from ops.deploy import deploy
from ops.plan import Effect, Plan, clock_changes, clock_effects, plan, run_times
from ops.schedule import print_schedule
from ops.timetable import find_timetable, locks_of, read_timetable
from tests.ops.timetables import ALL, timetable, write

SPRING = datetime(2027, 3, 27, 12, tzinfo=UTC)
"""The night before clocks go forward in Berlin, at 01:00 UTC."""

AUTUMN = datetime(2027, 10, 30, 12, tzinfo=UTC)
"""The night before they go back there, at 01:00 UTC."""

NOW = datetime(2026, 11, 24, 16, 55, tzinfo=UTC)
SCREEN_LINES = 45


def on(slug: str, cron: str, zone: str = "UTC") -> dict[str, Any]:
    return {"slug": slug, "cron": cron, "timezone": zone}


def planned(folder: Path, *deployments: dict[str, Any], since: datetime = NOW, days: int = 1) -> Plan:
    path = write(folder, timetable(*deployments))
    return plan(*read_timetable(path), since, since + timedelta(days=days))


def of(name: str, *schedules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return ALL | {"name": name, "schedules": list(schedules)} | more


SYNC = {"entrypoint": "flows.sync_campaigns.sync_campaigns"}
"""A flow with a time limit of five minutes and with locks."""


def on_platform(name: str, cron: str) -> dict[str, Any]:
    return of(name, on("hourly", cron), parameters={"options": {"platforms": [name]}}, **SYNC)


@pytest.mark.parametrize(
    ("since", "cron", "expected"),
    [
        (SPRING, "30 2 * * *", [(Effect.MOVED, "02:30", ["00:30"])]),
        (SPRING, "0 * * * *", [(Effect.SKIPPED, "02:00", [])]),
        (SPRING, "0 9 * * *", []),
        (AUTUMN, "30 2 * * *", [(Effect.ONCE, "02:30", ["00:30"])]),
        (AUTUMN, "0 * * * *", [(Effect.ONCE, "02:00", ["00:00"])]),
        (AUTUMN, "0 3 * * *", []),
    ],
)
def test_what_changing_clocks_do_is_told(
    tmp_path: Path, since: datetime, cron: str, expected: list[tuple[Effect, str, list[str]]]
) -> None:
    made = planned(tmp_path, of("all", on("it", cron, "Europe/Berlin")), since=since)
    assert [change.timezone for change in made.clock_changes] == ["Europe/Berlin"]
    assert expected == [
        (effect.effect, f"{effect.wall:%H:%M}", [f"{run:%H:%M}" for run in effect.runs])
        for effect in made.clock_effects
    ]


def test_a_wall_time_that_runs_twice_is_told(tmp_path: Path) -> None:
    # Nothing in the way Prefect reckons today doubles a run; the rule must see it, should a later version do so.
    made = planned(tmp_path, of("all", on("it", "30 2 * * *", "Europe/Berlin")), since=AUTUMN)
    (schedule,), (change,) = made.schedules, made.clock_changes
    twice = schedule.model_copy(update={"runs": (*schedule.runs, schedule.runs[0] + timedelta(hours=1))})
    (effect,) = clock_effects(twice, change)
    assert (effect.effect, len(effect.runs)) == (Effect.DOUBLED, 2)


def test_when_the_clocks_change() -> None:
    changes = {
        zone: [
            (f"{change.at:%m-%d %H:%M}", f"{change.before:%H:%M}", f"{change.after:%H:%M}")
            for change in clock_changes(zone, datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 12, 31, tzinfo=UTC))
        ]
        for zone in ("Europe/Berlin", "Australia/Lord_Howe", "Asia/Seoul")
    }
    assert changes == {
        "Europe/Berlin": [("03-28 01:00", "02:00", "03:00"), ("10-31 01:00", "03:00", "02:00")],
        "Australia/Lord_Howe": [("04-03 15:00", "02:00", "01:30"), ("10-02 15:30", "02:00", "02:30")],
        "Asia/Seoul": [],
    }


@given(st.integers(0, 59), st.integers(1, 23), st.integers(0, 10**6))
def test_in_utc_every_named_time_runs_once(minute: int, step: int, minutes: int) -> None:
    since = NOW + timedelta(minutes=minutes)
    runs = run_times(f"{minute} */{step} * * *", "UTC", since, since + timedelta(days=2))
    assert runs == sorted(set(runs))
    assert all(run.minute == minute and run.hour % step == 0 and since <= run for run in runs)
    assert len(runs) == 2 * len(range(0, 24, step))


def test_every_minute_of_two_weeks_is_reckoned() -> None:
    assert len(run_times("* * * * *", "UTC", NOW, NOW + timedelta(days=14))) == 14 * 24 * 60


def test_runs_that_cannot_be_under_way_together_collide(tmp_path: Path) -> None:
    made = planned(
        tmp_path,
        of("all", on("hourly", "0 * * * *"), on("late", "4 2 * * *"), on("later", "5 3 * * *"), **SYNC),
        on_platform("google", "0 * * * *"),
        on_platform("meta", "30 * * * *"),
        on_platform("tiktok", "30 * * * *"),
    )
    assert [(each.first, each.second, each.times) for each in made.collisions] == [
        # It begins while the time limit of the hourly run is not over; 'later' begins when it is.
        ("sync-campaigns/all/hourly", "sync-campaigns/all/late", 1),
        # The same lock at the same minute. Those of two platforms have none in common.
        ("sync-campaigns/all/hourly", "sync-campaigns/google/hourly", 24),
        ("sync-campaigns/google/hourly", "sync-campaigns/all/late", 1),
    ]


def test_a_run_that_outlasts_its_own_interval_collides(tmp_path: Path) -> None:
    (often,) = planned(tmp_path, of("all", on("often", "*/4 * * * *"), **SYNC)).collisions
    assert (often.first, often.second) == ("sync-campaigns/all/often",) * 2
    assert not planned(tmp_path, of("all", on("often", "*/5 * * * *"), **SYNC)).collisions


def test_a_job_without_locks_collides_with_itself_only_at_the_same_minute(tmp_path: Path) -> None:
    other = {"entrypoint": "tests.ops.example_flows.other_example", "parameters": {}}
    made = planned(
        tmp_path,
        of("all", on("daily", "0 3 * * *")),
        of("beside", on("daily", "0 3 * * *"), on("next", "1 3 * * *")),
        of("other", on("daily", "0 3 * * *"), **other),
    )
    assert [(each.first, each.second) for each in made.collisions] == [("example/all/daily", "example/beside/daily")]


def test_the_locks_of_a_run() -> None:
    assert locks_of("sync-campaigns", {}) == set(LOCKS) & {lock for lock in LOCKS if lock.startswith("sync-campaigns")}
    assert locks_of("sync-campaigns", {"options": {"platforms": ["meta"]}}) == {"sync-campaigns-meta"}
    assert locks_of("sync", {}) == locks_of("example", {"options": None}) == frozenset()


def test_the_shipped_timetable_collides_nowhere() -> None:
    made = plan(*read_timetable(find_timetable()), NOW, NOW + timedelta(days=14))
    assert made.schedules
    assert made.collisions == ()


def test_two_weeks_fit_on_a_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        tmp_path,
        timetable(
            of("all", on("hourly", "0 * * * *"), on("daily", "30 2 * * *", "Europe/Berlin"), **SYNC),
            of("weekly", on("report", "0 7 * * 1"), **SYNC),
            of("off", on("daily", "0 4 * * *") | {"active": False}),
        ),
    )
    print_schedule(14, as_json=False, now=datetime(2027, 3, 20, 12, 1, tzinfo=UTC), path=path)
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert len(lines) <= SCREEN_LINES
    assert lines[0] == "Runs from 2027-03-20 12:01 to 2027-04-03 12:01; times are UTC."
    assert " ".join(lines[3].split()) == "sync-campaigns/all/hourly 0 * * * * UTC 336 60 min 2027-03-20 13:00"
    day = {line[:14]: line[16:].rstrip() for line in lines}
    assert day["Mon 2027-03-22"] == (
        "01:30 sync-campaigns/all/daily (02:30 Europe/Berlin), 07:00 sync-campaigns/weekly/report"
    )
    assert day["Sun 2027-03-28"] == "00:30 sync-campaigns/all/daily (01:30 Europe/Berlin) [moved, 02:30]"
    assert day["Tue 2027-03-30"] == "00:30 sync-campaigns/all/daily (02:30 Europe/Berlin)"
    assert "  2027-03-28 01:00 UTC, Europe/Berlin: 02:00 becomes 03:00" in lines
    assert "    sync-campaigns/all/daily: moved: 02:30 does not exist, it runs at 01:30 (00:30 UTC)" in lines
    assert (
        "  sync-campaigns/weekly/report with sync-campaigns/all/hourly: 2 times, first on 2027-03-22 both at 07:00"
        in lines
    )
    assert lines[-1] == "Switched off in prefect.yaml: example/off/daily"


def test_the_command_prints_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["schedule", "--days", "3", "--json"])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    timetable, flows = read_timetable(find_timetable())
    assert {each["name"] for each in said["schedules"]} | set(said["switched_off"]) == {
        f"{flows[one.entrypoint].name}/{one.name}/{schedule.slug}"
        for one in timetable.deployments
        for schedule in one.schedules
    }
    assert all(each["runs"] == sorted(each["runs"]) for each in said["schedules"])


@pytest.mark.usefixtures("clean_prefect")
def test_prefect_schedules_what_is_printed(tmp_path: Path) -> None:
    path = write(tmp_path, timetable(of("all", on("odd", "17 5,14 * * *", "America/New_York"))))
    before = datetime.now(UTC)
    deploy(timetable_path=path)
    scheduled = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))
    with connect() as client:
        for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(60), reraise=True):
            with attempt:
                found = client.read_flow_runs(flow_run_filter=scheduled)
                assert len(found) >= 3
    times = sorted(run.expected_start_time for run in found if run.expected_start_time)
    # One of its times may have come meanwhile.
    assert times in [
        run_times("17 5,14 * * *", "America/New_York", since, since + timedelta(days=14))[: len(times)]
        for since in (before, datetime.now(UTC))
    ]
