"""When a job is worth an alert, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from sivera.alerts.conditions import LONGEST, Condition, Kind, Links
from sivera.alerts.job_rules import job_conditions
from sivera.occurrences.rules import (
    ANOTHER_INSTANCE,
    DEPLOYMENT_IS_FULL,
    LATE_AFTER,
    LONG_PAST,
    SLOT_LOST,
    Key,
    Occurrence,
    Outcome,
    SeenRun,
    account_for,
)

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
JOB = "sync-campaigns/all"
RUN, OTHER = UUID(int=1), UUID(int=2)


def at(hour: int, minute: int = 0) -> datetime:
    return NOW.replace(hour=hour, minute=minute)


def became(outcome: str, when: datetime, **more: object) -> Occurrence:
    row = {"deployment": JOB, "job": "sync-campaigns", "schedule": "hourly", "scheduled_at": when, "outcome": outcome}
    return Occurrence.model_validate(row | more)


def ran(hour: int, began: datetime | None = None, outcome: str = "ran") -> Occurrence:
    began = began or at(hour)
    return became(outcome, at(hour), started_at=began, ended_at=began + timedelta(minutes=3), run_id=RUN)


def failed(hour: int, began: datetime | None = None) -> Occurrence:
    return ran(hour, began, "failed")


def other(hour: int, outcome: str, minute: int = 0) -> Occurrence:
    if outcome != "skipped":
        return became(outcome, at(hour, minute))
    return skipped(hour, minute)


def skipped(hour: int, minute: int = 0, message: str = DEPLOYMENT_IS_FULL) -> Occurrence:
    ended = at(hour, minute) + timedelta(seconds=5)
    return became("skipped", at(hour, minute), ended_at=ended, skipped_by=OTHER, message=message)


def by_hand(of: Occurrence) -> Occurrence:
    return of.model_copy(update={"schedule": None})


def found(*occurrences: Occurrence, now: datetime = NOW, links: Links = Links()) -> list[Condition]:  # noqa: B008 - frozen
    return list(job_conditions(JOB, occurrences, now, timedelta(minutes=10), links))


@pytest.mark.parametrize(
    ("occurrences", "kinds"),
    [
        ([], []),
        ([ran(11), ran(12)], []),
        # Failed, until the next one that ran.
        ([ran(11), failed(12)], [(Kind.JOB_FAILED, at(12, 3))]),
        ([ran(10), failed(11), failed(12)], [(Kind.JOB_FAILED, at(11, 3))]),
        ([failed(11), ran(12)], []),
        ([failed(11), ran(12, outcome="running")], [(Kind.JOB_FAILED, at(11, 3))]),
        ([failed(11), other(12, "skipped")], [(Kind.JOB_FAILED, at(11, 3)), (Kind.JOB_SKIPPED, at(12))]),
        # After a downtime the server lets one run, which need not be that of the newest time.
        ([failed(11), ran(10, began=at(12))], []),
        ([ran(11), failed(10, began=at(12))], [(Kind.JOB_FAILED, at(12, 3))]),
        # Skipped while another was running, until the next one begins.
        ([ran(11, outcome="running"), other(12, "skipped")], [(Kind.JOB_SKIPPED, at(12))]),
        ([ran(10), other(11, "skipped"), other(12, "skipped")], [(Kind.JOB_SKIPPED, at(11))]),
        ([ran(10), other(11, "skipped"), ran(12, outcome="running")], []),
        ([ran(10), other(11, "skipped"), failed(12)], [(Kind.JOB_FAILED, at(12, 3))]),
        # Folded after a downtime: what ran began after them all.
        ([ran(8, began=at(12, 20)), other(9, "skipped"), other(10, "skipped"), other(11, "skipped")], []),
        ([other(10, "missed"), other(11, "skipped"), ran(12, began=at(12, 20))], []),
        # Not begun, until one begins.
        ([ran(10), other(11, "missed")], [(Kind.JOB_MISSED, at(11))]),
        ([ran(10), other(11, "missed"), ran(12, outcome="running")], []),
        ([other(10, "missed"), other(11, "missed"), other(12, "late")], [(Kind.JOB_MISSED, at(10))]),
        ([ran(11), other(12, "late")], [(Kind.JOB_MISSED, at(12))]),
        ([ran(11), other(12, "waiting")], [(Kind.JOB_MISSED, at(12))]),
        ([ran(11), other(12, "late", minute=20)], []),
        ([ran(12), other(13, "waiting")], []),
        # By hand, the same: one that fails is told of, and one that ends well makes up for what came before it.
        ([ran(11), by_hand(failed(12))], [(Kind.JOB_FAILED, at(12, 3))]),
        ([by_hand(failed(11)), failed(12)], [(Kind.JOB_FAILED, at(11, 3))]),
        ([failed(11), by_hand(ran(12))], []),
        ([by_hand(failed(11)), ran(12)], []),
        ([by_hand(failed(11)), by_hand(ran(12))], []),
        ([other(11, "missed"), by_hand(ran(12, outcome="running"))], []),
        # Whoever starts one sees that it is kept out, and that it waits.
        ([ran(11), by_hand(other(12, "skipped"))], []),
        ([ran(11), by_hand(other(12, "late"))], []),
    ],
)
def test_what_is_the_matter_and_since_when(occurrences: list[Occurrence], kinds: list[tuple[Kind, datetime]]) -> None:
    for order in (occurrences, occurrences[::-1]):
        assert [(one.kind, one.since) for one in found(*order)] == kinds
    assert {one.subject for one in found(*occurrences)} <= {JOB}


@pytest.mark.parametrize("message", [DEPLOYMENT_IS_FULL, SLOT_LOST, ANOTHER_INSTANCE])
def test_a_run_that_another_one_kept_out_was_skipped(message: str) -> None:
    assert [one.kind for one in found(ran(11), skipped(12, message=message))] == [Kind.JOB_SKIPPED]


@pytest.mark.parametrize("message", [LONG_PAST, "Cancelled by a person", ""])
def test_a_run_that_was_cancelled_for_another_reason_was_kept_out_by_none(message: str) -> None:
    assert found(ran(11), skipped(12, message=message)) == []


def accounted(hour: int, state: str, began: datetime | None, ended: datetime | None, message: str = "") -> Occurrence:
    """What the accounting makes of a run, as the check reads it."""
    run = SeenRun(
        id=RUN,
        job="sync-campaigns",
        deployment=JOB,
        schedule="hourly",
        scheduled_at=at(hour),
        state=state,
        state_name=state.capitalize(),
        message=message or None,
        changed_at=ended or began or at(hour),
        started_at=began,
        ended_at=ended,
    )
    return account_for(run, Key(JOB, at(hour)), "hourly", [run], NOW, LATE_AFTER)


def test_a_run_that_began_late_has_begun_and_ended() -> None:
    late = accounted(12, "COMPLETED", at(12, 20), at(12, 25))
    assert late.outcome is Outcome.LATE
    assert found(late) == []
    assert found(failed(11), other(10, "missed"), late) == []
    waits = accounted(12, "SCHEDULED", None, None)
    assert waits.outcome is Outcome.LATE
    assert [(one.kind, one.since) for one in found(ran(11), waits)] == [(Kind.JOB_MISSED, at(12))]


def test_a_run_that_catches_up_after_a_downtime_ends_all_alerts() -> None:
    folded = [accounted(hour, "CANCELLED", None, at(12, 10), DEPLOYMENT_IS_FULL) for hour in (10, 11, 12)]
    running = accounted(9, "RUNNING", at(12, 10), None)
    assert found(failed(7), other(8, "missed"), running, *folded) == found(failed(7))
    caught_up = accounted(9, "COMPLETED", at(12, 10), at(12, 20))
    assert found(failed(7), other(8, "missed"), caught_up, *folded) == []


def test_a_run_that_is_about_to_begin_after_a_downtime_is_no_overlap() -> None:
    folded = skipped(11).model_copy(update={"ended_at": at(12, 30)})
    assert found(ran(9), folded, now=NOW + timedelta(seconds=50)) == []
    assert [one.kind for one in found(ran(9), folded, now=NOW + timedelta(seconds=70))] == [Kind.JOB_SKIPPED]


def test_a_message_says_what_when_and_where() -> None:
    links = Links(ui_url="http://127.0.0.1:4200/")
    (one,) = found(failed(12).model_copy(update={"message": "47 of 48 accounts synced, 1 failed"}), links=links)
    assert one.title == "sync-campaigns/all failed"
    assert one.message == "47 of 48 accounts synced, 1 failed. See docs/operations.md#sync-campaigns."
    assert one.link == f"http://127.0.0.1:4200/runs/flow-run/{RUN}"
    (one,) = found(by_hand(failed(12)))
    assert "No schedule started it: a person, the door or an automation did. See docs" in one.message

    (one,) = found(ran(11, outcome="running"), other(12, "skipped"), links=links)
    assert "for 2026-11-24 12:00 UTC was skipped, because another one was still running" in one.message
    assert one.link == f"http://127.0.0.1:4200/runs/flow-run/{OTHER}"

    (one,) = found(other(12, "missed"), links=links)
    assert "was to run at 2026-11-24 12:00 UTC, and has not begun. Run `sivera doctor`" in one.message
    assert one.link == "http://127.0.0.1:4200/runs"


def test_a_long_message_of_a_state_is_cut_and_calls_nobody() -> None:
    (one,) = found(failed(12).model_copy(update={"message": "@everyone\n" + "x" * 9_000}))
    assert "@everyone" not in one.message
    assert "\n" not in one.message
    assert len(one.message) < LONGEST + 200
