"""What the Prefect server knows of a flow run."""

from collections.abc import Set as AbstractSet
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from tenacity import Retrying, stop_after_delay, wait_fixed


def flow_run_id(state: State) -> UUID:
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


def recorded_names(state: State, count: int) -> AbstractSet[str]:
    """The names of a flow run's task runs, once the server has recorded so many: it does so a moment later."""
    return recorded_tags(state, count).keys()


def recorded_tags(state: State, count: int) -> dict[str, list[str]]:
    """The tags of a flow run's task runs by their names, once the server has recorded the end of so many."""
    wanted = {
        "flow_runs": {"id": {"any_": [str(flow_run_id(state))]}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}},
    }
    with get_client(sync_client=True) as client:
        for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(30)):
            with attempt:
                runs = client.request("POST", "/task_runs/filter", json=wanted).json()
                assert len(runs) >= count
    return {run["name"]: run["tags"] for run in runs}


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
        for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(30)):
            with attempt:
                found = client.request("POST", "/events/filter", json={"filter": wanted}).json()["events"]
                assert found
    return [event["payload"] for event in found]
