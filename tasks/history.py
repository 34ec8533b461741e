"""What became of scheduled times and runs, read from the Prefect server."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from pydantic import TypeAdapter

from blocks.deployments import our_deployments
from blocks.server import connect
from sivera.clock import utc_now
from sivera.history.rules import Occurrence, Run, Schedule, history
from sivera.links import hide_credentials
from tasks.job_runs import all_runs, deployed_flows

CHUNK = timedelta(hours=12)
"""Prefect computes at most 1,000 times at once, and a cron schedule has at most one time a minute."""

LAST = (FlowRunSort.END_TIME_DESC, FlowRunSort.START_TIME_DESC)

ServerSchedule: TypeAdapter[CronSchedule | IntervalSchedule | RRuleSchedule] = TypeAdapter(
    CronSchedule | IntervalSchedule | RRuleSchedule
)


def read_history(since: datetime, now: datetime | None = None, *, for_alerts: bool = False) -> list[Occurrence]:
    """Return what became of each scheduled time and each run by hand since then, newest first.

    Times before a schedule's last change are left out if they have no run: it may not have been active then. With
    `for_alerts`, only what follows each deployment's last good run is complete, because a good run makes up for what
    came before. ConfigurationError if the Prefect server does not answer.
    """
    now = now or utc_now()
    with connect() as client:
        jobs = {flow.id: flow.name for flow in deployed_flows(client)}
        deployments = {each.id: each for each in our_deployments(client) if each.flow_id in jobs}
        ids = list(deployments)
        found = _runs_for_alerts(client, ids, since, now) if for_alerts else all_runs(client, _between(ids, since, now))
        runs = [_to_run(run, deployments[run.deployment_id], jobs) for run in found if run.deployment_id]
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
    """Return the names of the deployed jobs; ConfigurationError if the Prefect server does not answer."""
    with connect() as client:
        return {flow.name for flow in deployed_flows(client)}


def times_between(schedule: Any, since: datetime, until: datetime) -> list[datetime]:
    """Return a schedule's times in UTC, from `since` until (excluded) `until`, as Prefect's own code computes them.

    A schedule for a day that never comes, such as 31 February, has no times.
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


def _runs_for_alerts(client: SyncPrefectClient, ids: list[UUID], since: datetime, until: datetime) -> Iterator[FlowRun]:
    """Yield the runs that did not end well, and only the last good ones of each deployment, which may have many."""
    yield from all_runs(client, _between(ids, since, until, not_any_=["COMPLETED"]))
    for id_ in ids:
        good = _between([id_], since, until, any_=["COMPLETED"])
        # After a retry by hand, the run that ended last may not be the one that started last.
        last = (client.read_flow_runs(flow_run_filter=good, sort=by, limit=1) for by in LAST)
        yield from {run.id: run for found in last for run in found}.values()


def _between(ids: list[UUID], since: datetime, until: datetime, **types: list[str]) -> FlowRunFilter:
    times = {"after_": since, "before_": until}
    wanted = {"deployment_id": {"any_": ids}, "expected_start_time": times, "state": {"type": types}}
    return FlowRunFilter.model_validate(wanted)


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
        # Prefect gives even a run that never started a start time: that of its end.
        started_at=_utc(run.start_time) if run.start_time and run.run_count else None,
        ended_at=_utc(run.end_time) if run.end_time else None,
    )


def _full_name(deployment: DeploymentResponse, jobs: dict[UUID, str]) -> str:
    return f"{jobs[deployment.flow_id]}/{deployment.name}"


def _slug(schedule: DeploymentSchedule) -> str:
    # A schedule made by hand gets such a slug at the next deploy.
    return schedule.slug or f"by-hand-{schedule.id.hex[-8:]}"


def _last_change(deployment: DeploymentResponse, schedule: DeploymentSchedule) -> datetime:
    # Pausing and resuming change the deployment, not its schedules.
    changes = (deployment.created, deployment.updated, schedule.created, schedule.updated)
    return max((_utc(when) for when in changes if when), default=utc_now())


def _utc(when: datetime) -> datetime:
    return datetime.fromtimestamp(when.timestamp(), UTC)
