"""Starts runs of deployments, follows them to their end, and crashes those whose processes are gone."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import FlowFilter, FlowFilterId, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from blocks.deployments import PAGE
from blocks.server import connect
from sivera.errors import ConfigurationError
from sivera.history.rules import ANOTHER_INSTANCE
from tasks.job_runs import in_state

POLL_SECONDS = 0.5
ATTEMPTS = 3

ACTIVE = in_state(("RUNNING", "PENDING", "CANCELLING"))

Watch = Callable[[FlowRun, int], None]


def run_deployment(name: str, parameters: Mapping[str, Any], watch: Watch) -> FlowRun:
    """Run a deployment ('flow/deployment') through a worker, and return the run once it has ended, however it ended.

    If another run is active, wait for that and try again. `watch` is called repeatedly with the run and the number of
    its tasks that have ended; if it raises, the wait ends.
    """
    with connect() as client:
        try:
            deployment = client.read_deployment_by_name(name)
        except ObjectNotFound:
            raise ConfigurationError(f"there is no deployment '{name}': run `sivera deploy`") from None
        of_flow = FlowFilter(id=FlowFilterId(any_=[deployment.flow_id]))
        for attempt in range(ATTEMPTS):
            created = client.create_flow_run_from_deployment(deployment.id, parameters=dict(parameters))
            run = _follow(client, created, watch)
            if not was_skipped(run) or attempt == ATTEMPTS - 1:
                break
            for other in client.read_flow_runs(flow_filter=of_flow, flow_run_filter=FlowRunFilter(state=ACTIVE)):
                _follow(client, other, watch)
        return run


def was_skipped(run: FlowRun) -> bool:
    """Whether a run was cancelled because another one is active."""
    if run.state is None or not run.state.is_cancelled():
        return False
    return run.run_count == 0 or run.state.message == ANOTHER_INSTANCE


def crash_orphaned_runs(client: SyncPrefectClient) -> None:
    """Set runs whose processes ended with an earlier stack to Crashed, and free their concurrency slots.

    Otherwise the next run would be cancelled until the server notices, which takes a minute or two.
    """
    while runs := client.read_flow_runs(flow_run_filter=FlowRunFilter(state=ACTIVE)):
        for run in runs:
            message = "The local stack was stopped while this was running."
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    for limit in client.read_global_concurrency_limits(limit=PAGE):
        if limit.active_slots:
            client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=0))


def _follow(client: SyncPrefectClient, run: FlowRun, watch: Watch) -> FlowRun:
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
