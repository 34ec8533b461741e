"""Runs of a deployment that were due in the past."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter
from prefect.client.schemas.objects import FlowRun

from blocks.server import connect


@contextmanager
def deployment(name: str = "example/all") -> Iterator[tuple[SyncPrefectClient, UUID]]:
    with connect() as client:
        yield client, client.read_deployment_by_name(name).id


def schedule_runs(name: str, since: datetime, until: datetime) -> list[FlowRun]:
    """Make the runs that the server's scheduler would have made then, oldest first."""
    with deployment(name) as (client, id_):
        wanted = {"start_time": since.isoformat(), "end_time": until.isoformat(), "max_runs": 100, "min_runs": 100}
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": id_}, json=wanted)
        runs = client.read_flow_runs(deployment_filter=DeploymentFilter(id={"any_": [id_]}), limit=200)
    due = [run for run in runs if since <= to_datetime(run) <= until]
    return sorted(due, key=to_datetime)


def to_datetime(run: FlowRun) -> datetime:
    assert run.expected_start_time
    return datetime.fromtimestamp(run.expected_start_time.timestamp(), UTC)
