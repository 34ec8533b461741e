"""What a run does whose time is long past."""

from datetime import timedelta

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled

from sivera.occurrences.rules import LONG_PAST
from sivera.platforms.base import utc_now
from tasks.announcing import skip


def long_past(max_age: timedelta) -> State | None:
    """Return the state with which a run ends at once that is for a time longer ago than `max_age`, else None.

    For a job that measures the moment: after a downtime it does not make up for what was missed.
    """
    scheduled_at = flow_run.scheduled_start_time
    if scheduled_at is None or utc_now() - scheduled_at <= max_age:
        return None
    state: State = Cancelled(message=LONG_PAST)
    # Prefect runs no hook for a state that a flow returns to say that it is cancelled.
    skip(state)
    return state
