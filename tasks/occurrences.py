"""The accounting for every scheduled time, as a task."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from pydantic import TypeAdapter

from blocks.deployments import our_deployments
from blocks.server import connect
from sivera.clock import utc_now
from sivera.occurrences.accounting import Accounted, account
from sivera.occurrences.rules import LATE_AFTER, SeenRun
from tasks import resources
from tasks.times import ServerSchedule, next_time, times_between

PAGE = 200
"""The most runs that the server lists at once."""

logger = logging.getLogger("sivera.occurrences")


@task(name="account-for-occurrences", task_run_name="account-for-occurrences", cache_policy=NO_CACHE)
def account_for_occurrences(late_after: timedelta = LATE_AFTER) -> Accounted:
    """Write what became of each scheduled time since the last accounting; outside of a flow, call its `fn`.

    Args:
        late_after: How long after its time a run is late, and a time without a run missed.

    Raises:
        ConfigurationError: The database or the Prefect server does not answer.
    """
    engine = resources.engine()
    with connect() as client:
        accounted = account(engine, PrefectRuns(client), utc_now(), late_after)
    written = ", ".join(f"{count} {outcome}" for outcome, count in accounted.written.items())
    logger.info("Accounted for until %s: %s", accounted.until, written or "nothing new")
    return accounted


@dataclass(frozen=True)
class PrefectSchedule:
    """A schedule that is on; see `sivera.occurrences.accounting.Schedule`."""

    deployment: str
    job: str
    slug: str
    unchanged_since: datetime
    definition: ServerSchedule

    def times(self, since: datetime, now: datetime) -> Sequence[datetime]:
        """Return when it would run from `since` on, to the first time after now."""
        coming = next_time(self.definition, max(now, since))
        past = times_between(self.definition, since, max(now, since) + timedelta(microseconds=1))
        return [*past, coming] if coming else past


class PrefectRuns:
    """What the accounting asks of a Prefect server, over a client that is open; see `sivera.occurrences.accounting`."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        self._deployments = list(our_deployments(client))
        self._jobs = {each.flow_id: client.read_flow(each.flow_id).name for each in self._deployments}
        self._names = {each.id: f"{self._jobs[each.flow_id]}/{each.name}" for each in self._deployments}
        self._slugs = {one.id: _slug(one) for each in self._deployments for one in each.schedules}

    @property
    def jobs(self) -> set[str]:
        """The names of the jobs that are deployed."""
        return set(self._jobs.values())

    def schedules(self) -> Sequence[PrefectSchedule]:
        """Return the schedules of ours that are on."""
        return [
            PrefectSchedule(
                deployment=self._names[deployment.id],
                job=self._jobs[deployment.flow_id],
                slug=_slug(schedule),
                unchanged_since=_last_change(deployment, schedule),
                definition=TypeAdapter[ServerSchedule](ServerSchedule).validate_python(schedule.schedule.model_dump()),
            )
            for deployment in self._deployments
            if not deployment.paused
            for schedule in deployment.schedules
            if schedule.active
        ]

    def runs_between(
        self, since: datetime, until: datetime, most: int, *, newest_first: bool = False
    ) -> Sequence[SeenRun]:
        """Return runs of our jobs whose times lie there, both ends included: no more than `most`, of the one end."""
        sort = FlowRunSort.EXPECTED_START_TIME_DESC if newest_first else FlowRunSort.EXPECTED_START_TIME_ASC
        found: list[SeenRun] = []
        while len(found) < most:
            page = self._client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=sorted(self.jobs))),
                flow_run_filter=FlowRunFilter(
                    expected_start_time=FlowRunFilterExpectedStartTime(after_=since, before_=until)
                ),
                sort=sort,
                limit=PAGE,
                offset=len(found),
            )
            found += map(self._seen, page)
            if len(page) < PAGE:
                break
        return found

    def runs_of(self, ids: Sequence[UUID]) -> Sequence[SeenRun]:
        """Return the runs of these ids that there are."""
        found: list[SeenRun] = []
        for some in (ids[at : at + PAGE] for at in range(0, len(ids), PAGE)):
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(some)))
            found += map(self._seen, self._client.read_flow_runs(flow_run_filter=wanted, limit=PAGE))
        return found

    def _seen(self, run: FlowRun) -> SeenRun:
        assert run.state  # noqa: S101 - the server gives every run one
        maker = run.created_by if run.auto_scheduled else None
        return SeenRun(
            id=run.id,
            job=self._job(run.flow_id),
            deployment=self._names.get(run.deployment_id) if run.deployment_id else None,
            schedule=self._slugs.get(maker.id, maker.display_value) if maker and maker.id else None,
            scheduled_at=_utc(run.expected_start_time or run.state.timestamp),
            state=run.state.type.value,
            state_name=run.state.name or run.state.type.value,
            message=run.state.message,
            changed_at=_utc(run.state.timestamp),
            # One that ended without having run has a start too: its end.
            started_at=_utc(run.start_time) if run.start_time and run.run_count else None,
            ended_at=_utc(run.end_time) if run.end_time else None,
        )

    def _job(self, flow_id: UUID) -> str:
        if flow_id not in self._jobs:
            # Of an open row whose deployment was deleted since.
            self._jobs[flow_id] = self._client.read_flow(flow_id).name
        return self._jobs[flow_id]


def _slug(schedule: DeploymentSchedule) -> str:
    # One that was made by hand gets this slug at the next deploy.
    return schedule.slug or f"by-hand-{schedule.id.hex[-8:]}"


def _last_change(deployment: DeploymentResponse, schedule: DeploymentSchedule) -> datetime:
    # A deployment that is paused or goes on changes, not its schedules.
    changes = (deployment.created, deployment.updated, schedule.created, schedule.updated)
    return max((_utc(when) for when in changes if when), default=utc_now())


def _utc(when: datetime) -> datetime:
    return datetime.fromtimestamp(when.timestamp(), UTC)
