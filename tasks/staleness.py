"""What a run does whose time is long past."""

from datetime import timedelta

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled

from sivera.occurrences.rules import LONG_PAST
from sivera.platforms.base import utc_now


def long_past(max_age: timedelta) -> State | None:
    """Return the state with which a run ends at once that is for a time longer ago than `max_age`, else None.

    For a job that measures the moment: after a downtime it does not make up for what was missed.
    """
    scheduled_at = flow_run.scheduled_start_time
    is_long_past = scheduled_at is not None and utc_now() - scheduled_at > max_age
    return Cancelled(message=LONG_PAST) if is_long_past else None
