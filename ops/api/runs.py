"""Starts runs of the jobs, waits for them and describes them, with Prefect's own client."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from blocks.deployments import PAGE
from blocks.server import links
from ops.api.answers import Finished, JobEntry, RefusedError, Result, Run, ScheduleEntry, Started, refusing_misfits
from ops.api.jobs import OPTIONS, Job
from ops.stack.runs import ACTIVE, was_skipped
from sivera.errors import ConfigurationError
from sivera.history.rules import ANOTHER_INSTANCE
from tasks.job_runs import SCHEDULED, WENT, in_state

POLL_SECONDS = 0.5

CLOCK_MARGIN = timedelta(seconds=5)
"""How far the server's clock may be ahead of ours."""

logger = logging.getLogger("sivera.api")


class Runs:
    """The runs of jobs on a Prefect server. Every method raises httpx.HTTPError if the server does not answer."""

    def __init__(self, client: PrefectClient, event_seconds: float) -> None:
        self._client, self._event_seconds = client, event_seconds
        self._starting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self, job: Job, given: Mapping[str, Any]) -> FlowRun:
        """Start a job and return its run. The given options, as JSON types, replace those of its deployment."""
        try:
            deployment = await self._client.read_deployment_by_name(job.deployment)
        except ObjectNotFound:
            raise ConfigurationError(f"there is no deployment '{job.deployment}': run `sivera deploy`") from None
        parameters = {}
        if given:
            options = {**deployment.parameters.get(OPTIONS, {}), **given}
            with refusing_misfits():
                job.options.model_validate(options)
            parameters[OPTIONS] = options
        # One caller at a time: the second has to see the first one's run.
        async with self._starting[job.name]:
            await self._refuse_if_running(job)
            run = await self._client.create_flow_run_from_deployment(
                deployment.id,
                parameters=parameters,
                # Prefect's client sends a request again if the answer was lost.
                idempotency_key=str(uuid4()),
            )
        logger.info("Started %s as run %s", job.deployment, run.id)
        return run

    async def wait(self, job: Job, run: FlowRun, seconds: float) -> Started | Finished:
        """Wait this long for a run to end; RefusedError if it was cancelled because another one is running."""
        until = time.monotonic() + seconds
        while not (run.state and run.state.is_final()):
            rest = until - time.monotonic()
            if rest <= 0:
                return Started(run=to_run(run))
            await asyncio.sleep(min(POLL_SECONDS, rest))
            try:
                run = await self._client.read_flow_run(run.id)
            except ObjectNotFound:
                return Finished(success=False, message="The run was deleted.", data=None, run=to_run(run))
            except httpx.HTTPError:
                continue  # the run goes on even if the server is away for a moment
        if was_skipped(run):
            await self._refuse_if_running(job)
            raise _overlap(run)
        return Finished(
            success=run.state.is_completed(),
            message=run.state.message,
            data=await self._finished_event(job, run) if run.run_count else None,
            run=to_run(run),
        )

    async def describe(self, job: Job) -> JobEntry:
        """Return a job's schedules, its next run and its last result."""
        flow = _flow(job)
        deployments, following, last = await asyncio.gather(
            self._client.read_deployments(flow_filter=flow, limit=PAGE),
            self._client.read_flow_runs(
                flow_filter=flow,
                flow_run_filter=FlowRunFilter(state=in_state(SCHEDULED)),
                sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
                limit=1,
            ),
            self._client.read_flow_runs(
                flow_filter=flow,
                flow_run_filter=FlowRunFilter(state=in_state(WENT)),
                sort=FlowRunSort.END_TIME_DESC,
                limit=1,
            ),
        )
        return JobEntry(
            name=job.name,
            description=job.description,
            schedules=tuple(
                ScheduleEntry(
                    deployment=deployment.name,
                    slug=each.slug,
                    cron=getattr(each.schedule, "cron", None),
                    timezone=getattr(each.schedule, "timezone", None),
                    active=each.active and not deployment.paused,
                )
                for deployment in deployments
                for each in deployment.schedules
            ),
            next_run=following[0].next_scheduled_start_time if following else None,
            last_result=next((_result(run, run.state) for run in last if run.state), None),
        )

    async def _refuse_if_running(self, job: Job) -> None:
        # A run that is due counts too: the server would cancel whichever of the two a worker picks up second.
        due = {"before_": datetime.now(UTC) + CLOCK_MARGIN}
        for wanted in (
            FlowRunFilter(state=ACTIVE),
            FlowRunFilter.model_validate({"state": in_state(SCHEDULED), "next_scheduled_start_time": due}),
        ):
            if found := await self._client.read_flow_runs(flow_filter=_flow(job), flow_run_filter=wanted, limit=1):
                raise _overlap(found[0])

    async def _finished_event(self, job: Job, run: FlowRun) -> dict[str, Any] | None:
        wanted = {
            "filter": {
                "event": {"name": [f"sivera.{job.name}.finished"]},
                "related": {"id": [f"prefect.flow-run.{run.id}"]},
            },
            "limit": 1,
        }
        until = time.monotonic() + self._event_seconds
        while time.monotonic() < until:
            with suppress(httpx.HTTPError):
                found = (await self._client.request("POST", "/events/filter", json=wanted)).json()["events"]
                if found:
                    return dict(found[0]["payload"])
            await asyncio.sleep(POLL_SECONDS)
        return None


def to_run(run: FlowRun) -> Run:
    """Return a run as the API shows it."""
    return Run(id=run.id, name=run.name, url=links().run(run.id) or None)


def _flow(job: Job) -> FlowFilter:
    return FlowFilter.model_validate({"name": {"any_": [job.name]}})


def _overlap(run: FlowRun) -> RefusedError:
    return RefusedError(409, ANOTHER_INSTANCE, run=to_run(run))


def _result(run: FlowRun, state: State) -> Result:
    name = state.name or state.type.value
    return Result(
        success=state.is_completed(), state=name, message=state.message, ended_at=run.end_time, run=to_run(run)
    )
