"""The runs of our jobs, read from the Prefect server."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, FlowFilter, FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.client.schemas.sorting import FlowRunSort, FlowSort

from blocks.deployments import PAGE
from blocks.names import TAG
from sivera.metrics.rules import JobRun, JobRuns, JobStatus, Window

SCHEDULED = ("SCHEDULED",)
WENT = ("COMPLETED", "FAILED", "CRASHED")


def in_state(types: Sequence[str]) -> FlowRunFilterState:
    """Return a filter for runs whose state has one of these types."""
    return FlowRunFilterState.model_validate({"type": {"any_": types}})


def ended_runs(client: SyncPrefectClient, window: Window) -> JobRuns:
    """Return our jobs, and their runs that ended within a window; httpx.HTTPError if the server fails."""
    names: dict[UUID, str] = {}
    found = []
    wanted = _our_runs((*WENT, "CANCELLED"), end_time={"after_": window.since, "before_": window.until})
    for run in all_runs(client, wanted):
        if run.end_time is not None and window.has(run.end_time):
            if run.flow_id not in names:
                names[run.flow_id] = client.read_flow(run.flow_id).name
            found.append(_to_job_run(names[run.flow_id], run))
    return JobRuns(jobs=tuple(flow.name for flow in deployed_flows(client)), runs=tuple(found))


def job_statuses(client: SyncPrefectClient) -> tuple[JobStatus, ...]:
    """Return the status of each deployed job, by name; httpx.HTTPError if the server fails."""
    return tuple(_status(client, flow) for flow in deployed_flows(client))


def deployed_flows(client: SyncPrefectClient) -> list[Flow]:
    """Return the flows that have a deployment of ours, by name."""
    ours = DeploymentFilter.model_validate({"tags": {"all_": [TAG]}})
    return client.read_flows(deployment_filter=ours, limit=PAGE, sort=FlowSort.NAME_ASC)


def _status(client: SyncPrefectClient, flow: Flow) -> JobStatus:
    of_flow = FlowFilter.model_validate({"id": {"any_": [flow.id]}})

    def first(states: Sequence[str], sort: FlowRunSort) -> FlowRun | None:
        found = client.read_flow_runs(flow_filter=of_flow, flow_run_filter=_our_runs(states), sort=sort, limit=1)
        return found[0] if found else None

    last = first(WENT, FlowRunSort.END_TIME_DESC)
    upcoming = first(SCHEDULED, FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC)
    return JobStatus(
        name=flow.name,
        last=_to_job_run(flow.name, last) if last else None,
        next_at=upcoming.next_scheduled_start_time if upcoming else None,
    )


def _to_job_run(job: str, run: FlowRun) -> JobRun:
    started_at, ended_at, due_at = run.start_time, run.end_time, run.expected_start_time
    assert run.state is not None  # noqa: S101 - the server gives every run one
    assert ended_at is not None  # noqa: S101 - and an end time to a run that has ended
    return JobRun(
        job=job,
        outcome="timed_out" if run.state.name == "TimedOut" else run.state.type.value.lower(),
        ended_at=ended_at,
        duration_seconds=(ended_at - started_at).total_seconds() if started_at else 0.0,
        queue_delay_seconds=max(0.0, (started_at - due_at).total_seconds()) if started_at and due_at else 0.0,
    )


def all_runs(client: SyncPrefectClient, wanted: FlowRunFilter) -> Iterator[FlowRun]:
    """Yield the runs that a filter selects, however many there are."""
    offset = 0
    # Several runs can have the same time: only the id gives every page the same order.
    while page := client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=offset):
        yield from page
        offset += len(page)


def _our_runs(states: Sequence[str], **more: object) -> FlowRunFilter:
    wanted = {"tags": {"all_": [TAG]}, "state": {"type": {"any_": states}}}
    return FlowRunFilter.model_validate({**wanted, **more})
