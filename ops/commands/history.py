"""`sivera history`: what happened at each scheduled time, and to each run by hand."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from pydantic import TypeAdapter

from ops.commands.session import Flag
from ops.commands.tables import print_table, say_json
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.history.rules import Occurrence, Outcome
from sivera.units import duration
from tasks.history import read_history, read_jobs

MOST_DAYS = 30
"""Prefect keeps runs for 30 days; older times would all look missed."""


def history(
    job: str | None = None,
    /,
    *,
    days: Annotated[int, Parameter(validator=Number(gte=1, lte=MOST_DAYS))] = 1,
    outcome: Outcome | None = None,
    json: Flag = False,
) -> None:
    """Print what happened at each scheduled time, and to runs by hand, newest first.

    Args:
        job: Show only this job, such as sync-campaigns.
        days: How many days to go back, up to 30.
        outcome: Show only this outcome.
        json: Print a JSON list with an object for each row.
    """
    if job and job not in (jobs := read_jobs()):
        known = f"the jobs are {', '.join(sorted(jobs))}" if jobs else "none is deployed, run `sivera deploy`"
        raise ConfigurationError(f"there is no job '{job}': {known}")
    found = [
        one
        for one in read_history(utc_now() - timedelta(days=days))
        if job in (None, one.job) and outcome in (None, one.outcome)
    ]
    if json:
        say_json(TypeAdapter(list[Occurrence]).dump_json(found).decode())
        return
    print_table(
        ("scheduled (UTC)", "deployment", "outcome", "began", "took", "run", "message"),
        list(map(_row, found)),
        "No scheduled times match.",
    )


def _row(one: Occurrence) -> Sequence[object]:
    began = f"+{duration(one.started_at - one.scheduled_at)}" if one.started_at else ""
    took = duration(one.ended_at - one.started_at) if one.started_at and one.ended_at else ""
    by_hand = "" if one.schedule else "By hand. "
    skipped_by = f" By run {one.skipped_by}." if one.skipped_by else ""
    message = by_hand + (one.message or "").partition("\n")[0] + skipped_by
    return one.scheduled_at, one.deployment, one.outcome, began, took, one.run_id, message
