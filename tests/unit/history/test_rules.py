"""The outcomes of scheduled times and runs, without a server."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from sivera.history.rules import (
    ANOTHER_INSTANCE,
    LONG_PAST,
    NEVER_MADE,
    Occurrence,
    Outcome,
    Run,
    Schedule,
    history,
)

TIME = datetime(2026, 11, 24, 14, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
FULL = "Deployment concurrency limit reached."


def run(state: str = "COMPLETED", began: int | None = 0, ended: int | None = 4, **more: object) -> Run:
    """A run that started and ended that many minutes after its time."""
    facts = {
        "id": uuid4(),
        "job": "sync-campaigns",
        "deployment": "sync-campaigns/all",
        "schedule": "hourly",
        "scheduled_at": TIME,
        "state": state,
        "state_name": state.capitalize(),
        "message": None,
        "changed_at": TIME + MINUTE * (ended or began or 0),
        "started_at": None if began is None else TIME + MINUTE * began,
        "ended_at": None if ended is None else TIME + MINUTE * ended,
    }
    return Run.model_validate(facts | more)


def became(one: Run, minutes: int = 60, *others: Run) -> Occurrence:
    found = history([], [one, *others], TIME + MINUTE * minutes)
    return next(each for each in found if each.run_id == one.id)


@pytest.mark.parametrize(
    ("one", "after", "outcome", "message"),
    [
        (run(), 60, Outcome.RAN, None),
        (run(began=15), 60, Outcome.RAN, None),
        (run(began=16, ended=20), 60, Outcome.LATE, None),
        (run("FAILED", message="1 of 4 failed"), 60, Outcome.FAILED, "1 of 4 failed"),
        (run("FAILED", state_name="TimedOut", message="over 300 s"), 60, Outcome.FAILED, "TimedOut: over 300 s"),
        (run("CRASHED"), 60, Outcome.FAILED, "Crashed"),
        (run("CRASHED", began=None, message="never started"), 60, Outcome.FAILED, "Crashed: never started"),
        (run("CANCELLED", began=None, ended=None, message=FULL), 60, Outcome.SKIPPED, FULL),
        (run("CANCELLED", message=ANOTHER_INSTANCE), 60, Outcome.SKIPPED, ANOTHER_INSTANCE),
        (run("CANCELLED", message=LONG_PAST), 60, Outcome.SKIPPED, LONG_PAST),
        (run("CANCELLED", message="by a person"), 60, Outcome.FAILED, "Cancelled: by a person"),
        (run("CANCELLED", began=None, message="by a person"), 60, Outcome.SKIPPED, "by a person"),
        (run("CANCELLED", message="by a person", schedule=None), 60, Outcome.SKIPPED, "by a person"),
        (run("CRASHED", schedule=None), 60, Outcome.FAILED, "Crashed"),
        (run("RUNNING", ended=None), 60, Outcome.RUNNING, None),
        (run("PENDING", began=None, ended=None), 60, Outcome.RUNNING, None),
        (run("CANCELLING", ended=None), 60, Outcome.RUNNING, None),
        (run("SCHEDULED", began=0, ended=None, state_name="AwaitingRetry"), 60, Outcome.RUNNING, None),
        (run("SCHEDULED", began=None, ended=None, message="Flow run scheduled"), 15, Outcome.WAITING, None),
        (run("SCHEDULED", began=None, ended=None, state_name="Late"), 16, Outcome.LATE, None),
    ],
)
def test_each_state_of_a_run_has_an_outcome(one: Run, after: int, outcome: Outcome, message: str | None) -> None:
    found = became(one, after)
    assert (found.outcome, found.message, found.started_at) == (outcome, message, one.started_at)
    is_over = one.state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    assert found.ended_at == (one.ended_at or (one.changed_at if is_over else None))


def full(at: int, **more: object) -> Run:
    return run("CANCELLED", began=None, ended=at, message=FULL, **more)


@pytest.mark.parametrize(
    ("skipped", "other", "is_it"),
    [
        (full(5), run(began=0, ended=10), True),
        (full(5), run("RUNNING", began=0, ended=None), True),
        # It held the slot, and its process was about to start.
        (full(5), run(began=6, ended=10), True),
        (full(5), run("PENDING", began=None, ended=None, changed_at=TIME + 5 * MINUTE), True),
        (full(5), run(began=11, ended=20), False),
        (full(5), run(began=0, ended=4), False),
        (full(5), full(6), False),
        (full(5), run(began=0, ended=10, deployment="sync-campaigns/google"), False),
        (full(5), run(began=0, ended=10, job="refresh-tokens", deployment="refresh-tokens/all"), False),
        (run("CANCELLED", message=ANOTHER_INSTANCE), run(ended=10, deployment="sync-campaigns/google"), True),
        (run("CANCELLED", message=ANOTHER_INSTANCE), run("CANCELLED", message=ANOTHER_INSTANCE, ended=5), False),
        (run("CANCELLED", message=ANOTHER_INSTANCE), run(ended=10, job="refresh-tokens"), False),
        (run("CANCELLED", message=LONG_PAST), run(ended=10), False),
    ],
)
def test_a_skipped_run_names_the_run_that_was_in_progress(skipped: Run, other: Run, is_it: bool) -> None:
    assert became(skipped, 60, other).skipped_by == (other.id if is_it else None)
    assert became(skipped, 60).skipped_by is None


def test_the_run_that_held_the_slot_is_named_among_several() -> None:
    before, holder, after = run(began=-20, ended=-10), run(began=1, ended=7), run(began=8, ended=9)
    assert became(full(5), 60, after, holder, before).skipped_by == holder.id


def test_a_time_without_a_run_is_missed_after_fifteen_minutes() -> None:
    times = (TIME - 2 * HOUR, TIME - HOUR, TIME)
    schedule = Schedule(deployment="sync-campaigns/all", job="sync-campaigns", slug="hourly", times=times)
    ran = run(scheduled_at=times[1], started_at=times[1])
    by_hand = run(schedule=None, scheduled_at=TIME - MINUTE)
    other = run(deployment="sync-campaigns/google")

    def outcomes(now: datetime) -> list[tuple[datetime, Outcome, str | None]]:
        found = history([schedule], [ran, by_hand, other], now)
        return [(one.scheduled_at, one.outcome, one.message) for one in found if one.run_id != other.id]

    earlier = [(by_hand.scheduled_at, Outcome.RAN, None), (times[1], Outcome.RAN, None)]
    first = (times[0], Outcome.MISSED, NEVER_MADE)
    assert outcomes(TIME + 15 * MINUTE) == [(TIME, Outcome.WAITING, None), *earlier, first]
    assert outcomes(TIME + 16 * MINUTE) == [(TIME, Outcome.MISSED, NEVER_MADE), *earlier, first]


@pytest.mark.parametrize(
    ("one", "ended_well", "has_started"),
    [
        (run(), True, True),
        (run(began=16, ended=20), True, True),
        (run("SCHEDULED", began=None, ended=None), False, False),
        (run("RUNNING", ended=None), False, True),
        (run("FAILED"), False, True),
        (run("CANCELLED", message=ANOTHER_INSTANCE), False, False),
    ],
)
def test_whether_a_run_started_and_succeeded(one: Run, ended_well: bool, has_started: bool) -> None:
    assert (became(one).ended_well, became(one).has_started) == (ended_well, has_started)
