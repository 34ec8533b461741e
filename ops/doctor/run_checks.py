"""The checks of what is deployed, and of its runs."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse

from blocks.automations import START
from blocks.deployments import our_deployments
from blocks.names import TAG
from ops.deploy import kept_paused
from ops.doctor.findings import Finding, fault, few, ok, warning
from ops.doctor.installation import Installation
from ops.stack.runs import PAGE, UNDER_WAY
from ops.timetable import BY_HAND, Deployment
from sivera.units import duration

LATE = timedelta(seconds=60)
"""A worker looks every ten seconds at the latest."""

LEEWAY = timedelta(seconds=60)
"""What a run may need beyond its time limit to end."""

DEFAULT_QUEUE = "default"


def check_deployments(installation: Installation) -> Finding:
    """Compare what is deployed with what the file says."""
    wrong = []
    for name, listed in installation.listed.items():
        deployed = installation.deployed.get(name)
        if deployed is None:
            wrong.append(f"{name} is not deployed")
        elif drifted := list(differences(listed, deployed)):
            wrong.append(f"{name} differs in {', '.join(drifted)}")
    known = {deployment.id for deployment in installation.deployed.values()}
    for deployment in our_deployments(installation.client):
        if deployment.id not in known:
            flow = installation.client.read_flow(deployment.flow_id)
            wrong.append(f"{flow.name}/{deployment.name} is left over")
    if wrong:
        return fault("; ".join(wrong), "run `sivera deploy`")
    return ok(f"all {len(known)} are deployed as prefect.yaml says")


def differences(listed: Deployment, deployed: DeploymentResponse) -> Iterator[str]:
    """Yield in what a deployment differs from what the file says of it; what an operator switched is no difference."""
    wanted, found = _as_listed(listed), _as_deployed(deployed)
    yield from (key for key in sorted(wanted.keys() | found.keys()) if wanted.get(key) != found.get(key))


def _as_listed(listed: Deployment) -> Mapping[str, Any]:
    limit, pool = listed.concurrency_limit, listed.work_pool
    schedules = {
        f"schedule {schedule.slug}": (schedule.cron, schedule.timezone, schedule.parameters)
        for schedule in listed.schedules
    }
    return schedules | {
        "entrypoint": listed.entrypoint,
        "description": listed.description,
        "tags": set(listed.tags),
        "parameters": listed.parameters,
        "concurrency limit": (limit.limit, limit.collision_strategy, limit.grace_period_seconds),
        "work pool": (pool.name, pool.work_queue_name or DEFAULT_QUEUE, pool.job_variables),
    }


def _as_deployed(deployed: DeploymentResponse) -> Mapping[str, Any]:
    limit, options = deployed.global_concurrency_limit, deployed.concurrency_options
    schedules = {
        f"schedule {each.slug}": (
            getattr(each.schedule, "cron", None),
            getattr(each.schedule, "timezone", None),
            each.parameters,
        )
        for each in deployed.schedules
        # Those that an operator made have no slug, or get one from us.
        if each.slug and not each.slug.startswith(BY_HAND)
    }
    return schedules | {
        "entrypoint": deployed.entrypoint,
        "description": deployed.description,
        "tags": set(deployed.tags),
        "parameters": deployed.parameters,
        "concurrency limit": (
            limit and limit.limit,
            options and options.collision_strategy.value,
            options and options.grace_period_seconds,
        ),
        "work pool": (deployed.work_pool_name, deployed.work_queue_name, deployed.job_variables),
    }


def check_paused(installation: Installation) -> Finding:
    """Look for what the file would run and an operator switched off."""
    off = list(kept_paused(installation.deployed, installation.listed))
    if off:
        return warning(
            f"switched off, against prefect.yaml: {few(off)}", "if it is not meant, switch them on in the UI"
        )
    return ok("everything that prefect.yaml runs is switched on")


def check_late(installation: Installation) -> Finding:
    """Look for runs whose time has come and that nobody has taken."""
    now = installation.now()
    late = installation.client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[TAG]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=now - LATE),
        ),
        limit=PAGE,
    )
    if late:
        since = min(run.next_scheduled_start_time or now for run in late)
        return warning(
            f"{len(late)} runs are late, the first by {duration(now - since)}: {few([run.name for run in late])}",
            "see that a worker is online and not paused; missed runs fold into one",
        )
    return ok("no run is late")


def check_stuck(installation: Installation) -> Finding:
    """Look for runs that neither go on nor end."""
    runs = installation.client.read_flow_runs(
        flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG]), state=UNDER_WAY), limit=PAGE
    )
    limits, now = installation.time_limits(), installation.now()
    stuck = [
        f"{run.name} ({reason})"
        for run in runs
        if (reason := why_stuck(run, limits.get(run.deployment_id) if run.deployment_id else None, now))
    ]
    if stuck:
        return fault(
            f"{few(stuck)}",
            "see the worker's log; where its process is gone, set the run to Crashed in the UI while no other run of "
            "its deployment is under way",
        )
    return ok(f"{len(runs)} runs are under way, none of them stuck")


def why_stuck(run: FlowRun, time_limit: timedelta | None, now: datetime) -> str | None:
    """Say why a run that is under way does not seem to go on; None where it does."""
    if run.state is None:
        return None
    since = now - run.state.timestamp
    if run.state.type is not StateType.RUNNING:
        return f"{run.state.name} for {duration(since)}" if since > START else None
    if time_limit and since > time_limit + LEEWAY:
        return f"Running for {duration(since)}, with a limit of {duration(time_limit)}"
    return None
