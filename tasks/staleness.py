"""Decide whether a run that starts late should end early."""

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
    """Return the state in which a run ends early, or None if it was due at most `max_age` ago.

    This is for a job that measures the present: after a downtime it cannot catch up on what it missed.
    ConfigurationError if the Prefect server does not answer.
    """
    return Cancelled(message=LONG_PAST) if _is_older_than(max_age) else None


def overtaken() -> State | None:
    """Return the state in which a late run ends early, or None if no newer run has taken over its work.

    This is for a job that brings everything up to date: after a downtime, one of the runs that piled up is enough. The
    deployment's limit does not ensure that: if the server stalls for a minute, the slot's lease ends and a second run
    starts. ConfigurationError if the Prefect server does not answer.
    """
    is_retry = flow_run.run_count > 1  # a person asked for it
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
    # This machine's clock may be ahead, so the clock of the server, which scheduled the run, decides.
    with connect() as client:
        now = parsedate_to_datetime(client.request("GET", "/health").headers["Date"])
    return bool(now - scheduled_at > age)
