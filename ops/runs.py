"""Runs of deployments, started from here and followed until they end."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from blocks.server import connect
from sivera.errors import ConfigurationError

POLL_SECONDS = 0.5
ATTEMPTS = 10
"""A run that finds another one under way is cancelled, some seconds after it was asked for."""


def run_deployment(
    name: str, parameters: Mapping[str, Any], watch: Callable[[FlowRun, int], None], attempts: int = ATTEMPTS
) -> FlowRun:
    """Run a deployment through a worker, and return the run once it has ended, however it has.

    Args:
        name: The deployment, as 'flow/deployment'.
        parameters: Those of the flow that differ from the deployment's.
        watch: Told now and then the run and how many of its tasks have ended; what it raises ends the wait.
        attempts: How often to ask again for a run that was cancelled, as where the timetable's own is under way.

    Raises:
        ConfigurationError: There is no such deployment, or the Prefect server does not answer.
    """
    with connect() as client:
        try:
            deployment = client.read_deployment_by_name(name)
        except ObjectNotFound:
            raise ConfigurationError(f"there is no deployment '{name}': run `sivera deploy`") from None
        for attempt in range(attempts):
            created = client.create_flow_run_from_deployment(deployment.id, parameters=dict(parameters))
            run = _follow(client, created, watch)
            if run.state is None or not run.state.is_cancelled() or attempt == attempts - 1:
                break
        return run


def _follow(client: SyncPrefectClient, run: FlowRun, watch: Callable[[FlowRun, int], None]) -> FlowRun:
    ended = {
        "flow_runs": {"id": {"any_": [str(run.id)]}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}},
    }
    while True:
        watch(run, client.request("POST", "/task_runs/count", json=ended).json())
        if run.state and run.state.is_final():
            return run
        time.sleep(POLL_SECONDS)
        run = client.read_flow_run(run.id)
