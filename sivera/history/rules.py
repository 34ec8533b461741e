"""What became of each scheduled time and of each run by hand: pure functions over schedules and runs."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sivera.values import Value

LATE_AFTER = timedelta(minutes=15)
"""A run that begins later than this is late; a time that has no run by then was missed."""

START = timedelta(minutes=5)
"""A run holds its deployment's slot for at most this long before it begins."""

ANOTHER_INSTANCE = "Another instance is already running"
SEE = ". See docs/operations.md#"
"""How the message of a run that failed ends, before the name of its job."""
LONG_PAST = "Its time is long past; the next one runs on time"
NEVER_MADE = "No run was made for it: nothing was up"

MESSAGE_LENGTH = 1_000
"""Characters that are kept of a state's message."""


class Outcome(StrEnum):
    """What became of a scheduled time, or of a run by hand.

    A run is `LATE` if it has not begun in time, and also if it began late and then ended well.
    """

    WAITING = "waiting"
    RUNNING = "running"
    LATE = "late"
    RAN = "ran"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSED = "missed"


class Schedule(Value):
    """An active schedule and the times at which it was due."""

    deployment: str
    job: str
    slug: str
    times: tuple[datetime, ...]


class Run(Value):
    """A flow run as Prefect has it. `state` is the type of its state; `schedule` is null for a run by hand."""

    id: UUID
    job: str
    deployment: str
    schedule: str | None
    scheduled_at: datetime
    state: str
    state_name: str
    message: str | None
    changed_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def was_skipped(self) -> bool:
        """Whether it was cancelled before it did any work."""
        never_began = self.started_at is None or self.message in (ANOTHER_INSTANCE, LONG_PAST)
        return self.state == "CANCELLED" and never_began


class Occurrence(Value):
    """What became of one scheduled time, or of one run by hand (then `schedule` is null).

    `skipped_by` is the run that was in the way, if known. `message` is that of the run's last state.
    """

    deployment: str
    scheduled_at: datetime
    job: str
    schedule: str | None
    outcome: Outcome
    run_id: UUID | None = None
    skipped_by: UUID | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str | None = None

    @property
    def ended_well(self) -> bool:
        """Whether its run did its work, on time or late."""
        return self.outcome is Outcome.RAN or (self.outcome is Outcome.LATE and self.ended_at is not None)

    @property
    def has_begun(self) -> bool:
        """Whether its run began to work."""
        return self.ended_well or (self.started_at is not None and self.outcome is not Outcome.SKIPPED)


def history(schedules: Iterable[Schedule], runs: Sequence[Run], now: datetime) -> list[Occurrence]:
    """Return what became of each run, and of each scheduled time that has no run; the newest first."""
    found = [_of_run(run, runs, now) for run in runs]
    with_run = {(run.deployment, run.scheduled_at) for run in runs}
    for schedule in schedules:
        for when in schedule.times:
            if (schedule.deployment, when) not in with_run:
                is_missed = now - when > LATE_AFTER
                found.append(
                    Occurrence(
                        deployment=schedule.deployment,
                        scheduled_at=when,
                        job=schedule.job,
                        schedule=schedule.slug,
                        outcome=Outcome.MISSED if is_missed else Outcome.WAITING,
                        message=NEVER_MADE if is_missed else None,
                    )
                )
    found.sort(key=lambda one: one.deployment)
    return sorted(found, key=lambda one: one.scheduled_at, reverse=True)


def _of_run(run: Run, runs: Iterable[Run], now: datetime) -> Occurrence:
    outcome = outcome_of(run, now)
    is_over = run.state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    message = (run.message or "")[:MESSAGE_LENGTH]
    if run.state == "SCHEDULED" and run.started_at is None:
        message = ""  # Prefect's words about waiting add nothing to the outcome.
    elif outcome is Outcome.FAILED and run.state_name != "Failed":
        # The message alone does not say that a run crashed, timed out or was cancelled.
        message = f"{run.state_name}: {message}" if message else run.state_name
    return Occurrence(
        deployment=run.deployment,
        scheduled_at=run.scheduled_at,
        job=run.job,
        schedule=run.schedule,
        outcome=outcome,
        run_id=run.id,
        skipped_by=blocker(run, runs) if outcome is Outcome.SKIPPED else None,
        started_at=run.started_at,
        ended_at=(run.ended_at or run.changed_at) if is_over else None,
        message=message or None,
    )


def outcome_of(run: Run, now: datetime) -> Outcome:
    """Return what has become of a run by now."""
    match run.state:
        case "COMPLETED":
            began = run.started_at or run.changed_at
            return Outcome.LATE if began - run.scheduled_at > LATE_AFTER else Outcome.RAN
        case "FAILED" | "CRASHED":
            return Outcome.FAILED
        case "CANCELLED":
            # A person who cancels a run that they started by hand needs no alarm.
            return Outcome.SKIPPED if run.was_skipped or run.schedule is None else Outcome.FAILED
        case "SCHEDULED" if run.started_at is None:
            return Outcome.LATE if now - run.scheduled_at > LATE_AFTER else Outcome.WAITING
        case _:
            return Outcome.RUNNING


def blocker(run: Run, runs: Iterable[Run]) -> UUID | None:
    """Return the run that was under way when this one was skipped, or None if it is not known."""
    if not run.was_skipped or run.message == LONG_PAST:
        return None
    at, found = run.changed_at, []
    for other in runs:
        # A deployment's limit sees the deployment's own runs; a job's lock sees all runs of the job.
        is_rival = other.job == run.job if run.message == ANOTHER_INSTANCE else other.deployment == run.deployment
        began = other.changed_at if other.state == "PENDING" else other.started_at
        if is_rival and not other.was_skipped and began and began <= at + START and (other.ended_at or at) >= at:
            found.append((began, other.id))
    return min(found)[1] if found else None
