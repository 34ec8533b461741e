"""Telling the world how a run of a job ended: by an event of Prefect, a signed webhook, and a dead-man's ping.

A job says by `announce` what it did. The world is told once the state is final, by the hooks of `TOLD`: also of a run
that timed out, crashed or raised before it said anything. What a monitor does not take is a warning, and fails no run.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import httpx
from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run as running
from pydantic import SecretStr

from blocks.monitoring import ResultWebhook, find_pings, find_webhook
from blocks.names import SUCCESS
from sivera.errors import ConfigurationError
from sivera.logs import log
from sivera.monitoring.ping import Signal, ping
from tasks.events import emit, server_once

logger = logging.getLogger("sivera.monitoring")
jobs_logger = logging.getLogger("sivera.jobs")

MAX_MESSAGE = 1000


@dataclass
class _Monitors:
    """Who is told of a run, beside those who read events."""

    webhook: ResultWebhook | None = None
    ping_url: SecretStr | None = field(default=None, repr=False)


_monitors: dict[UUID, _Monitors] = {}
_said: dict[UUID, dict[str, Any]] = {}
"""Who is told of the runs of this process that have begun, and what these said they did."""


def announce(job: str, *, success: bool, processed: int, failed: int, **more: object) -> None:
    """Say in the log what a run did; the event `sivera.<job>.finished` tells it when the run has ended.

    Args:
        job: The job's name.
        success: Whether the run did all that it should.
        processed: How many things it dealt with, those that failed among them.
        failed: How many of them failed.
        more: What else the payload says, as JSON; never a secret.
    """
    figures = {name: value for name, value in more.items() if isinstance(value, str | int)}
    level = logging.INFO if success else logging.WARNING
    log(jobs_logger, level, "Job finished", success=success, processed=processed, failed=failed, **figures)
    said = {"job": job, "success": success, "totalProcessed": processed, "failed": failed, **more}
    _said[UUID(running.id)] = said


def begin() -> None:
    """Find out who is to be told of the run that begins here, and ping that it does. It is not to wait for others."""
    context = FlowRunContext.get()
    if context and context.flow and context.flow_run:
        monitors = _monitors[context.flow_run.id] = _find_monitors(context.flow.name, context.flow_run)
        _ping(monitors, Signal.START, context.flow_run.id)


def skip(state: State) -> None:
    """Tell that the run ends here in this state, since another one does its work; that one sends the pings."""
    context = FlowRunContext.get()
    if context and context.flow and context.flow_run:
        _tell(context.flow.name, context.flow_run, state, _find_monitors(context.flow.name, context.flow_run))


def tell(flow: Flow[..., Any], run: FlowRun, state: State) -> None:
    """Tell how a run ended; a hook of Prefect."""
    monitors = _monitors.pop(run.id, None) or _find_monitors(flow.name, run)
    payload = _tell(flow.name, run, state, monitors)
    _ping(monitors, Signal.SUCCESS if payload["success"] else Signal.FAIL, run.id, payload["message"])


TOLD: dict[str, Any] = {
    "on_completion": [tell],
    "on_failure": [tell],
    "on_crashed": [tell],
    "on_cancellation": [tell],
}
"""The options of a flow whose runs the world is told of."""


def _tell(job: str, run: FlowRun, state: State, monitors: _Monitors) -> dict[str, Any]:
    payload = {"job": job, "success": False, "totalProcessed": 0, "failed": 0} | _said.pop(run.id, {})
    payload["success"] = bool(payload["success"]) and state.is_completed()
    payload |= {"state": "Cancelled" if state.is_cancelling() else state.name, "message": _message(state)}
    ended_at = state.timestamp.astimezone(UTC)
    message_id = _message_id(run)
    _emit(job, run, payload, ended_at, message_id)
    if monitors.webhook:
        of_run = {"run_id": str(run.id), "run_name": run.name, "ended_at": ended_at.isoformat()}
        outcome = monitors.webhook.deliver(str(message_id), {"type": f"sivera.{job}.finished", **of_run, **payload})
        if not outcome.is_delivered:
            logger.warning("The result was not delivered to the webhook: %s", outcome.sentence)
    return payload


def _message_id(run: FlowRun) -> UUID:
    """Return the id under which the end of a run is told, however often: another one once the run was retried."""
    # What the hook is given was read before the run began, or after: only the server counts alike for both.
    count = run.run_count
    with suppress(PrefectException, httpx.HTTPError), server_once() as server:
        count = server.read_flow_run(run.id).run_count
    return uuid5(run.id, str(count))


def _emit(job: str, run: FlowRun, payload: dict[str, Any], ended_at: datetime, message_id: UUID) -> None:
    labels = {
        "prefect.resource.id": f"sivera.job.{job}",
        "prefect.resource.name": job,
        # A trigger sees labels, and not what is in the payload.
        SUCCESS: str(payload["success"]).lower(),
    }
    related = [(f"prefect.flow-run.{run.id}", "flow-run"), (f"prefect.flow.{run.flow_id}", "flow")]
    related += [(f"prefect.deployment.{run.deployment_id}", "deployment")] if run.deployment_id else []
    related += [(f"prefect.tag.{tag}", "tag") for tag in run.tags]
    emit(f"sivera.{job}.finished", labels, payload, related=related, event_id=message_id, occurred=ended_at)


def _ping(monitors: _Monitors, signal: Signal, run_id: UUID, text: str = "") -> None:
    if monitors.ping_url:
        outcome = ping(monitors.ping_url, signal, run_id, text)
        if not outcome.is_delivered:
            logger.warning("The dead-man's ping (%s) did not arrive: %s", signal.name.lower(), outcome.sentence)


def _find_monitors(job: str, run: FlowRun) -> _Monitors:
    monitors = _Monitors()
    with _or_warned():
        # A run by hand in a terminal does not prove that the timetable is kept.
        if run.deployment_id and (pings := find_pings()):
            with server_once() as server:
                monitors.ping_url = pings.url_of(job, server.read_deployment(run.deployment_id).name)
    with _or_warned():
        monitors.webhook = find_webhook()
    return monitors


@contextmanager
def _or_warned() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, PrefectException, httpx.HTTPError) as error:
        said = error if isinstance(error, ConfigurationError) else type(error).__name__
        logger.warning("Not every monitor is told of this run: %s", said)


def _message(state: State) -> str:
    return (state.message or "")[:MAX_MESSAGE]
