"""Our deployments on a Prefect server."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, WorkPoolFilter
from prefect.client.schemas.responses import DeploymentResponse

from blocks.names import TAG, WORK_POOL

PAGE = 200
"""The most that the server lists at once. We have about twenty deployments."""


def our_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Return the deployments that have our tag and are in our work pool."""
    return client.read_deployments(
        work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [WORK_POOL]}}),
        deployment_filter=DeploymentFilter.model_validate({"tags": {"all_": [TAG]}}),
        limit=PAGE,
    )
