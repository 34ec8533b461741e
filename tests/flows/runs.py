"""Run flows, and read what the Prefect server knows of their runs."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry
from pydantic import BaseModel

from tasks import resources
from tests.conftest import eventually
from tests.prefect_server import request


def run(flow: Callable[..., Any], options: BaseModel | None = None) -> State:
    state: State = flow(*filter(None, [options]), return_state=True)
    return state


def run_as(flow: Flow[..., Any], made: FlowRun, **parameters: object) -> State:
    """Run a flow as a flow run that the server has already."""
    state = run_flow(flow, flow_run=made, parameters=parameters, return_type="state")
    assert isinstance(state, State)
    return state


def run_deployed(flow: Flow[..., Any], **parameters: object) -> State:
    """Run a flow as a run of a deployment: only such a run can be retried from the UI."""
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(flow), name="all")
        made: FlowRun = client.create_flow_run_from_deployment(deployment)
    return run_as(flow, made, **parameters)


def retry(flow: Flow[..., Any], state: State, **parameters: object) -> State:
    """Retry a run like the button in the UI and then a worker's new process."""
    with get_client(sync_client=True) as client:
        answer: OrchestrationResult[Any] = client.set_flow_run_state(flow_run_id(state), AwaitingRetry())
    assert answer.status is SetStateStatus.ACCEPT, answer
    resources.close()
    again = run_as(flow, read_run(state), **parameters)
    assert flow_run_id(again) == flow_run_id(state)
    return again


def flow_run_id(state: State) -> UUID:
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


def read_run(state: State) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run_id(state))


def ask(kind: str, **wanted: object) -> Any:
    """What the server lists of a kind. It lists task runs, events and logs a moment after they happen."""
    with get_client(sync_client=True) as client:
        return request(client, "POST", f"/{kind}/filter", json=wanted).json()


def wait_for_task_runs(state: State, names: AbstractSet[str]) -> None:
    """Wait until the server has recorded these task runs of a flow run, but not their ends.

    A busy server loses an event of a task run now and then.
    """
    _task_runs(state, names, {})


def recorded_tags(state: State, names: AbstractSet[str]) -> dict[str, list[str]]:
    """The tags of a flow run's ended task runs by name, once the server has recorded those of these names."""
    return _task_runs(state, names, {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}})


def _task_runs(state: State, names: AbstractSet[str], task_runs: dict[str, Any]) -> dict[str, list[str]]:
    def tags() -> dict[str, list[str]]:
        found = ask("task_runs", flow_runs={"id": {"any_": [str(flow_run_id(state))]}}, task_runs=task_runs)
        tags = {one["name"]: one["tags"] for one in found}
        assert tags.keys() >= names
        return tags

    return eventually(tags)


def artifacts(state: State, field: str = "data") -> dict[str, Any]:
    """A field of each artifact of a flow run, by key."""
    found = ask("artifacts", artifacts={"flow_run_id": {"any_": [str(flow_run_id(state))]}})
    return {artifact["key"]: artifact[field] for artifact in found}


def events(name: str, state: State) -> list[dict[str, Any]]:
    """The payloads of a flow run's events of a name."""
    return events_where(event={"name": [name]}, related={"id": [f"prefect.flow-run.{flow_run_id(state)}"]})


def events_where(**wanted: object) -> list[dict[str, Any]]:
    """The payloads of the events that match, once there are any."""

    def found() -> list[dict[str, Any]]:
        payloads = [event["payload"] for event in ask("events", filter=wanted)["events"]]
        assert payloads
        return payloads

    return eventually(found)
