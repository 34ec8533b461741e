"""The outcome of each scheduled time and each manual run: pure functions of schedules and runs."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sivera.values import Value

LATE_AFTER = timedelta(minutes=15)
"""A run that starts later than this is late. A time without a run by then was missed."""

START = timedelta(minutes=5)
"""The longest that a run holds its deployment's slot before it starts."""

ANOTHER_INSTANCE = "Another instance is already running"
LONG_PAST = "Its time is long past; the next one runs on time"
NEVER_MADE = "No run was made for it: nothing was up"

SEE = ". See docs/operations.md#"
"""The message of a failed run ends with this and the name of its job."""

MESSAGE_LENGTH = 1_000
"""Longer state messages are cut to this many characters."""


class Outcome(StrEnum):
    """The outcome of a scheduled time or a manual run.

    A run is `LATE` if it has not started in time, or started late and then succeeded.
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
    """A flow run of Prefect. `state` is the type of its state. `schedule` is null for a manual run."""

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
        did_nothing = self.started_at is None or self.message in (ANOTHER_INSTANCE, LONG_PAST)
        return self.state == "CANCELLED" and did_nothing


class Occurrence(Value):
    """A scheduled time, or a manual run (then `schedule` is null), with its outcome.

    `skipped_by` is the run that blocked it, if known. `message` is that of the run's last state.
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
    def has_started(self) -> bool:
        """Whether its run started its work."""
        return self.ended_well or (self.started_at is not None and self.outcome is not Outcome.SKIPPED)


def history(schedules: Iterable[Schedule], runs: Sequence[Run], now: datetime) -> list[Occurrence]:
    """Return the outcome of each run and of each scheduled time without a run, newest first."""
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
    found.sort(key=lambda one: one.scheduled_at, reverse=True)
    return found


def _of_run(run: Run, runs: Iterable[Run], now: datetime) -> Occurrence:
    outcome = _outcome_of(run, now)
    is_over = run.state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    message = (run.message or "")[:MESSAGE_LENGTH]
    if run.state == "SCHEDULED" and run.started_at is None:
        message = ""  # Prefect's message about waiting adds nothing to the outcome.
    elif outcome is Outcome.FAILED and run.state_name != "Failed":
        # The message alone does not say whether a run crashed, timed out or was cancelled.
        message = f"{run.state_name}: {message}" if message else run.state_name
    return Occurrence(
        deployment=run.deployment,
        scheduled_at=run.scheduled_at,
        job=run.job,
        schedule=run.schedule,
        outcome=outcome,
        run_id=run.id,
        skipped_by=_blocker(run, runs) if outcome is Outcome.SKIPPED else None,
        started_at=run.started_at,
        ended_at=(run.ended_at or run.changed_at) if is_over else None,
        message=message or None,
    )


def _outcome_of(run: Run, now: datetime) -> Outcome:
    match run.state:
        case "COMPLETED":
            started = run.started_at or run.changed_at
            return Outcome.LATE if started - run.scheduled_at > LATE_AFTER else Outcome.RAN
        case "FAILED" | "CRASHED":
            return Outcome.FAILED
        case "CANCELLED":
            # A person who cancels a manual run does not need an alert.
            return Outcome.SKIPPED if run.was_skipped or run.schedule is None else Outcome.FAILED
        case "SCHEDULED" if run.started_at is None:
            return Outcome.LATE if now - run.scheduled_at > LATE_AFTER else Outcome.WAITING
        case _:
            return Outcome.RUNNING


def _blocker(run: Run, runs: Iterable[Run]) -> UUID | None:
    """Return the id of the run that was in progress when this one was skipped; None if it is unknown."""
    if not run.was_skipped or run.message == LONG_PAST:
        return None
    at, found = run.changed_at, []
    for other in runs:
        # A deployment's limit counts the deployment's own runs. A job's lock covers all runs of the job.
        is_rival = other.job == run.job if run.message == ANOTHER_INSTANCE else other.deployment == run.deployment
        started = other.changed_at if other.state == "PENDING" else other.started_at
        if is_rival and not other.was_skipped and started and started <= at + START and (other.ended_at or at) >= at:
            found.append((started, other.id))
    return min(found)[1] if found else None
