"""Our deployments on a Prefect server."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, WorkPoolFilter
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from blocks.names import ALERTS_JOB, TAG, WORK_POOL
from sivera.alerts.options import DEFAULTS, AlertOptions

PAGE = 200
"""The most that the server lists at once. We have about twenty deployments."""


def our_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Return the deployments that have our tag and are in our work pool."""
    return client.read_deployments(
        work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [WORK_POOL]}}),
        deployment_filter=DeploymentFilter.model_validate({"tags": {"all_": [TAG]}}),
        limit=PAGE,
    )


def read_alert_options(client: SyncPrefectClient) -> AlertOptions:
    """Return the options that an operator has set for check-alerts, or the defaults if they are missing or invalid."""
    try:
        deployed = client.read_deployment_by_name(f"{ALERTS_JOB}/all")
        return AlertOptions.model_validate(deployed.parameters.get("options", {}))
    except (ObjectNotFound, ValidationError):
        return DEFAULTS
