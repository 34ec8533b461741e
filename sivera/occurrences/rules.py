"""What became of a scheduled time, as pure functions: facts in, decision out."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from pydantic import ConfigDict

from sivera.values import Value

LATE_AFTER = timedelta(minutes=15)
"""A run that begins so long after its time is late."""

START = timedelta(minutes=5)
"""A run has its deployment's slot before it begins: so long at most, or it is ended."""

DEPLOYMENT_IS_FULL = "Deployment concurrency limit reached."
ANOTHER_INSTANCE = "Another instance is already running"
LONG_PAST = "Its time is long past; the next one runs on time"
SLOT_LOST = "Deployment concurrency slot lost during provisioning - no slots available to continue execution"
"""Prefect's words where a process took longer to start than its slot was kept for it, and another run took that."""

OF_THE_DEPLOYMENT = (DEPLOYMENT_IS_FULL, SLOT_LOST)
NOT_ITS_TURN = (*OF_THE_DEPLOYMENT, ANOTHER_INSTANCE, LONG_PAST)
"""With which words a run is cancelled that is not to do its work: Prefect's own, and those of `tasks`."""

NEVER_MADE = "No run was made for it: nothing was up"
DELETED = "Its run was deleted before it began"
NOT_SEEN_IN_TIME = "What became of it was not looked at for weeks, as long as Prefect keeps runs"
END_UNSEEN = "Its run is no longer in Prefect, and how it ended was not seen"

MESSAGE_LENGTH = 1_000
"""Characters that are kept of a state's message."""


class Outcome(StrEnum):
    """What became of a scheduled time.

    `LATE` is also what became of one whose run ended well and began late. What is `WAITING`, `RUNNING`, or `LATE`
    without an end is looked at again. Of a run that no schedule made, `SKIPPED` is also one that a person cancelled.
    """

    WAITING = "waiting"
    RUNNING = "running"
    LATE = "late"
    RAN = "ran"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSED = "missed"


class Key(NamedTuple):
    """The deployment, by its full name, and its time."""

    deployment: str
    scheduled_at: datetime


class SeenRun(Value):
    """A flow run as Prefect has it: `state` is its state's type, and `changed_at` when it got there.

    `deployment` is its full name, null where there is none any more; `schedule` null where no schedule made the run.
    """

    id: UUID
    job: str
    deployment: str | None
    schedule: str | None
    scheduled_at: datetime
    state: str
    state_name: str
    message: str | None
    changed_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Occurrence(Value):
    """A row of `job_occurrences`; see `sivera.models.JobOccurrence`."""

    model_config = ConfigDict(from_attributes=True)

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
    def key(self) -> Key:
        """What tells it apart."""
        return Key(self.deployment, self.scheduled_at)

    @property
    def ended_well(self) -> bool:
        """Whether its run did what was to be done, if late."""
        return self.outcome is Outcome.RAN or (self.outcome is Outcome.LATE and self.ended_at is not None)

    @property
    def has_begun(self) -> bool:
        """Whether its run began, and was not at once told that it is not its turn."""
        return self.ended_well or (self.started_at is not None and self.outcome is not Outcome.SKIPPED)


def account_for(
    run: SeenRun, key: Key, schedule: str | None, runs: Iterable[SeenRun], now: datetime, late_after: timedelta
) -> Occurrence:
    """Say what became of a time for which there is a run; `runs` are those that may have been in its way."""
    outcome = outcome_of(run, now, late_after)
    is_over = run.state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    return Occurrence(
        **key._asdict(),
        job=run.job,
        schedule=schedule,
        outcome=outcome,
        run_id=run.id,
        skipped_by=blocker(run, runs) if outcome is Outcome.SKIPPED else None,
        started_at=run.started_at,
        ended_at=(run.ended_at or run.changed_at) if is_over else None,
        message=_message(run, outcome),
    )


def outcome_of(run: SeenRun, now: datetime, late_after: timedelta) -> Outcome:
    """Return what has become of a run's time by now."""
    match run.state:
        case "COMPLETED":
            began = run.started_at or run.changed_at
            return Outcome.LATE if began - run.scheduled_at > late_after else Outcome.RAN
        case "FAILED" | "CRASHED":
            return Outcome.FAILED
        case "CANCELLED":
            # Who starts a run by hand and ends it knows.
            is_skipped = run.message in NOT_ITS_TURN or run.started_at is None or run.schedule is None
            return Outcome.SKIPPED if is_skipped else Outcome.FAILED
        case "SCHEDULED" if run.started_at is None:
            return Outcome.LATE if now - run.scheduled_at > late_after else Outcome.WAITING
        case _:
            return Outcome.RUNNING


def blocker(run: SeenRun, runs: Iterable[SeenRun]) -> UUID | None:
    """Return the run that was under way when this one was cancelled for it, or None where it is not known."""
    if run.message not in (*OF_THE_DEPLOYMENT, ANOTHER_INSTANCE):
        return None
    at = run.changed_at
    found = []
    for other in runs:
        # The deployment's limit knows its own runs alone; the job's lock knows them all.
        rivals = other.deployment == run.deployment if run.message in OF_THE_DEPLOYMENT else other.job == run.job
        began = other.changed_at if other.state == "PENDING" else other.started_at
        if other.id == run.id or not rivals or began is None or other.message in NOT_ITS_TURN:
            continue
        if began <= at + START and (other.ended_at is None or other.ended_at >= at):
            # One that began before: the first of them; else the one that was about to.
            found.append((max(began - at, timedelta()), began, other.id))
    return min(found)[2] if found else None


def _message(run: SeenRun, outcome: Outcome) -> str | None:
    # "Flow run scheduled", until Prefect itself finds it late and says nothing: the outcome tells more than either.
    if run.state == "SCHEDULED" and run.started_at is None:
        return None
    said = (run.message or "")[:MESSAGE_LENGTH]
    # Crashed, TimedOut and Cancelled say what a message alone does not.
    if outcome is Outcome.FAILED and run.state_name != "Failed":
        said = f"{run.state_name}: {said}" if said else run.state_name
    return said or None


def lost(known: Occurrence) -> Occurrence:
    """Say what became of a time that was open, and whose run, if there was one, Prefect no longer has."""
    if known.run_id is None:
        return known.model_copy(update={"outcome": Outcome.MISSED, "message": NOT_SEEN_IN_TIME})
    if known.started_at:
        return known.model_copy(update={"outcome": Outcome.FAILED, "ended_at": known.started_at, "message": END_UNSEEN})
    return known.model_copy(update={"outcome": Outcome.MISSED, "message": DELETED})


def without_run(
    times: Sequence[datetime], seen: Collection[datetime], until: datetime, now: datetime, late_after: timedelta
) -> tuple[list[datetime], datetime | None]:
    """Tell a schedule's times that were missed, and the one that comes next; None where none will.

    A time just past whose run is not there yet may still get one, and is next.

    Args:
        times: When the schedule would run, from the first that is not accounted for to the first after now.
        seen: Those for which there is a run.
        until: From here on, it is not known for which there is a run.
        now: What time it is.
        late_after: For how long a run may still be made.
    """
    missed: list[datetime] = []
    for when in times:
        if when in seen:
            continue
        if when >= until or now - when <= late_after:
            return missed, when
        missed.append(when)
    return missed, None


def most_telling(found: Iterable[Occurrence]) -> dict[Key, Occurrence]:
    """Keep one for each deployment and time: where two schedules meet there, that of the run which did the work."""
    kept: dict[Key, Occurrence] = {}
    for each in sorted(found, key=lambda one: (one.outcome is not Outcome.SKIPPED, one.ended_at is not None)):
        kept[each.key] = each
    return kept
