"""What `ops.commands.history` does once the way to the Prefect server is set: it imports prefect."""

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from blocks.server import connect
from ops.commands.session import open_database
from ops.commands.tables import print_table, to_minute
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.occurrences import queries
from sivera.occurrences.rules import Occurrence, Outcome
from sivera.units import duration
from tasks.occurrences import PrefectRuns, account_for_occurrences


def print_history(job: str | None, days: int, outcome: Outcome | None, *, as_json: bool) -> None:
    """Account for what is not accounted for yet, and print what became of each scheduled time.

    Args:
        job: Only of this job.
        days: How many days back from now.
        outcome: Only times of which this became.
        as_json: As a JSON list, for a program.

    Raises:
        ConfigurationError: There is no such job, or the database or the Prefect server does not answer.
    """
    with open_database() as engine:
        with connect() as client, Session(engine) as session:
            jobs = PrefectRuns(client).jobs | queries.recorded_jobs(session)
        if job and job not in jobs:
            known = f"the jobs are {', '.join(sorted(jobs))}" if jobs else "none is deployed, run `sivera deploy`"
            raise ConfigurationError(f"there is no job '{job}': {known}")
        account_for_occurrences.fn()
        with Session(engine) as session:
            since = utc_now() - timedelta(days=days)
            found = queries.list_occurrences(session, since=since, job=job, outcome=outcome)
    if as_json:
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
                _delay(one),
                _duration(one.started_at, one.ended_at),
                str(one.run_id or ""),
                _message(one),
            )
            for one in found
        ],
        notes=(),
        empty="No scheduled time fits.",
    )


def _delay(one: Occurrence) -> str:
    return f"+{duration(one.started_at - one.scheduled_at)}" if one.started_at else ""


def _duration(started_at: datetime | None, ended_at: datetime | None) -> str:
    return duration(ended_at - started_at) if started_at and ended_at else ""


def _message(one: Occurrence) -> str:
    by_hand = "" if one.schedule else "By hand. "
    said = (one.message or "").split("\n")[0]
    return f"{by_hand}{said} By run {one.skipped_by}." if one.skipped_by else f"{by_hand}{said}"
