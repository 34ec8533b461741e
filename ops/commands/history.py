"""`sivera history`: what became of each scheduled time and of each run by hand.

May not import prefect at its top; see `ops.cli`.
"""

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ops.commands.tables import print_table, to_minute
from ops.stack.prefect_server import use_running_stack
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.history.rules import Occurrence, Outcome
from sivera.units import duration

MOST_DAYS = 30
"""Prefect keeps runs for 30 days; every older time would look missed."""


def history(
    job: str | None = None,
    /,
    *,
    days: Annotated[int, Parameter(validator=Number(gte=1, lte=MOST_DAYS))] = 1,
    outcome: Outcome | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Print what became of each time at which a job was scheduled, and of runs by hand, the newest first.

    Args:
        job: Show this job only, such as sync-campaigns.
        days: How many days back from now, up to 30.
        outcome: Show this outcome only.
        json: Print a JSON list with one object a row.
    """
    use_running_stack()
    from pydantic import TypeAdapter  # noqa: PLC0415

    from tasks.history import read_history, read_jobs  # noqa: PLC0415

    if job and job not in (jobs := read_jobs()):
        known = f"the jobs are {', '.join(sorted(jobs))}" if jobs else "none is deployed, run `sivera deploy`"
        raise ConfigurationError(f"there is no job '{job}': {known}")
    found = [
        one
        for one in read_history(utc_now() - timedelta(days=days))
        if job in (None, one.job) and outcome in (None, one.outcome)
    ]
    if json:
        sys.stdout.write(TypeAdapter(list[Occurrence]).dump_json(found).decode() + "\n")
    else:
        _print(found)


def _print(found: Sequence[Occurrence]) -> None:
    print_table(
        ("scheduled (UTC)", "deployment", "outcome", "began", "took", "run", "message"),
        [
            (
                to_minute(one.scheduled_at),
                one.deployment,
                one.outcome.value,
                f"+{duration(one.started_at - one.scheduled_at)}" if one.started_at else "",
                _duration(one.started_at, one.ended_at),
                str(one.run_id or ""),
                _message(one),
            )
            for one in found
        ],
        notes=(),
        empty="No scheduled time fits.",
    )


def _duration(started_at: datetime | None, ended_at: datetime | None) -> str:
    return duration(ended_at - started_at) if started_at and ended_at else ""


def _message(one: Occurrence) -> str:
    said = (one.message or "").split("\n")[0]
    by_hand = "" if one.schedule else "By hand. "
    skipped_by = f" By run {one.skipped_by}." if one.skipped_by else ""
    return f"{by_hand}{said}{skipped_by}"
