"""Runs that a Prefect server would have made in the past."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun

from blocks.server import connect


@contextmanager
def deployment(name: str = "example/all") -> Iterator[tuple[SyncPrefectClient, UUID]]:
    with connect() as client:
        yield client, client.read_deployment_by_name(name).id


def schedule_runs(name: str, since: datetime, until: datetime) -> list[FlowRun]:
    """Let the server make the runs of a time in the past, as its scheduler did then; the oldest first."""
    with deployment(name) as (client, id_):
        wanted = {"start_time": since.isoformat(), "end_time": until.isoformat(), "max_runs": 100, "min_runs": 100}
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": id_}, json=wanted)
        of = DeploymentFilter(id=DeploymentFilterId(any_=[id_]))
        runs = client.read_flow_runs(deployment_filter=of, limit=200)
    due = [run for run in runs if since <= to_datetime(run) <= until]
    return sorted(due, key=to_datetime)


def to_datetime(run: FlowRun) -> datetime:
    assert run.expected_start_time
    return datetime.fromtimestamp(run.expected_start_time.timestamp(), UTC)
