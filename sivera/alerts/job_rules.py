"""When a job is worth an alert, as pure functions of what became of its scheduled times and its runs by hand."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sivera.alerts.conditions import Condition, Kind, Links, sentence
from sivera.occurrences.rules import ANOTHER_INSTANCE, OF_THE_DEPLOYMENT, Occurrence, Outcome

NOT_BEGUN = (Outcome.MISSED, Outcome.LATE, Outcome.WAITING)
KEPT_OUT = (*OF_THE_DEPLOYMENT, ANOTHER_INSTANCE)
"""With which words a run is cancelled because another one was running: by the deployment's limit, or the job's lock."""

SETTLING = timedelta(minutes=1)
"""After a downtime one run begins and the server cancels the others some seconds before that: no overlap."""


def job_conditions(
    deployment: str, occurrences: Sequence[Occurrence], now: datetime, late: timedelta, links: Links
) -> Iterator[Condition]:
    """Yield what is the matter with a deployment.

    Args:
        deployment: Its full name, such as `sync-campaigns/all`.
        occurrences: Its scheduled times and its runs by hand, in any order.
        now: What time it is.
        late: So long after its time a run that has not begun is missed.
        links: Where the UI shows its runs.
    """
    times = sorted(occurrences, key=lambda one: one.scheduled_at)
    yield from _failed(deployment, times, links)
    # What a run has begun after is over: it did, or will do, what was to be done at that time, whoever started it. Who
    # starts one by hand sees at once that it is kept out.
    begun = max((one.started_at or one.scheduled_at for one in times if one.has_begun), default=None)
    open_times = [one for one in times if one.schedule and (begun is None or one.scheduled_at > begun)]
    yield from _skipped(deployment, open_times, now, links)
    yield from _missed(deployment, open_times, now, late, links)


def _failed(deployment: str, times: Sequence[Occurrence], links: Links) -> Iterator[Condition]:
    # In the order in which they ended: after a downtime that need not be the order of their times.
    ended = [one for one in times if one.ended_well or one.outcome is Outcome.FAILED]
    streak: list[Occurrence] = []
    for one in sorted(ended, key=lambda one: one.ended_at or one.scheduled_at):
        streak = [] if one.ended_well else [*streak, one]
    if streak:
        first = streak[0]
        yield Condition(
            kind=Kind.JOB_FAILED,
            subject=deployment,
            title=f"{deployment} failed",
            message=f"{sentence(first.message or 'Its last state has no message')} "
            f"{'' if first.schedule else 'No schedule started it: a person, the door or an automation did. '}"
            f"See docs/operations.md#{first.job}.",
            since=first.ended_at or first.scheduled_at,
            link=links.run(first.run_id),
        )


def _skipped(deployment: str, times: Sequence[Occurrence], now: datetime, links: Links) -> Iterator[Condition]:
    kept_out = [one for one in times if one.outcome is Outcome.SKIPPED and one.message in KEPT_OUT]
    skipped = [one for one in kept_out if now - (one.ended_at or one.scheduled_at) > SETTLING]
    if skipped:
        first = skipped[0]
        yield Condition(
            kind=Kind.JOB_SKIPPED,
            subject=deployment,
            title=f"{deployment} was skipped",
            message=f"The run of {deployment} for {_text(first.scheduled_at)} was skipped, because another one was "
            "still running. If that happens again and again, see docs/operations.md#overlap.",
            since=first.scheduled_at,
            link=links.run(first.skipped_by or first.run_id),
        )


def _missed(
    deployment: str, times: Sequence[Occurrence], now: datetime, late: timedelta, links: Links
) -> Iterator[Condition]:
    not_begun = [one for one in times if one.outcome in NOT_BEGUN and not one.has_begun]
    missed = [one for one in not_begun if now - one.scheduled_at > late]
    if missed:
        first = missed[0]
        yield Condition(
            kind=Kind.JOB_MISSED,
            subject=deployment,
            title=f"{deployment} has not run",
            message=f"{deployment} was to run at {_text(first.scheduled_at)}, and has not begun. "
            "Run `sivera doctor`: it says whether a worker runs, and what is switched off.",
            since=first.scheduled_at,
            link=links.run(first.run_id),
        )


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
