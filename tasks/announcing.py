"""Announce how a run of a job ended: by one event of Prefect, one signed webhook and one ping.

A job reports what it did with `announce`. The hooks in `HOOKS` send the result once the state is final, so a run that
timed out, crashed or raised is announced too. If a monitor does not accept its message, that is only a warning.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import httpx
from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.events import Event, RelatedResource, Resource
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run as running
from pydantic import SecretStr

from blocks.monitoring import ResultWebhook, find_pings, find_webhook
from blocks.names import SUCCESS
from sivera.errors import ConfigurationError
from sivera.links import hide_credentials
from sivera.logs import log
from sivera.monitoring import Signal, ping
from tasks.events import send, server_once

logger = logging.getLogger("sivera.monitoring")
jobs_logger = logging.getLogger("sivera.jobs")

MAX_MESSAGE = 1000
_REMEDY = "If it lasts, set its URL again: see `sivera monitor --help`."


class _Monitors(NamedTuple):
    webhook: ResultWebhook | None
    ping_url: SecretStr | None


_monitors: dict[UUID, _Monitors] = {}
_results: dict[UUID, dict[str, Any]] = {}
"""Both by the id of a run of this process that has not ended yet."""


def announce(*, success: bool, processed: int, failed: int, **more: object) -> None:
    """Log what the current run did, and keep the counts for the message that goes out when the run has ended.

    `success` is only logged: the message takes it from the final state, which can be worse. `processed` includes what
    `failed`. `more` are JSON values for the payload, and never secrets.
    """
    figures = {name: value for name, value in more.items() if isinstance(value, str | int)}
    level = logging.INFO if success else logging.WARNING
    log(jobs_logger, level, "Job finished", success=success, processed=processed, failed=failed, **figures)
    _results[UUID(running.id)] = {"totalProcessed": processed, "failed": failed} | more


def start() -> None:
    """Look up the monitors of the current run and send the start ping."""
    job, run = _current()
    monitors = _monitors[run.id] = _find_monitors(job, run)
    _ping(monitors, Signal.START, run.id)


def skip(state: State) -> State:
    """Announce that the current run ends early in this state, and return the state.

    No ping is sent: the run that does the work sends it.
    """
    # Prefect runs no hook if the flow itself returns a cancelled state.
    job, run = _current()
    _send_result(job, run, state, _find_monitors(job, run))
    return state


def end(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """Announce how a run ended; a hook of Prefect. The worker of a killed run passes arguments by these names."""
    monitors = _monitors.pop(flow_run.id, None) or _find_monitors(flow.name, flow_run)
    result = _send_result(flow.name, flow_run, state, monitors)
    _ping(monitors, Signal.SUCCESS if result["success"] else Signal.FAIL, flow_run.id, result["message"])


HOOKS: dict[str, Any] = {name: [end] for name in ("on_completion", "on_failure", "on_crashed", "on_cancellation")}
"""The options with which a flow announces its runs."""


def _current() -> tuple[str, FlowRun]:
    context = FlowRunContext.get()
    assert context and context.flow and context.flow_run  # noqa: S101, PT018 - only flows of ours get here
    return context.flow.name, context.flow_run


def _send_result(job: str, run: FlowRun, state: State, monitors: _Monitors) -> dict[str, Any]:
    result = {
        "totalProcessed": 0,
        "failed": 0,
        **_results.pop(run.id, {}),
        "job": job,
        "success": state.is_completed(),
        "state": "Cancelled" if state.is_cancelling() else state.name,
        "message": hide_credentials(state.message or "")[:MAX_MESSAGE],
    }
    ended_at = state.timestamp.astimezone(UTC)
    message_id = _message_id(run)
    labels = {
        "prefect.resource.id": f"sivera.job.{job}",
        "prefect.resource.name": job,
        # An automation's trigger sees labels, not the payload.
        SUCCESS: str(result["success"]).lower(),
    }
    name = f"sivera.{job}.finished"
    resource, related = Resource(labels), _related(run)
    send([Event(id=message_id, event=name, occurred=ended_at, resource=resource, related=related, payload=result)])
    if monitors.webhook:
        of_run = {"run_id": str(run.id), "run_name": run.name, "ended_at": ended_at.isoformat()}
        outcome = monitors.webhook.deliver(str(message_id), {"type": name, **of_run, **result})
        if not outcome.is_delivered:
            logger.warning("The result was not delivered to the webhook: %s. %s", outcome.sentence, _REMEDY)
    return result


def _message_id(run: FlowRun) -> UUID:
    """Return the id of the message about the end of a run. Only a retry changes it."""
    # The hook may get a run that was read before it started; only the server's count is always right.
    count = run.run_count
    with suppress(PrefectException, httpx.HTTPError), server_once() as server:
        count = server.read_flow_run(run.id).run_count
    return uuid5(run.id, str(count))


def _related(run: FlowRun) -> list[RelatedResource]:
    ids = [("flow-run", run.id), ("flow", run.flow_id), *(("tag", tag) for tag in run.tags)]
    ids += [("deployment", run.deployment_id)] if run.deployment_id else []
    return [
        RelatedResource({"prefect.resource.id": f"prefect.{kind}.{id_}", "prefect.resource.role": kind})
        for kind, id_ in ids
    ]


def _ping(monitors: _Monitors, signal: Signal, run_id: UUID, text: str = "") -> None:
    if monitors.ping_url:
        outcome = ping(monitors.ping_url, signal, run_id, text)
        if not outcome.is_delivered:
            name = signal.name.lower()
            logger.warning("The dead-man's ping (%s) did not arrive: %s. %s", name, outcome.sentence, _REMEDY)


def _find_monitors(job: str, run: FlowRun) -> _Monitors:
    webhook = ping_url = None
    with _or_warning():
        # A run in a terminal sends no ping: it does not prove that the schedule works.
        if run.deployment_id and (pings := find_pings()):
            with server_once() as server:
                ping_url = pings.url_of(job, server.read_deployment(run.deployment_id).name)
    with _or_warning():
        webhook = find_webhook()
    return _Monitors(webhook, ping_url)


@contextmanager
def _or_warning() -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, PrefectException, httpx.HTTPError) as error:
        reason = error if isinstance(error, ConfigurationError) else f"{type(error).__name__}: run `sivera doctor`"
        logger.warning("A monitor of this run cannot be notified: %s", reason)
