"""`sivera history`: what became of each scheduled time and of each run by hand.

May not import prefect at its top; see `ops.cli`.
"""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ops.stack.prefect_server import use_running_stack
from sivera.occurrences.rules import Outcome


def history(
    job: str | None = None,
    /,
    *,
    days: Annotated[int, Parameter(validator=Number(gte=1, lte=3660))] = 1,
    outcome: Outcome | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Print what became of each time at which the timetable would run a job, and of runs by hand, the newest first.

    Args:
        job: Only of this job, such as sync-campaigns; left out, of all.
        days: How many days back from now.
        outcome: Only times of which this became.
        json: Print each row as a JSON object, in a list.
    """
    use_running_stack()
    from ops.commands import history_actions  # noqa: PLC0415

    history_actions.print_history(job, days, outcome, as_json=json)
