"""Bring a Prefect server in line with prefect.yaml, and keep what an operator paused or switched off there."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import ConcurrencyLimitConfig, VersionInfo
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import Flow
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from blocks.deployments import our_deployments
from blocks.server import connect
from blocks.setup import SetupSummary, setup
from ops.timetable import BY_HAND, Deployment, find_timetable, read_timetable
from sivera.errors import ConfigurationError
from sivera.platforms.base import AppCredentials
from sivera.values import PlatformName, Value

Listed = Mapping[str, Deployment]
"""Deployments as the file has them, by 'flow/deployment', in the file's order."""

Deployed = Mapping[str, DeploymentResponse]
"""Deployments as the server has them, by 'flow/deployment'."""


class DeploySummary(Value):
    """What a deploy did; deployments as 'flow/deployment', schedules as 'flow/deployment/slug'.

    `kept_paused` are active in prefect.yaml, and an operator switched them off.
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
) -> DeploySummary:
    """Set up the Prefect server and deploy the timetable. A second deploy changes nothing.

    Existing deployments and schedules stay switched on or off as they are; for new ones the file decides. Our
    deployments and their schedules are deleted if the file no longer lists them; schedules made by hand stay.

    Args:
        database_url: See `blocks.setup.setup`.
        apps: See `blocks.setup.setup`.
        timetable_path: Another file than the package's prefect.yaml.
        storage_dir: See `blocks.setup.setup`.

    Raises:
        ConfigurationError: The file is wrong (one line for each problem, and nothing was changed), a value does not
            fit, or the server does not answer within ten seconds.
    """
    timetable, flows = read_timetable(timetable_path or find_timetable())
    listed = {f"{flows[each.entrypoint].name}/{each.name}": each for each in timetable.deployments}
    done = setup(database_url, apps, storage_dir)
    with connect() as client:
        before = read_deployments(client, listed)
        changed = {
            name
            for name, deployment in listed.items()
            if _apply(client, flows[deployment.entrypoint], deployment, before.get(name))
        }
        pruned = (*_prune_deployments(client, listed), *_prune_schedules(client, before, listed))
    return DeploySummary(
        setup=done,
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


def kept_paused(deployed: Deployed, listed: Listed) -> Iterator[str]:
    """Yield the deployments and schedules that are active in the file and switched off on the server."""
    for name, existing in deployed.items():
        if existing.paused and not listed[name].paused:
            yield name
        active = _active(existing)
        for schedule in listed[name].schedules:
            if schedule.active and not active.get(schedule.slug, True):
                yield f"{name}/{schedule.slug}"


def _apply(
    client: SyncPrefectClient, flow: Flow[..., Any], listed: Deployment, existing: DeploymentResponse | None
) -> bool:
    """Create a deployment, or update it if it differs from the file; return whether that was necessary.

    `prefect deploy` would start what an operator paused. And each update makes Prefect delete and plan the coming runs
    again, so an unchanged deployment is left alone.
    """
    active = _active(existing) if existing else {}
    schedules = tuple(
        each.model_copy(update={"active": active.get(each.slug, each.active)}) for each in listed.schedules
    )
    paused = existing.paused if existing else listed.paused
    wanted = listed.model_copy(update={"schedules": schedules, "paused": paused})
    if existing:
        if _content_of_file(flow, wanted) == _content_of_server(existing, wanted):
            return False
        _name_schedules_made_by_hand(client, existing)
    deployment = RunnerDeployment.from_flow(
        flow,
        name=wanted.name,
        description=wanted.description,
        tags=list(wanted.tags),
        parameters=wanted.parameters,
        paused=wanted.paused,
        schedules=[
            Cron(each.cron, timezone=each.timezone, slug=each.slug, active=each.active, parameters=each.parameters)
            for each in wanted.schedules
        ],
        concurrency_limit=ConcurrencyLimitConfig.model_validate(wanted.concurrency_limit.model_dump()),
        work_pool_name=wanted.work_pool.name,
        work_queue_name=wanted.work_pool.work_queue_name,
        job_variables=wanted.work_pool.job_variables,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.entrypoint = wanted.entrypoint
    try:
        # Without this, Prefect would take the commit and remote of whatever git repository is the current folder.
        deployment.apply(version_info=VersionInfo(type="prefect:simple", version=flow.version or ""))
    except (DeploymentApplyError, PrefectHTTPStatusError) as error:
        raise ConfigurationError(
            f"Prefect refuses the deployment '{flow.name}/{wanted.name}': {_reason(error)}"
        ) from None
    return True


def _content_of_file(flow: Flow[..., Any], wanted: Deployment) -> dict[str, Any]:
    return {
        "version": flow.version,
        "schema": flow.parameters.model_dump_for_openapi(),
        "entrypoint": wanted.entrypoint,
        "description": wanted.description,
        "tags": list(wanted.tags),
        "parameters": wanted.parameters,
        "paused": wanted.paused,
        "limit": wanted.concurrency_limit.model_dump(),
        "queue": wanted.work_pool.work_queue_name or "default",
        "job_variables": wanted.work_pool.job_variables,
        "schedules": {each.slug: each.model_dump() for each in wanted.schedules},
    }


def _content_of_server(existing: DeploymentResponse, wanted: Deployment) -> dict[str, Any]:
    limit, options = existing.global_concurrency_limit, existing.concurrency_options
    slugs = {each.slug for each in wanted.schedules}
    return {
        "version": existing.version,
        "schema": existing.parameter_openapi_schema,
        "entrypoint": existing.entrypoint,
        "description": existing.description,
        "tags": existing.tags,
        "parameters": existing.parameters,
        "paused": existing.paused,
        "limit": {"limit": limit and limit.limit, **(options.model_dump() if options else {})},
        "queue": existing.work_queue_name,
        "job_variables": existing.job_variables,
        "schedules": {
            each.slug: {
                "slug": each.slug,
                "cron": getattr(each.schedule, "cron", None),
                "timezone": getattr(each.schedule, "timezone", None),
                "active": each.active,
                "parameters": each.parameters,
            }
            for each in existing.schedules
            if each.slug in slugs
        },
    }


def _name_schedules_made_by_hand(client: SyncPrefectClient, existing: DeploymentResponse) -> None:
    # If one schedule has no slug, Prefect deletes all of them at an update and makes those of the file again.
    for schedule in existing.schedules:
        if not schedule.slug:
            client.update_deployment_schedule(existing.id, schedule.id, slug=f"{BY_HAND}{schedule.id.hex[-8:]}")


def _reason(error: Exception) -> str:
    if isinstance(error, PrefectHTTPStatusError):
        return str(error.response.json().get("detail") or f"HTTP {error.response.status_code}")
    return " ".join(str(error).split())


def _prune_deployments(client: SyncPrefectClient, listed: Listed) -> Iterator[str]:
    kept = {deployment.id for deployment in read_deployments(client, listed).values()}
    for deployment in list(our_deployments(client)):
        if deployment.id not in kept:
            client.delete_deployment(deployment.id)
            yield f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"


def _prune_schedules(client: SyncPrefectClient, deployed: Deployed, listed: Listed) -> Iterator[str]:
    for name, deployment in deployed.items():
        slugs = {schedule.slug for schedule in listed[name].schedules}
        for schedule in deployment.schedules:
            if schedule.slug and not schedule.slug.startswith(BY_HAND) and schedule.slug not in slugs:
                client.delete_deployment_schedule(deployment.id, schedule.id)
                yield f"{name}/{schedule.slug}"


def _active(deployment: DeploymentResponse) -> dict[str, bool]:
    return {schedule.slug: schedule.active for schedule in deployment.schedules if schedule.slug}
