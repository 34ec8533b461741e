"""End a run early if its scheduled time is long past."""

from datetime import timedelta
from email.utils import parsedate_to_datetime

from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled

from blocks.server import connect
from sivera.clock import utc_now
from sivera.history.rules import LATE_AFTER, LONG_PAST


def long_past(max_age: timedelta) -> State | None:
    """Return the state with which a run ends early if its time is longer ago than `max_age`, else None.

    For a job that measures the moment: after a downtime it cannot catch up on what it missed.

    Raises:
        ConfigurationError: It seems to be late, and the Prefect server does not answer.
    """
    return Cancelled(message=LONG_PAST) if _is_older_than(max_age) else None


def overtaken() -> State | None:
    """Return the state with which a late run ends early if a newer run has taken over its work, else None.

    For a job that brings everything up to date: after a downtime, one of the runs that piled up is enough. The
    deployment's limit lets one run in. But if the server stalls for a minute, the slot's lease ends and a second run
    gets in.

    Raises:
        ConfigurationError: The Prefect server does not answer.
    """
    is_retry = flow_run.run_count > 1  # a person wants the work done again
    if is_retry or not _is_older_than(LATE_AFTER):
        return None
    with connect() as client:
        own = client.read_flow_run(flow_run.id)
        if not (own.auto_scheduled and own.deployment_id and own.start_time):
            return None
        since_due = {
            "deployment_id": {"any_": [own.deployment_id]},
            "state": {"type": {"any_": ["RUNNING", "COMPLETED"]}},
            "start_time": {"after_": flow_run.scheduled_start_time, "before_": own.start_time},
        }
        others = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(since_due))
    is_overtaken = any(other.id != own.id and other.parameters == own.parameters for other in others)
    return Cancelled(message=LONG_PAST) if is_overtaken else None


def _is_older_than(age: timedelta) -> bool:
    scheduled_at = flow_run.scheduled_start_time
    if scheduled_at is None or utc_now() - scheduled_at <= age:
        return False
    # Perhaps only this machine's clock is ahead: the server's decides, which has scheduled the run.
    with connect() as client:
        now = parsedate_to_datetime(client.request("GET", "/health").headers["Date"])
    return bool(now - scheduled_at > age)
