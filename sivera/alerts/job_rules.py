"""When a job is worth an alert: pure functions of what became of its scheduled times and of its runs by hand."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sivera.alerts.conditions import REMEDIES, Condition, Kind, sentence
from sivera.alerts.options import DEFAULTS, AlertOptions
from sivera.errors import ConfigurationError
from sivera.history.rules import ANOTHER_INSTANCE, SEE, Occurrence, Outcome
from sivera.links import NO_LINKS, Links

OWN_JOB = "check-alerts"
"""It cannot report itself: a check that runs is not missed."""

LOOK_BACK = timedelta(days=8)
"""What lies before that is over: the job may have been removed since. A weekly job has run once in this time."""

SILENCE = timedelta(minutes=22)
"""After so long without a good check the Prefect server itself sends a message; no multiple of five minutes."""

SETTLING = timedelta(minutes=1)
"""After a downtime one run begins, and the server cancels the others some seconds before that: no overlap."""

OWN_ERROR = f"{ConfigurationError.__name__}: "

NOT_BEGUN = (Outcome.MISSED, Outcome.LATE, Outcome.WAITING)


def job_conditions(
    occurrences: Sequence[Occurrence], now: datetime, options: AlertOptions = DEFAULTS, links: Links = NO_LINKS
) -> Iterator[Condition]:
    """Yield what is wrong with each deployment."""
    of_deployment: dict[str, list[Occurrence]] = defaultdict(list)
    for one in sorted(occurrences, key=lambda one: one.scheduled_at):
        of_deployment[one.deployment].append(one)
    for deployment, times in of_deployment.items():
        yield from _failed(deployment, times, links)
        # A run that began later, whoever started it, makes up for what was skipped or missed before it.
        begun = max((one.started_at or one.scheduled_at for one in times if one.has_started), default=None)
        # Runs by hand do not count: whoever starts one sees that it is skipped, or waits.
        lacking = [one for one in times if one.schedule and (begun is None or one.scheduled_at > begun)]
        yield from _skipped(deployment, lacking, now, links)
        yield from _missed(deployment, lacking, now - timedelta(minutes=options.late_minutes), links)


def silence(own: Sequence[Occurrence], now: datetime, links: Links) -> Iterator[Condition]:
    """Yield that check-alerts was silent, if it was; `own` is what became of its own times."""
    last = max((one.ended_at for one in own if one.ended_well and one.ended_at), default=None)
    if last and now - last > SILENCE:
        yield Condition(
            kind=Kind.ALERTS_SILENT,
            subject=OWN_JOB,
            title=f"{OWN_JOB} does not do its work",
            message="Its last runs did not end well, so people were not notified of everything.",
            remedy=REMEDIES[Kind.ALERTS_SILENT],
            since=last,
            link=links.run(None),
        )


def _failed(deployment: str, times: Sequence[Occurrence], links: Links) -> Iterator[Condition]:
    # In the order in which they ended: after a downtime that need not be the order of their times.
    ended = sorted((one for one in times if one.ended_at), key=lambda one: one.ended_at or one.scheduled_at)
    streak: list[Occurrence] = []
    for one in ended:
        if one.ended_well:
            streak = []
        elif one.outcome is Outcome.FAILED:
            streak.append(one)
    if streak:
        first = streak[0]
        by_hand = "" if first.schedule else " No schedule started it: a person, the HTTP API or an automation did."
        reason = sentence((first.message or "Its last state has no message").partition(SEE)[0])
        yield Condition(
            kind=Kind.JOB_FAILED,
            subject=deployment,
            title=f"{deployment} failed",
            message=f"{reason}{by_hand}",
            # One of our errors names its own.
            remedy="" if OWN_ERROR in reason else REMEDIES[Kind.JOB_FAILED].format(job=first.job),
            since=first.ended_at or first.scheduled_at,
            link=links.run(first.run_id),
        )


def _skipped(deployment: str, times: Sequence[Occurrence], now: datetime, links: Links) -> Iterator[Condition]:
    for one in times:
        # Only if another run was in its way: a person who cancels a run knows.
        was_in_the_way = one.skipped_by or one.message == ANOTHER_INSTANCE
        if one.outcome is Outcome.SKIPPED and was_in_the_way and now - (one.ended_at or one.scheduled_at) > SETTLING:
            yield Condition(
                kind=Kind.JOB_SKIPPED,
                subject=deployment,
                title=f"{deployment} was skipped",
                message=f"The run for {_text(one.scheduled_at)} was skipped, because another one was still running.",
                remedy=REMEDIES[Kind.JOB_SKIPPED],
                since=one.scheduled_at,
                link=links.run(one.skipped_by or one.run_id),
            )
            return


def _missed(deployment: str, times: Sequence[Occurrence], before: datetime, links: Links) -> Iterator[Condition]:
    for one in times:
        if one.outcome in NOT_BEGUN and not one.has_started and one.scheduled_at < before:
            yield Condition(
                kind=Kind.JOB_MISSED,
                subject=deployment,
                title=f"{deployment} has not run",
                message=f"It should have run at {_text(one.scheduled_at)}, and has not begun.",
                remedy=REMEDIES[Kind.JOB_MISSED],
                since=one.scheduled_at,
                link=links.run(one.run_id),
            )
            return


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
