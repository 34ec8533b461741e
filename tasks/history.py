"""The history of scheduled times and runs, read from the Prefect server."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from pydantic import TypeAdapter

from blocks.deployments import our_deployments
from blocks.server import connect
from sivera.clock import utc_now
from sivera.history.rules import Occurrence, Run, Schedule, history
from sivera.links import hide_credentials
from tasks.job_runs import all_runs, deployed_flows

CHUNK = timedelta(hours=12)
"""Prefect computes at most 1,000 times at once, and a cron schedule has at most one a minute."""

ServerSchedule: TypeAdapter[CronSchedule | IntervalSchedule | RRuleSchedule] = TypeAdapter(
    CronSchedule | IntervalSchedule | RRuleSchedule
)


def read_history(since: datetime, now: datetime | None = None) -> list[Occurrence]:
    """Return what became of each scheduled time and run by hand since then; the newest first.

    Times before a schedule's last change are left out if they have no run: nobody knows whether it was active then.

    Raises:
        ConfigurationError: The Prefect server does not answer.
    """
    now = now or utc_now()
    with connect() as client:
        jobs = {flow.id: flow.name for flow in deployed_flows(client)}
        deployments = {each.id: each for each in our_deployments(client) if each.flow_id in jobs}
        runs = [
            _to_run(run, deployments[run.deployment_id], jobs)
            for run in all_runs(client, _runs_between(list(deployments), since, now))
            if run.deployment_id
        ]
    schedules = [
        Schedule(
            deployment=_full_name(deployment, jobs),
            job=jobs[deployment.flow_id],
            slug=_slug(schedule),
            times=tuple(times_between(schedule.schedule, max(since, _last_change(deployment, schedule)), now)),
        )
        for deployment in deployments.values()
        if not deployment.paused
        for schedule in deployment.schedules
        if schedule.active
    ]
    return history(schedules, runs, now)


def read_jobs() -> set[str]:
    """Return the names of the deployed jobs; ConfigurationError if the Prefect server is away."""
    with connect() as client:
        return {flow.name for flow in deployed_flows(client)}


def times_between(schedule: Any, since: datetime, until: datetime) -> list[datetime]:
    """Return when a schedule is due, in UTC, from a time until (excluded) another; computed by Prefect's own code.

    A schedule that somebody made for a day that never comes, such as 31 February, has no times, and hides no others.
    """
    rule = ServerSchedule.validate_python(schedule.model_dump())
    times: set[datetime] = set()
    begin = since
    while begin < until:
        end = min(begin + CHUNK, until)
        try:
            times |= {_utc(when) for when in asyncio.run(rule.get_dates(start=begin, end=end))}
        except ValueError:
            return []
        begin = end
    return sorted(when for when in times if since <= when < until)


def _runs_between(deployment_ids: list[UUID], since: datetime, until: datetime) -> FlowRunFilter:
    times = {"after_": since, "before_": until}
    return FlowRunFilter.model_validate({"deployment_id": {"any_": deployment_ids}, "expected_start_time": times})


def _to_run(run: FlowRun, deployment: DeploymentResponse, jobs: dict[UUID, str]) -> Run:
    assert run.state  # noqa: S101 - the server gives every run one
    maker = run.created_by if run.auto_scheduled else None
    slugs = {schedule.id: _slug(schedule) for schedule in deployment.schedules}
    return Run(
        id=run.id,
        job=jobs[deployment.flow_id],
        deployment=_full_name(deployment, jobs),
        schedule=slugs.get(maker.id, maker.display_value) if maker and maker.id else None,
        scheduled_at=_utc(run.expected_start_time or run.state.timestamp),
        state=run.state.type.value,
        state_name=run.state.name or run.state.type.value,
        message=hide_credentials(run.state.message or "") or None,
        changed_at=_utc(run.state.timestamp),
        # Prefect gives a run that never began a start time too: that of its end.
        started_at=_utc(run.start_time) if run.start_time and run.run_count else None,
        ended_at=_utc(run.end_time) if run.end_time else None,
    )


def _full_name(deployment: DeploymentResponse, jobs: dict[UUID, str]) -> str:
    return f"{jobs[deployment.flow_id]}/{deployment.name}"


def _slug(schedule: DeploymentSchedule) -> str:
    # A schedule made by hand gets this slug at the next deploy.
    return schedule.slug or f"by-hand-{schedule.id.hex[-8:]}"


def _last_change(deployment: DeploymentResponse, schedule: DeploymentSchedule) -> datetime:
    # Pausing and resuming change the deployment, not its schedules.
    changes = (deployment.created, deployment.updated, schedule.created, schedule.updated)
    return max((_utc(when) for when in changes if when), default=utc_now())


def _utc(when: datetime) -> datetime:
    return datetime.fromtimestamp(when.timestamp(), UTC)
