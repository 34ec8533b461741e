"""Bring a Prefect server to what prefect.yaml says, without undoing what an operator switched on or off there."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, VersionInfo
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import Flow
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType
from pydantic import SecretStr

from blocks.names import TAG, WORK_POOL
from blocks.server import connect
from blocks.setup import SetupSummary, setup
from ops.timetable import BY_HAND, Deployment, find_timetable, read_timetable
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError
from sivera.platforms.base import AppCredentials
from sivera.values import PlatformName, Value

PAGE = 200
"""The most deployments that the server lists at once."""

CONTENT = {
    "concurrency_options",
    "description",
    "entrypoint",
    "job_variables",
    "parameter_openapi_schema",
    "parameters",
    "paused",
    "tags",
    "work_queue_name",
}
"""The fields of a deployment that the file decides, beside its schedules and its limit."""

Listed = Mapping[str, Deployment]
"""Deployments as the file has them, by 'flow/deployment', in the file's order."""

Deployed = Mapping[str, DeploymentResponse]
"""Deployments as the server has them, by 'flow/deployment'."""


class DeploySummary(Value):
    """What a deploy did; deployments as 'flow/deployment', schedules as 'flow/deployment/slug'.

    `kept_paused` are those that prefect.yaml would have run, and that an operator switched off.
    """

    setup: SetupSummary
    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    pruned: tuple[str, ...]
    kept_paused: tuple[str, ...]


def deploy(
    database_url: str | None = None,
    apps: Mapping[PlatformName, AppCredentials] | None = None,
    timetable_path: Path | None = None,
    storage_dir: Path | None = None,
    channels: Mapping[Channel, SecretStr] | None = None,
) -> DeploySummary:
    """Set up the Prefect server and deploy the timetable; a second time changes nothing.

    Deployments and schedules that are there already stay switched on or off as they are; new ones take the file's word.
    Deployments of ours, and schedules of theirs with a slug, that the file no longer lists are deleted.

    Args:
        database_url: See `blocks.setup.setup`.
        apps: See `blocks.setup.setup`.
        timetable_path: Another file than the package's prefect.yaml.
        storage_dir: See `blocks.setup.setup`.
        channels: See `blocks.setup.setup`.

    Raises:
        ConfigurationError: The file is wrong (one line for each thing, and nothing was changed), a value does not fit,
            or the server does not answer within ten seconds.
    """
    timetable, flows = read_timetable(timetable_path or find_timetable())
    listed = {f"{flows[each.entrypoint].name}/{each.name}": each for each in timetable.deployments}
    settled = setup(database_url, apps, storage_dir, channels)
    with connect() as client:
        _name_schedules_made_by_hand(client, read_deployments(client, listed))
        before = read_deployments(client, listed)
        for name, deployment in listed.items():
            _deploy(flows[deployment.entrypoint], deployment, before.get(name))
        after = read_deployments(client, listed)
        pruned = (*_prune_deployments(client, after), *_prune_schedules(client, after, listed))
    changed = {name for name in before if _content(before[name]) != _content(after[name])}
    return DeploySummary(
        setup=settled,
        created=tuple(name for name in listed if name not in before),
        updated=tuple(name for name in before if name in changed),
        unchanged=tuple(name for name in before if name not in changed),
        pruned=pruned,
        kept_paused=tuple(kept_paused(before, listed)),
    )


def read_deployments(client: SyncPrefectClient, names: Iterable[str]) -> Deployed:
    """Return the deployments of these names that the server has."""
    found: dict[str, DeploymentResponse] = {}
    for name in names:
        with suppress(ObjectNotFound):
            found[name] = client.read_deployment_by_name(name)
    return found


def _name_schedules_made_by_hand(client: SyncPrefectClient, deployed: Deployed) -> None:
    # Where one schedule has no slug, Prefect deletes them all at the next deploy and makes those of the file anew.
    for deployment in deployed.values():
        for schedule in deployment.schedules:
            if not schedule.slug:
                client.update_deployment_schedule(deployment.id, schedule.id, slug=f"{BY_HAND}{schedule.id.hex[-8:]}")


def _deploy(flow: Flow[..., Any], listed: Deployment, existing: DeploymentResponse | None) -> None:
    """Deploy as `prefect deploy` would, except that what is there already stays on or off as the server has it.

    `prefect deploy` itself takes the file's word, and starts what an operator paused.
    """
    wanted = RunnerDeployment.from_flow(
        flow,
        name=listed.name,
        description=listed.description,
        tags=list(listed.tags),
        parameters=listed.parameters,
        paused=existing.paused if existing else listed.paused,
        schedules=_schedules(listed, _active(existing) if existing else {}),
        concurrency_limit=ConcurrencyLimitConfig.model_validate(listed.concurrency_limit.model_dump()),
        work_pool_name=listed.work_pool.name,
        work_queue_name=listed.work_pool.work_queue_name,
        job_variables=listed.work_pool.job_variables,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    wanted.entrypoint = listed.entrypoint
    try:
        # Left to itself, Prefect takes commit and remote of the git repository that we happen to be in.
        wanted.apply(version_info=VersionInfo(type="prefect:simple", version=flow.version or ""))
    except (DeploymentApplyError, PrefectHTTPStatusError) as error:
        raise ConfigurationError(
            f"Prefect refuses the deployment '{flow.name}/{listed.name}': {_reason(error)}"
        ) from None


def _schedules(listed: Deployment, active: Mapping[str, bool]) -> list[Schedule]:
    return [
        Cron(
            schedule.cron,
            timezone=schedule.timezone,
            slug=schedule.slug,
            active=active.get(schedule.slug, schedule.active),
            parameters=schedule.parameters,
        )
        for schedule in listed.schedules
    ]


def _reason(error: Exception) -> str:
    if isinstance(error, PrefectHTTPStatusError):
        return str(error.response.json().get("detail") or f"HTTP {error.response.status_code}")
    return " ".join(str(error).split())


def _prune_deployments(client: SyncPrefectClient, kept: Deployed) -> Iterator[str]:
    kept_ids = {deployment.id for deployment in kept.values()}
    for deployment in list(our_deployments(client)):
        if deployment.id not in kept_ids:
            client.delete_deployment(deployment.id)
            yield f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"


def our_deployments(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    """Yield all that a deploy may prune: what has our tag and is in our work pool."""
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


def _prune_schedules(client: SyncPrefectClient, deployed: Deployed, listed: Listed) -> Iterator[str]:
    for name, deployment in deployed.items():
        slugs = {schedule.slug for schedule in listed[name].schedules}
        for schedule in deployment.schedules:
            if schedule.slug and not schedule.slug.startswith(BY_HAND) and schedule.slug not in slugs:
                client.delete_deployment_schedule(deployment.id, schedule.id)
                yield f"{name}/{schedule.slug}"


def kept_paused(deployed: Deployed, listed: Listed) -> Iterator[str]:
    """Yield the deployments and schedules that the file would run, and that are switched off on the server."""
    for name, existing in deployed.items():
        if existing.paused and not listed[name].paused:
            yield name
        active = _active(existing)
        for schedule in listed[name].schedules:
            if schedule.active and not active.get(schedule.slug, True):
                yield f"{name}/{schedule.slug}"


def _active(deployment: DeploymentResponse) -> dict[str, bool]:
    return {schedule.slug: schedule.active for schedule in deployment.schedules if schedule.slug}


def _content(deployment: DeploymentResponse) -> dict[str, Any]:
    """Return what a deploy can change of a deployment."""
    content = deployment.model_dump(include=CONTENT)
    content["schedules"] = {
        schedule.slug: schedule.model_dump(include={"schedule", "active", "parameters"})
        for schedule in deployment.schedules
    }
    limit = deployment.global_concurrency_limit
    return content | {"limit": limit.limit if limit else None}
