"""Our deployments on a Prefect server."""

from collections.abc import Iterator
from itertools import count

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.responses import DeploymentResponse

from blocks.names import TAG, WORK_POOL

PAGE = 200
"""The most deployments that the server lists at once."""


def our_deployments(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    """Yield the deployments that have our tag and are in our work pool."""
    for page in count():
        deployments = client.read_deployments(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[WORK_POOL])),
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])),
            limit=PAGE,
            offset=page * PAGE,
        )
        yield from deployments
        if len(deployments) < PAGE:
            return
