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
    for deployment, times in of_deployment.items():
        yield from _failed(deployment, times, links)
        # A later run makes up for the times that were skipped or missed before it, even if a person started it.
        last_start = max((one.started_at or one.scheduled_at for one in times if one.has_started), default=None)
        # Manual runs do not count, because the person who starts one sees that it waits or is skipped.
        lacking = [one for one in times if one.schedule and (last_start is None or one.scheduled_at > last_start)]
        yield from _skipped(deployment, lacking, now, links)
        yield from _missed(deployment, lacking, now - timedelta(minutes=options.late_minutes), links)


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


def _failed(deployment: str, times: Sequence[Occurrence], links: Links) -> Iterator[Condition]:
    # After a downtime, runs may end in another order than that of their scheduled times.
    ended = sorted((one for one in times if one.ended_at), key=lambda one: one.ended_at or one.scheduled_at)
    streak: list[Occurrence] = []
    for one in ended:
        if one.ended_well:
            streak = []
        elif one.outcome is Outcome.FAILED:
            streak.append(one)
    if streak:
        first = streak[0]
        origin = "" if first.schedule else " No schedule started it: a person, the HTTP API or an automation did."
        reason = sentence((first.message or "Its last state has no message").partition(SEE)[0])
        yield Condition(
            kind=Kind.JOB_FAILED,
            subject=deployment,
            title=f"{deployment} failed",
            message=f"{reason}{origin}",
            # Our own errors name a remedy.
            remedy="" if OWN_ERROR in reason else REMEDIES[Kind.JOB_FAILED].format(job=first.job),
            since=first.ended_at or first.scheduled_at,
            link=links.run(first.run_id),
        )


def _skipped(deployment: str, times: Sequence[Occurrence], now: datetime, links: Links) -> Iterator[Condition]:
    for one in times:
        # A person who cancels a run knows about it.
        was_blocked = one.skipped_by or one.message == ANOTHER_INSTANCE
        if one.outcome is Outcome.SKIPPED and was_blocked and now - (one.ended_at or one.scheduled_at) > SETTLING:
            yield Condition(
                kind=Kind.JOB_SKIPPED,
                subject=deployment,
                title=f"{deployment} was skipped",
                message=f"The run for {_text(one.scheduled_at)} was skipped because another one was still running.",
                remedy=REMEDIES[Kind.JOB_SKIPPED],
                since=one.scheduled_at,
                link=links.run(one.skipped_by or one.run_id),
            )
            return


def _missed(deployment: str, times: Sequence[Occurrence], before: datetime, links: Links) -> Iterator[Condition]:
    for one in times:
        if one.outcome in NOT_STARTED and not one.has_started and one.scheduled_at < before:
            yield Condition(
                kind=Kind.JOB_MISSED,
                subject=deployment,
                title=f"{deployment} has not run",
                message=f"It should have run at {_text(one.scheduled_at)}, but has not started.",
                remedy=REMEDIES[Kind.JOB_MISSED],
                since=one.scheduled_at,
                link=links.run(one.run_id),
            )
            return


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
