"""What the Prefect server knows of a flow run."""

from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry
from tenacity import Retrying, stop_after_delay, wait_fixed

from tasks import resources
from tests.conftest import PATIENCE_SECONDS


def flow_run_id(state: State) -> UUID:
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


def run_deployed(flow: Flow[..., Any], **parameters: object) -> State:
    """Run a flow as a run of a deployment of it: only such a run can be retried from the UI."""
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(flow), name="all")
        run: FlowRun = client.create_flow_run_from_deployment(deployment)
    return _run(flow, run, parameters)


def retry(flow: Flow[..., Any], state: State, **parameters: object) -> State:
    """Retry a run as the button in the UI does, and run it as the process does that a worker begins for it."""
    with get_client(sync_client=True) as client:
        answer: OrchestrationResult[Any] = client.set_flow_run_state(flow_run_id(state), AwaitingRetry())
        assert answer.status is SetStateStatus.ACCEPT, answer
        run = client.read_flow_run(flow_run_id(state))
    resources.close()
    again = _run(flow, run, parameters)
    assert flow_run_id(again) == flow_run_id(state)
    return again


def _run(flow: Flow[..., Any], run: FlowRun, parameters: dict[str, Any]) -> State:
    state = run_flow(flow, flow_run=run, parameters=parameters, return_type="state")
    assert isinstance(state, State)
    return state


def recorded_names(state: State, wanted: AbstractSet[str]) -> AbstractSet[str]:
    """The names of a flow run's task runs, once the server has recorded these.

    Whether it has recorded their ends does not matter: a busy server loses an event of a task run now and then.
    """
    return _recorded(state, wanted, {}).keys()


def recorded_tags(state: State, names: AbstractSet[str]) -> dict[str, list[str]]:
    """The tags of a flow run's task runs by their names, once the server has recorded the end of those of these names.

    It does so a moment later, and in no fixed order: so many of them need not be these.
    """
    return _recorded(state, names, {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}})


def _recorded(state: State, names: AbstractSet[str], task_runs: dict[str, Any]) -> dict[str, list[str]]:
    wanted = {"flow_runs": {"id": {"any_": [str(flow_run_id(state))]}}, "task_runs": task_runs}
    with get_client(sync_client=True) as client:
        for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(PATIENCE_SECONDS), reraise=True):
            with attempt:
                runs = client.request("POST", "/task_runs/filter", json=wanted).json()
                tags = {run["name"]: run["tags"] for run in runs}
                assert tags.keys() >= names
    return tags


def name_of(state: State) -> str:
    """What a flow run is called."""
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run_id(state)).name


def artifacts(state: State) -> dict[str, Any]:
    """What a flow run's artifacts hold, by their keys."""
    return {artifact["key"]: artifact["data"] for artifact in _artifacts(state)}


def descriptions(state: State) -> dict[str, str]:
    """What stands above a flow run's artifacts, by their keys."""
    return {artifact["key"]: artifact["description"] for artifact in _artifacts(state)}


def _artifacts(state: State) -> list[dict[str, Any]]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [str(flow_run_id(state))]}}}
    with get_client(sync_client=True) as client:
        found: list[dict[str, Any]] = client.request("POST", "/artifacts/filter", json=wanted).json()
    return found


def events(name: str, state: State) -> list[dict[str, Any]]:
    """The payloads of a flow run's events of a name."""
    return events_where({"event": {"name": [name]}, "related": {"id": [f"prefect.flow-run.{flow_run_id(state)}"]}})


def events_where(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """The payloads of the events that fit, once the server has any: it writes them a moment later."""
    with get_client(sync_client=True) as client:
        for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(PATIENCE_SECONDS), reraise=True):
            with attempt:
                found = client.request("POST", "/events/filter", json={"filter": wanted}).json()["events"]
                assert found
    return [event["payload"] for event in found]
