"""Accounting, again and again as time passes, in a real PostgreSQL."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from sivera.occurrences import queries
from sivera.occurrences.accounting import LOOKBACK, MOST_FAILED, MOST_RUNS, Accounted, account
from sivera.occurrences.rules import (
    ANOTHER_INSTANCE,
    DELETED,
    DEPLOYMENT_IS_FULL,
    END_UNSEEN,
    NOT_SEEN_IN_TIME,
    Occurrence,
    Outcome,
)
from tests.unit.occurrences.fake_prefect import Every, FakePrefect

DAY = datetime(2026, 11, 24, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def at(hour: int, minute: int = 0, day: int = 0) -> datetime:
    return DAY + timedelta(days=day) + HOUR * hour + MINUTE * minute


class Book:
    """What is accounted for."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.prefect = FakePrefect()
        self.hourly = Every(at(9, 30))
        self.prefect.on = [self.hourly]

    def account(self, now: datetime, most_runs: int = MOST_RUNS) -> Accounted:
        return account(self.engine, self.prefect, now, most_runs=most_runs)

    def rows(self, since: datetime = DAY - LOOKBACK * 2) -> list[Occurrence]:
        with Session(self.engine) as session:
            return queries.list_occurrences(session, since=since)[::-1]

    def outcomes(self) -> list[tuple[str, str]]:
        return [(f"{one.scheduled_at:%H:%M}", one.outcome.value) for one in self.rows()]

    def run(self, hours: Iterable[int], state: str = "COMPLETED") -> None:
        for hour in hours:
            self.prefect.add(self.hourly, at(hour), state)


@pytest.fixture
def book(engine: Engine) -> Book:
    return Book(engine)


def test_each_time_has_one_row_as_time_passes(book: Book) -> None:
    accounted = book.account(at(9, 50))
    assert (accounted.written, accounted.until) == ({Outcome.WAITING: 1}, at(9, 50))
    assert book.outcomes() == [("10:00", "waiting")]
    run = book.prefect.add(book.hourly, at(10), "SCHEDULED")
    assert book.account(at(10, 1)).written == {Outcome.WAITING: 2}
    run = book.prefect.set(run, state="RUNNING", started_at=at(10, 1), changed_at=at(10, 1))
    assert book.account(at(10, 4)).written == {Outcome.RUNNING: 1}
    assert book.account(at(10, 5)).written == {}
    book.prefect.set(run, state="COMPLETED", changed_at=at(10, 6), ended_at=at(10, 6))
    assert book.account(at(10, 6)).written == {Outcome.RAN: 1}
    assert book.outcomes() == [("10:00", "ran"), ("11:00", "waiting")]
    (row, _) = book.rows()
    assert (row.run_id, row.started_at, row.ended_at) == (run.id, at(10, 1), at(10, 6))


def test_times_without_a_run_are_missed_after_a_while(book: Book) -> None:
    book.account(at(9, 50))
    book.run([12])
    book.account(at(13, 10))
    assert book.outcomes() == [("10:00", "missed"), ("11:00", "missed"), ("12:00", "ran"), ("13:00", "waiting")]
    book.run([13])
    book.account(at(13, 20))
    assert book.outcomes()[3:] == [("13:00", "ran"), ("14:00", "waiting")]


def test_three_days_down_are_one_row_a_time(book: Book) -> None:
    book.account(at(9, 50))
    # Two that the scheduler had made before; a worker takes both, and one is kept out.
    first, second = (book.prefect.add(book.hourly, at(hour), "SCHEDULED") for hour in (10, 11))
    now = at(10, 5, day=3)
    book.account(now)
    assert [one.outcome.value for one in book.rows()[:3]] == ["late", "late", "missed"]
    second = book.prefect.set(second, state="RUNNING", started_at=now, changed_at=now)
    book.prefect.set(first, state="CANCELLED", message=DEPLOYMENT_IS_FULL, changed_at=now + MINUTE)
    book.prefect.add(book.hourly, at(10, day=3), "CANCELLED", started_at=None, message="by a person")
    book.account(now + 2 * MINUTE)
    book.prefect.set(second, state="COMPLETED", changed_at=now + 3 * MINUTE, ended_at=now + 3 * MINUTE)
    book.account(now + 20 * MINUTE)
    rows = book.rows()
    assert [one.outcome.value for one in rows] == ["skipped", "late", *["missed"] * 70, "skipped", "waiting"]
    assert rows[0].skipped_by == second.id
    assert [one.scheduled_at for one in rows] == [at(10) + HOUR * hours for hours in range(74)]


def test_what_is_final_is_not_rewritten_when_prefect_forgets(book: Book) -> None:
    book.account(at(9, 50))
    book.run([10, 11])
    book.account(at(11, 30))
    before = book.rows()[:2]
    book.prefect.runs.clear()
    book.account(at(11, 40))
    assert book.rows()[:2] == before
    # Nor does one that takes them for missed.
    unknown = {"outcome": Outcome.MISSED, "run_id": None, "started_at": None, "ended_at": None}
    with Session(book.engine) as session, session.begin():
        missed = [one.model_copy(update=unknown) for one in before]
        assert queries.record(session, missed) == []
    assert book.rows()[:2] == before


def test_a_failed_run_that_a_person_repeats_ran(book: Book) -> None:
    book.account(at(9, 50))
    run = book.prefect.add(book.hourly, at(10), "FAILED")
    book.account(at(10, 10))
    assert book.outcomes()[0] == ("10:00", "failed")
    book.prefect.set(run, state="RUNNING", ended_at=None)
    assert book.account(at(10, 15)).written == {}
    book.prefect.set(run, state="COMPLETED", ended_at=at(10, 20), changed_at=at(10, 20))
    book.account(at(10, 20))
    assert book.outcomes()[0] == ("10:00", "ran")


def test_a_failed_run_that_a_person_repeats_a_day_later_ran(book: Book) -> None:
    book.prefect.on = [weekly := Every(at(9, 30), hours=24 * 7)]
    run = book.prefect.add(weekly, at(10), "FAILED")
    book.account(at(10, 10))
    book.account(at(6, day=1))
    # The same run of the same time, which is long past what an accounting reads of itself.
    again = book.prefect.set(run, state="RUNNING", ended_at=None, changed_at=at(6, 1, day=1))
    assert book.account(at(6, 2, day=1)).written == {}
    book.prefect.set(again, state="COMPLETED", ended_at=at(6, 30, day=1), changed_at=at(6, 30, day=1))
    assert book.account(at(6, 31, day=1)).written == {Outcome.RAN: 1}
    assert book.account(at(6, 36, day=1)).written == {}
    row = book.rows()[0]
    assert (row.outcome, row.run_id, row.ended_at) == (Outcome.RAN, run.id, at(6, 30, day=1))


def test_a_failed_run_that_prefect_no_longer_has_stays_failed(book: Book) -> None:
    book.account(at(9, 50))
    book.prefect.add(book.hourly, at(10), "FAILED", message="the disk is full")
    book.account(at(10, 10))
    before = book.rows()[0]
    book.prefect.runs.clear()
    book.account(at(20))
    assert book.rows()[0] == before


def test_of_failed_runs_those_after_which_none_ended_well_are_looked_at_again_and_not_without_end(book: Book) -> None:
    def failed() -> list[datetime]:
        with Session(book.engine) as session:
            return sorted(one.scheduled_at for one in queries.failed_with_run(session, DAY, MOST_FAILED))

    book.account(at(0, 20))
    book.run(range(1, 4), "FAILED")
    other = Every(at(0), deployment="backup-data/all")
    book.prefect.on.append(other)
    book.prefect.add(other, at(1), "FAILED")
    book.account(at(3, 20))
    assert failed() == [at(1), at(1), at(2), at(3)]
    book.run([4])
    book.account(at(4, 20))
    assert failed() == [at(1)]
    book.run(range(5, 24), "FAILED")
    book.account(at(23, 20))
    assert failed() == [at(1), *(at(hour) for hour in range(24 - MOST_FAILED, 24))]


def test_a_run_that_prefect_deleted_leaves_no_row_open(book: Book) -> None:
    book.account(at(9, 50))
    book.run([10, 11], state="SCHEDULED")
    running = book.prefect.add(book.hourly, at(12), "RUNNING")
    book.account(at(12, 5))
    assert [outcome for _, outcome in book.outcomes()] == ["late", "late", "running", "waiting"]
    book.prefect.runs.clear()
    book.account(at(12, 10))
    rows = book.rows()
    assert [one.outcome.value for one in rows] == ["missed", "missed", "failed", "waiting"]
    assert (rows[0].message, rows[2].run_id) == (DELETED, running.id)


def test_a_schedule_that_is_off_misses_nothing(book: Book) -> None:
    book.account(at(9, 50))
    book.run([10])
    book.account(at(10, 10))
    off = book.prefect.switch(book.hourly, at(10, 30), on=False)
    book.account(at(10, 35))
    assert book.outcomes() == [("10:00", "ran")]
    book.account(at(13, 35))
    book.prefect.switch(off, at(13, 40), on=True)
    book.account(at(14, 20))
    assert book.outcomes() == [("10:00", "ran"), ("14:00", "missed"), ("15:00", "waiting")]


def test_a_schedule_that_was_switched_off_keeps_the_run_that_it_made(book: Book) -> None:
    book.account(at(9, 50))
    run = book.prefect.add(book.hourly, at(10), "RUNNING")
    book.prefect.switch(book.hourly, at(10, 2), on=False)
    book.account(at(10, 4))
    book.prefect.set(run, state="FAILED", changed_at=at(10, 6), ended_at=at(10, 6), deployment=None)
    book.account(at(10, 10))
    assert book.outcomes() == [("10:00", "failed")]


def test_a_deploy_after_a_downtime_hides_no_missed_time(book: Book) -> None:
    book.account(at(9, 50))
    book.prefect.switch(book.hourly, at(12, 30), on=True)
    book.account(at(12, 40))
    assert [outcome for _, outcome in book.outcomes()] == ["missed"] * 3 + ["waiting"]


def test_a_schedule_whose_times_change_waits_for_the_new_one(book: Book) -> None:
    book.account(at(9, 50))
    book.prefect.on = [Every(at(9, 55), hours=6)]
    book.account(at(9, 56))
    assert book.outcomes() == [("12:00", "waiting")]


def test_the_first_time_takes_in_what_prefect_still_knows(book: Book) -> None:
    book.prefect.add(book.hourly, at(10, day=-20))
    book.run([6, 8])
    by_hand = book.prefect.add(None, at(7))
    # In a terminal, of no deployment.
    book.prefect.add(None, at(9), deployment=None)
    book.account(at(9, 50))
    times = [("10:00", "ran"), ("06:00", "ran"), ("07:00", "ran"), ("08:00", "ran"), ("10:00", "waiting")]
    assert book.outcomes() == times
    assert [row.run_id for row in book.rows() if row.schedule is None] == [by_hand.id]


def test_a_run_by_hand_is_followed_to_its_end_and_takes_no_scheduled_time(book: Book) -> None:
    book.account(at(9, 50))
    run = book.prefect.add(None, at(10, 2), "SCHEDULED")
    book.account(at(10, 5))
    assert book.outcomes() == [("10:00", "waiting"), ("10:02", "waiting")]
    run = book.prefect.set(run, state="RUNNING", started_at=at(10, 6), changed_at=at(10, 6))
    book.account(at(10, 20))
    assert book.outcomes() == [("10:00", "missed"), ("10:02", "running"), ("11:00", "waiting")]
    run = book.prefect.set(run, state="CRASHED", state_name="Crashed", changed_at=at(10, 21), ended_at=at(10, 21))
    book.account(at(10, 25))
    (row,) = (row for row in book.rows() if row.schedule is None)
    assert (row.outcome, row.run_id, row.ended_at, row.message) == (Outcome.FAILED, run.id, at(10, 21), "Crashed")
    # Repeated in the UI.
    book.prefect.set(run, state="COMPLETED", changed_at=at(10, 40), ended_at=at(10, 40))
    book.account(at(10, 45))
    assert book.outcomes() == [("10:00", "missed"), ("10:02", "ran"), ("11:00", "waiting")]


def test_a_run_by_hand_on_a_scheduled_time_may_do_its_work(book: Book) -> None:
    book.account(at(9, 50))
    by_hand = book.prefect.add(None, at(10))
    book.prefect.add(book.hourly, at(10), "CANCELLED", started_at=None, message=DEPLOYMENT_IS_FULL)
    book.account(at(10, 10))
    book.account(at(10, 15))
    assert book.outcomes() == [("10:00", "ran"), ("11:00", "waiting")]
    assert book.rows()[0].run_id == by_hand.id
    book.account(at(11, 20))
    assert book.outcomes() == [("10:00", "ran"), ("11:00", "missed"), ("12:00", "waiting")]


def test_two_schedules_that_meet_are_one_row_and_go_on(book: Book) -> None:
    daily = Every(at(9, 30), hours=12, slug="daily")
    book.prefect.on = [book.hourly, daily]
    book.account(at(11, 50))
    ran = book.prefect.add(daily, at(12))
    book.prefect.add(book.hourly, at(12), "CANCELLED", started_at=None, message=DEPLOYMENT_IS_FULL)
    book.account(at(12, 10))
    rows = book.rows(at(12))
    assert [(one.outcome.value, one.run_id, one.schedule) for one in rows[:1]] == [("ran", ran.id, "daily")]
    for hour in range(13, 24):
        book.run([hour])
        book.account(at(hour, 10))
    book.account(at(0, 20, day=1))
    assert [one.outcome.value for one in book.rows(at(12))] == ["ran"] * 12 + ["missed"] + ["waiting"] * 2


def test_a_usual_accounting_reads_little(book: Book) -> None:
    book.account(at(9, 50))
    book.run([10])
    book.account(at(10, 10))
    book.account(at(10, 15))
    assert book.prefect.asked[-2:] == [(at(6), at(10, 15)), (at(10, 15), at(10, 15))]


def test_a_run_by_hand_of_hours_is_known_to_be_in_the_way(book: Book) -> None:
    book.account(at(12, 50))
    # As long as a backup may take.
    by_hand = book.prefect.add(None, at(9), ended_at=at(13, 1), changed_at=at(13, 1))
    book.prefect.add(book.hourly, at(13), "CANCELLED", message=ANOTHER_INSTANCE, changed_at=at(13), ended_at=at(13))
    book.account(at(13, 5))
    assert [row.skipped_by for row in book.rows() if row.outcome is Outcome.SKIPPED] == [by_hand.id]


def test_many_runs_are_accounted_for_in_bounded_steps(book: Book) -> None:
    book.account(at(9, 50))
    book.run(hour for hour in range(10, 24) if hour != 15)
    steps: list[datetime] = []
    while not steps or steps[-1] < at(23, 30):
        # Fewer than lie in the hours before, of which one may be in the way.
        steps.append(book.account(at(23, 30), most_runs=3).until)
        assert len(steps) < 20
    assert len(steps) > 3
    assert [(one.scheduled_at.hour, one.outcome.value) for one in book.rows()] == [
        *((hour, "missed" if hour == 15 else "ran") for hour in range(10, 24)),
        (0, "waiting"),
    ]


def test_a_run_by_hand_is_seen_however_many_were_before(book: Book) -> None:
    book.account(at(9, 50))
    book.run(range(10, 14))
    book.account(at(13, 10))
    by_hand = book.prefect.add(None, at(13, 12))
    book.account(at(13, 15), most_runs=3)
    assert by_hand.id in {row.run_id for row in book.rows()}


def test_nothing_beyond_what_prefect_keeps_is_called_missed_but_what_was_waited_for(book: Book) -> None:
    book.account(at(9, 50))
    now = at(9, 50, day=40)
    book.account(now)
    first, *missed, waiting = book.rows()
    assert (first.scheduled_at, first.outcome, first.message) == (at(10), Outcome.MISSED, NOT_SEEN_IN_TIME)
    assert {one.scheduled_at >= now - LOOKBACK for one in missed if one.outcome is Outcome.MISSED} == {True}
    assert waiting.outcome is Outcome.WAITING
    assert book.account(now).written == {}


def test_what_a_schedule_waited_for_that_is_off_after_weeks_is_forgotten(book: Book) -> None:
    book.account(at(9, 50))
    book.prefect.switch(book.hourly, at(9, 55), on=False)
    book.account(at(9, 50, day=40))
    assert book.rows() == []


def test_runs_that_were_open_for_weeks_are_closed(book: Book) -> None:
    book.account(at(9, 50))
    book.prefect.add(book.hourly, at(10), "SCHEDULED")
    running = book.prefect.add(book.hourly, at(11), "RUNNING")
    book.account(at(11, 5))
    book.prefect.runs.clear()
    book.account(at(9, 50, day=40))
    rows = book.rows()
    assert [(one.outcome, one.message) for one in rows[:3]] == [
        (Outcome.MISSED, DELETED),
        (Outcome.FAILED, END_UNSEEN),
        (Outcome.MISSED, NOT_SEEN_IN_TIME),
    ]
    assert rows[1].run_id == running.id
    assert not [one for one in rows[:-1] if one.ended_at is None and one.outcome is not Outcome.MISSED]


def test_an_accounting_reads_what_is_open_by_its_index_however_many_rows_there_are(book: Book) -> None:
    book.account(at(9, 50))
    with book.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text("""INSERT INTO job_occurrences (deployment, scheduled_at, job, schedule, outcome, ended_at)
                    SELECT 'sync-campaigns/all', :since - n * interval '5 minutes', 'sync-campaigns', 'hourly', 'ran',
                           :since FROM generate_series(1, 50000) AS n"""),
            {"since": DAY},
        )
        connection.execute(text("ANALYZE job_occurrences"))
    asked: list[tuple[str, Any]] = []

    def note(*about: object) -> None:
        asked.append((str(about[2]), about[3]))

    event.listen(book.engine, "before_cursor_execute", note)
    book.account(at(9, 55))
    event.remove(book.engine, "before_cursor_execute", note)
    of_open = [one for one in asked if "job_occurrences.ended_at IS NULL AND job_occurrences.outcome <>" in one[0]]
    assert [statement.split()[0] for statement, _ in of_open] == ["SELECT", "SELECT", "DELETE"]
    with book.engine.connect() as connection:
        for statement, parameters in of_open:
            explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            plans = [*nodes(explained.scalar_one()[0]["Plan"])]
            scans = [plan for plan in plans if "Relation Name" in plan and plan["Node Type"] != "ModifyTable"]
            read = sum(plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) for plan in scans)
            assert read <= len(book.prefect.on), statement
            assert "ix_job_occurrences_open" in {plan.get("Index Name") for plan in plans}, statement
        connection.rollback()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan, and those below."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_an_accounting_may_be_repeated(book: Book) -> None:
    book.account(at(9, 50))
    book.run([10, 12])
    book.account(at(12, 30))
    before = book.rows()
    assert book.account(at(12, 30)).written == {}
    assert book.rows() == before


def test_weeks_of_missed_times_are_written(book: Book) -> None:
    # More than a statement has parameters for.
    book.prefect.on = [Every(at(9, 30), deployment=f"{job}/all") for job in "abcdefghij"]
    book.account(at(9, 50))
    accounted = book.account(at(9, 50, day=28))
    assert accounted.written == {Outcome.MISSED: 10 * 28 * 24, Outcome.WAITING: 10}
