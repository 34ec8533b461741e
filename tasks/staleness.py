"""What a run does whose time is long past."""

from datetime import timedelta

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run
from prefect.states import Cancelled

from blocks.server import connect
from sivera.clock import utc_now
from sivera.occurrences.rules import LATE_AFTER, LONG_PAST
from tasks.announcing import skip


def long_past(max_age: timedelta) -> State | None:
    """Return the state with which a run ends at once that is for a time longer ago than `max_age`, else None.

    For a job that measures the moment: after a downtime it does not make up for what was missed.
    """
    return _skipped() if _is_older_than(max_age) else None


def overtaken() -> State | None:
    """Return the state with which a late run of a schedule ends at once whose work another has begun since, else None.

    For a job that brings everything up to date: after a downtime it runs once. The deployment's limit lets one run in,
    but where the server stands still for a minute the lease of its slot ends, and a second run gets it.

    Raises:
        ConfigurationError: The Prefect server does not answer.
    """
    if not _is_older_than(LATE_AFTER) or flow_run.run_count > 1:  # a person retries what is to be done again
        return None
    with connect() as client:
        own = client.read_flow_run(flow_run.id)
        if not (own.auto_scheduled and own.deployment_id and own.start_time):
            return None
        others = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.COMPLETED])),
                start_time=FlowRunFilterStartTime(after_=flow_run.scheduled_start_time, before_=own.start_time),
            )
        )
    is_overtaken = any(other.id != own.id and other.parameters == own.parameters for other in others)
    return _skipped() if is_overtaken else None


def _is_older_than(age: timedelta) -> bool:
    scheduled_at = flow_run.scheduled_start_time
    return scheduled_at is not None and utc_now() - scheduled_at > age


def _skipped() -> State:
    state: State = Cancelled(message=LONG_PAST)
    # Prefect runs no hook for a state that a flow returns to say that it is cancelled.
    skip(state)
    return state
