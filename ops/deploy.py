"""Brings a Prefect server in line with prefect.yaml, and keeps what an operator paused or switched off there."""

from collections.abc import Iterator, Mapping
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
from ops.timetable import BY_HAND, Deployment, full_names, read_timetable
from sivera.errors import ConfigurationError


class DeploySummary(SetupSummary):
    """What a deploy and its setup did, with deployments as 'flow/deployment' and schedules as 'flow/deployment/slug'.

    `kept_paused` are active in prefect.yaml, but an operator switched them off.
    """

    unchanged: tuple[str, ...]
    pruned: tuple[str, ...]
    kept_paused: tuple[str, ...]


def deploy(timetable_path: Path | None = None, done: SetupSummary | None = None) -> DeploySummary:
    """Set up the Prefect server, unless that is already `done`, and deploy the timetable. It is idempotent.

    Existing deployments and schedules stay on or off as they are; the file decides only for new ones. Deployments and
    schedules of ours that the file no longer lists are deleted; schedules made by hand stay. An invalid file changes
    nothing.

    Raises:
        ConfigurationError: The file is invalid, or the server does not answer.
    """
    timetable, flows = read_timetable(timetable_path)
    listed = full_names(timetable, flows)
    done = done or setup()
    with connect() as client:
        before = read_deployments(client)
        for name in listed.keys() - before.keys():
            # Somebody may have removed our tag or chosen another work pool.
            with suppress(ObjectNotFound):
                before[name] = client.read_deployment_by_name(name)
        changed = []
        for name, wanted in listed.items():
            flow, existing = flows[wanted.entrypoint], before.get(name)
            # An update makes Prefect reschedule the coming runs, so unchanged deployments are left alone.
            if existing is None or differences(flow, wanted, existing):
                _apply(client, flow, wanted, existing)
                changed.append(name)
        pruned = tuple(_prune(client, before, listed))
    kept = {name: deployment for name, deployment in before.items() if name in listed}
    return DeploySummary(
        created=(*done.created, *(name for name in listed if name not in before)),
        updated=(*done.updated, *(name for name in changed if name in before)),
        removed=done.removed,
        missing=done.missing,
        unchanged=tuple(name for name in listed if name not in changed),
        pruned=pruned,
        kept_paused=tuple(each for name, found in kept.items() for each in switched_off(name, listed[name], found)),
    )


def read_deployments(client: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    """Return our deployments on the server, by 'flow/deployment'."""
    found = list(our_deployments(client))
    flows = {flow_id: client.read_flow(flow_id).name for flow_id in {each.flow_id for each in found}}
    return {f"{flows[each.flow_id]}/{each.name}": each for each in found}


def switched_off(name: str, listed: Deployment, existing: DeploymentResponse) -> Iterator[str]:
    """Yield the deployment and each schedule that are on in prefect.yaml, but that an operator switched off."""
    if existing.paused and not listed.paused:
        yield name
    inactive = {each.slug for each in existing.schedules if not each.active}
    yield from (f"{name}/{each.slug}" for each in listed.schedules if each.active and each.slug in inactive)


def differences(flow: Flow[..., Any], listed: Deployment, existing: DeploymentResponse) -> list[str]:
    """Return which parts of a deployment differ from prefect.yaml. Being switched off does not count."""
    limit, options = existing.global_concurrency_limit, existing.concurrency_options
    pool = listed.work_pool
    found_limit = {"limit": limit and limit.limit, **(options.model_dump() if options else {})}
    found_pool = (existing.work_pool_name, existing.work_queue_name, existing.job_variables)
    parts = {
        "version": (flow.version, existing.version),
        "schema of parameters": (flow.parameters.model_dump_for_openapi(), existing.parameter_openapi_schema),
        "entrypoint": (listed.entrypoint, existing.entrypoint),
        "description": (listed.description, existing.description),
        "tags": (set(listed.tags), set(existing.tags)),
        "parameters": (listed.parameters, existing.parameters),
        "concurrency limit": (listed.concurrency_limit.model_dump(), found_limit),
        "work pool": ((pool.name, pool.work_queue_name, pool.job_variables), found_pool),
    }
    wanted = {each.slug: (each.cron, each.timezone, each.parameters) for each in listed.schedules}
    found = {
        each.slug: (getattr(each.schedule, "cron", None), getattr(each.schedule, "timezone", None), each.parameters)
        for each in existing.schedules
        if each.slug and not _is_by_hand(each.slug)
    }
    drift = [name for name, (ours, theirs) in parts.items() if ours != theirs]
    drift += [f"schedule {slug}" for slug in wanted.keys() | found.keys() if wanted.get(slug) != found.get(slug)]
    return sorted(drift)


def _apply(
    client: SyncPrefectClient, flow: Flow[..., Any], wanted: Deployment, existing: DeploymentResponse | None
) -> None:
    """Create or update a deployment. `prefect deploy` would resume what an operator paused."""
    active = {each.slug: each.active for each in existing.schedules} if existing else {}
    for schedule in existing.schedules if existing else ():
        # If a schedule has no slug, an update makes Prefect delete all of them and create those of the file again.
        if existing and not schedule.slug:
            client.update_deployment_schedule(existing.id, schedule.id, slug=f"{BY_HAND}{schedule.id.hex[-8:]}")
    deployment = RunnerDeployment.from_flow(
        flow,
        name=wanted.name,
        description=wanted.description,
        tags=list(wanted.tags),
        parameters=wanted.parameters,
        paused=existing.paused if existing else wanted.paused,
        schedules=[
            Cron(
                each.cron,
                timezone=each.timezone,
                slug=each.slug,
                active=active.get(each.slug, each.active),
                parameters=each.parameters,
            )
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
        # Otherwise Prefect would store the commit and remote of the git repository in the current folder.
        deployment.apply(version_info=VersionInfo(type="prefect:simple", version=flow.version or ""))
    except (DeploymentApplyError, PrefectHTTPStatusError) as error:
        reason = error.response.text if isinstance(error, PrefectHTTPStatusError) else str(error)
        raise ConfigurationError(
            f"Prefect refuses the deployment '{flow.name}/{wanted.name}' ({' '.join(reason.split())}): "
            "correct it in prefect.yaml"
        ) from None


def _prune(
    client: SyncPrefectClient, deployed: Mapping[str, DeploymentResponse], listed: Mapping[str, Deployment]
) -> Iterator[str]:
    for name, deployment in deployed.items():
        if name not in listed:
            client.delete_deployment(deployment.id)
            yield name
            continue
        slugs = {schedule.slug for schedule in listed[name].schedules}
        for schedule in deployment.schedules:
            if not _is_by_hand(schedule.slug) and schedule.slug not in slugs:
                client.delete_deployment_schedule(deployment.id, schedule.id)
                yield f"{name}/{schedule.slug}"


def _is_by_hand(slug: str | None) -> bool:
    """Whether an operator made the schedule: it has no slug, or one that we gave it later."""
    return not slug or slug.startswith(BY_HAND)
