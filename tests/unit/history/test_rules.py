"""What became of a scheduled time, from facts alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sivera.occurrences.rules import (
    ANOTHER_INSTANCE,
    DEPLOYMENT_IS_FULL,
    LATE_AFTER,
    LONG_PAST,
    Key,
    Occurrence,
    Outcome,
    SeenRun,
    account_for,
    blocker,
    lost,
    most_telling,
    without_run,
)

TIME = datetime(2026, 11, 24, 14, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = Key("sync-campaigns/all", TIME)


def seen(state: str = "COMPLETED", began: int | None = 0, ended: int | None = 4, **more: object) -> SeenRun:
    """A run that began and ended so many minutes after its time."""
    run = {
        "id": uuid4(),
        "job": "sync-campaigns",
        "deployment": KEY.deployment,
        "schedule": "hourly",
        "scheduled_at": TIME,
        "state": state,
        "state_name": state.capitalize(),
        "message": None,
        "changed_at": TIME + MINUTE * (ended or began or 0),
        "started_at": None if began is None else TIME + MINUTE * began,
        "ended_at": None if ended is None else TIME + MINUTE * ended,
    }
    return SeenRun.model_validate(run | more)


def became(run: SeenRun, minutes: int = 60, *others: SeenRun) -> Occurrence:
    return account_for(run, KEY, "hourly", [run, *others], TIME + MINUTE * minutes, LATE_AFTER)


@pytest.mark.parametrize(
    ("run", "after", "outcome", "message"),
    [
        (seen(), 60, Outcome.RAN, None),
        (seen(began=15), 60, Outcome.RAN, None),
        (seen(began=16, ended=20), 60, Outcome.LATE, None),
        (seen("FAILED", message="1 of 4 failed"), 60, Outcome.FAILED, "1 of 4 failed"),
        (seen("FAILED", state_name="TimedOut", message="over 300 s"), 60, Outcome.FAILED, "TimedOut: over 300 s"),
        (seen("CRASHED"), 60, Outcome.FAILED, "Crashed"),
        (seen("CRASHED", began=None, message="never started"), 60, Outcome.FAILED, "Crashed: never started"),
        (seen("CANCELLED", began=None, message=DEPLOYMENT_IS_FULL), 60, Outcome.SKIPPED, DEPLOYMENT_IS_FULL),
        (seen("CANCELLED", message=ANOTHER_INSTANCE), 60, Outcome.SKIPPED, ANOTHER_INSTANCE),
        (seen("CANCELLED", message=LONG_PAST), 60, Outcome.SKIPPED, LONG_PAST),
        (seen("CANCELLED", message="by a person"), 60, Outcome.FAILED, "Cancelled: by a person"),
        (seen("CANCELLED", began=None, message="by a person"), 60, Outcome.SKIPPED, "by a person"),
        (seen("CANCELLED", message="by a person", schedule=None), 60, Outcome.SKIPPED, "by a person"),
        (seen("CRASHED", schedule=None), 60, Outcome.FAILED, "Crashed"),
        (seen("RUNNING", ended=None), 60, Outcome.RUNNING, None),
        (seen("PENDING", began=None, ended=None), 60, Outcome.RUNNING, None),
        (seen("CANCELLING", ended=None), 60, Outcome.RUNNING, None),
        (seen("SCHEDULED", began=0, ended=None, state_name="AwaitingRetry"), 60, Outcome.RUNNING, None),
        (seen("SCHEDULED", began=None, ended=None, message="Flow run scheduled"), 15, Outcome.WAITING, None),
        (seen("SCHEDULED", began=None, ended=None, state_name="Late"), 16, Outcome.LATE, None),
    ],
)
def test_each_state_of_a_run_is_one_outcome(run: SeenRun, after: int, outcome: Outcome, message: str | None) -> None:
    said = became(run, after)
    assert (said.outcome, said.message, said.run_id, said.started_at) == (outcome, message, run.id, run.started_at)
    assert said.ended_at == run.ended_at


def test_a_run_that_is_over_has_an_end_although_prefect_has_none() -> None:
    run = seen("CANCELLED", began=None, ended=None, message=DEPLOYMENT_IS_FULL)
    assert became(run).ended_at == run.changed_at


def full(at: int, **more: object) -> SeenRun:
    return seen("CANCELLED", began=None, ended=at, message=DEPLOYMENT_IS_FULL, **more)


@pytest.mark.parametrize(
    ("skipped", "other", "is_it"),
    [
        (full(5), seen(began=0, ended=10), True),
        (full(5), seen("RUNNING", began=0, ended=None), True),
        # It had the slot, and its process was about to start.
        (full(5), seen(began=6, ended=10), True),
        (full(5), seen("PENDING", began=None, ended=None, changed_at=TIME + 5 * MINUTE), True),
        (full(5), seen(began=11, ended=20), False),
        (full(5), seen(began=0, ended=4), False),
        (full(5), full(6), False),
        (full(5), seen(began=0, ended=10, deployment="sync-campaigns/google"), False),
        (full(5), seen(began=0, ended=10, job="refresh-tokens", deployment="refresh-tokens/all"), False),
        (seen("CANCELLED", message=ANOTHER_INSTANCE), seen(ended=10, deployment="sync-campaigns/google"), True),
        (seen("CANCELLED", message=ANOTHER_INSTANCE), seen(ended=10, deployment=None), True),
        (seen("CANCELLED", message=ANOTHER_INSTANCE), seen("CANCELLED", message=ANOTHER_INSTANCE, ended=5), False),
        (seen("CANCELLED", message=ANOTHER_INSTANCE), seen(ended=10, job="refresh-tokens"), False),
        (seen("CANCELLED", message=LONG_PAST), seen(ended=10), False),
    ],
)
def test_a_run_is_skipped_by_the_one_that_was_under_way(skipped: SeenRun, other: SeenRun, is_it: bool) -> None:
    assert became(skipped, 60, other).skipped_by == (other.id if is_it else None)
    assert became(skipped, 60).skipped_by is None


def test_of_several_the_one_that_held_the_slot_is_named() -> None:
    before, holds, after = seen(began=-20, ended=-10), seen(began=1, ended=7), seen(began=8, ended=9)
    assert blocker(full(5), [after, holds, before]) == holds.id


def test_a_run_that_prefect_forgot_leaves_no_row_open() -> None:
    running = became(seen("RUNNING", ended=None))
    assert (lost(running).outcome, lost(running).ended_at) == (Outcome.FAILED, running.started_at)
    assert lost(became(seen("SCHEDULED", began=None, ended=None))).outcome is Outcome.MISSED


TIMES = [TIME + timedelta(hours=hour) for hour in range(-3, 2)]
"""To the first one after now."""


def test_times_without_a_run_are_missed_up_to_the_one_that_may_still_get_one() -> None:
    now = TIME + 10 * MINUTE
    assert without_run(TIMES, {TIMES[1]}, now, now, LATE_AFTER) == ([TIMES[0], TIMES[2]], TIME)
    assert without_run(TIMES, {TIME}, now, now, LATE_AFTER) == (TIMES[:3], TIMES[4])
    now = TIME + 16 * MINUTE
    assert without_run(TIMES, {}, now, now, LATE_AFTER) == (TIMES[:4], TIMES[4])
    assert without_run([], {}, now, now, LATE_AFTER) == ([], None)


def test_times_whose_runs_were_not_read_are_not_missed() -> None:
    now = TIME + 50 * MINUTE
    assert without_run(TIMES, {TIMES[0]}, TIMES[2], now, LATE_AFTER) == ([TIMES[1]], TIMES[2])


@given(st.sets(st.integers(0, 40)), st.integers(0, 40), st.integers(0, 40 * 60))
def test_every_time_is_seen_missed_or_to_come(runs: set[int], read: int, minutes: int) -> None:
    times = [TIME + timedelta(hours=hour) for hour in range(42)]
    until, now = TIME + timedelta(hours=read), TIME + minutes * MINUTE
    seen_at = {times[hour] for hour in runs}
    missed, coming = without_run(times, seen_at, until, now, LATE_AFTER)
    assert coming is not None
    assert missed == [when for when in times if when < coming and when not in seen_at]
    assert not [when for when in missed if when >= until or when > now - LATE_AFTER]


def test_where_two_schedules_meet_the_run_that_worked_is_kept() -> None:
    ran, skipped = became(seen()), became(full(1))
    assert most_telling([skipped, ran]) == most_telling([ran, skipped]) == {KEY: ran}
    other = ran.model_copy(update={"scheduled_at": TIME + MINUTE, "run_id": UUID(int=0)})
    assert len(most_telling([ran, other])) == 2
