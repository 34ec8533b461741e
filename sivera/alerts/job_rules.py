"""Which jobs need an alert: pure functions of the outcomes of their scheduled times and manual runs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sivera.alerts.conditions import REMEDIES, Condition, Kind, sentence
from sivera.alerts.options import DEFAULTS, AlertOptions
from sivera.errors import ConfigurationError
from sivera.history.rules import ANOTHER_INSTANCE, SEE, Occurrence, Outcome
from sivera.links import NO_LINKS, Links

OWN_JOB = "check-alerts"
"""The job that applies these rules. It cannot find itself missing, since it is running."""

LOOK_BACK = timedelta(days=8)
"""Older runs are ignored, because their job may be gone. Even a weekly job has run once in this time."""

SILENCE = timedelta(minutes=22)
"""Without a good check for this long, the Prefect server itself sends a message. Not a multiple of five minutes."""

SETTLING = timedelta(minutes=1)
"""After a downtime the server cancels all late runs but one, seconds before that one starts. That is no overlap."""

OWN_ERROR = f"{ConfigurationError.__name__}: "

NOT_STARTED = (Outcome.MISSED, Outcome.LATE, Outcome.WAITING)


def job_conditions(
    occurrences: Sequence[Occurrence], now: datetime, options: AlertOptions = DEFAULTS, links: Links = NO_LINKS
) -> Iterator[Condition]:
    """Yield what is wrong with each deployment."""
    of_deployment: dict[str, list[Occurrence]] = defaultdict(list)
    for one in sorted(occurrences, key=lambda one: one.scheduled_at):
        of_deployment[one.deployment].append(one)
    due = now - timedelta(minutes=options.late_minutes)
    for times in of_deployment.values():
        # A later run makes up for the times that were skipped or missed before it, even if a person started it.
        last_start = max((one.started_at or one.scheduled_at for one in times if one.has_started), default=None)
        # Manual runs do not count, because the person who starts one sees that it waits or is skipped.
        lacking = [one for one in times if one.schedule and (last_start is None or one.scheduled_at > last_start)]
        if first := next(iter(_failures(times)), None):
            yield _failed(first, links)
        if first := next((one for one in lacking if _was_blocked(one, now)), None):
            message = "The run for {time} was skipped because another one was still running."
            yield _not_run(Kind.JOB_SKIPPED, first, "was skipped", message, links.run(first.skipped_by or first.run_id))
        if first := next((one for one in lacking if one.outcome in NOT_STARTED and one.scheduled_at < due), None):
            message = "It should have run at {time}, but has not started."
            yield _not_run(Kind.JOB_MISSED, first, "has not run", message, links.run(first.run_id))


def silence(own: Sequence[Occurrence], now: datetime, links: Links) -> Iterator[Condition]:
    """Yield a condition if check-alerts has been silent. `own` has the outcomes of its own times."""
    last = max((one.ended_at for one in own if one.ended_well and one.ended_at), default=None)
    if last and now - last > SILENCE:
        yield Condition(
            kind=Kind.ALERTS_SILENT,
            subject=OWN_JOB,
            title=f"{OWN_JOB} does not do its work",
            message="Its last runs did not end well, so some notifications were not sent.",
            remedy=REMEDIES[Kind.ALERTS_SILENT],
            since=last,
            link=links.run(None),
        )


def _failures(times: Sequence[Occurrence]) -> list[Occurrence]:
    """Return the failures since the last success."""
    streak: list[Occurrence] = []
    # After a downtime, runs may end in another order than that of their scheduled times.
    for one in sorted(times, key=lambda one: one.ended_at or one.scheduled_at):
        if one.ended_well:
            streak = []
        elif one.outcome is Outcome.FAILED:
            streak.append(one)
    return streak


def _failed(one: Occurrence, links: Links) -> Condition:
    origin = "" if one.schedule else " No schedule started it: a person, the HTTP API or an automation did."
    reason = sentence((one.message or "Its last state has no message").partition(SEE)[0])
    return Condition(
        kind=Kind.JOB_FAILED,
        subject=one.deployment,
        title=f"{one.deployment} failed",
        message=f"{reason}{origin}",
        # Our own errors name a remedy.
        remedy="" if OWN_ERROR in reason else REMEDIES[Kind.JOB_FAILED].format(job=one.job),
        since=one.ended_at or one.scheduled_at,
        link=links.run(one.run_id),
    )


def _was_blocked(one: Occurrence, now: datetime) -> bool:
    # A person who cancels a run knows about it.
    is_blocked = one.skipped_by is not None or one.message == ANOTHER_INSTANCE
    return is_blocked and now - (one.ended_at or one.scheduled_at) > SETTLING


def _not_run(kind: Kind, one: Occurrence, what: str, message: str, link: str) -> Condition:
    return Condition(
        kind=kind,
        subject=one.deployment,
        title=f"{one.deployment} {what}",
        message=message.format(time=f"{one.scheduled_at:%Y-%m-%d %H:%M} UTC"),
        remedy=REMEDIES[kind],
        since=one.scheduled_at,
        link=link,
    )
