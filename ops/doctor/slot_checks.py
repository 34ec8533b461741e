"""The check of concurrency slots that no living run holds, and their release.

A slot must be released once only: the server gives it back by itself when the dead run's lease ends, and were that to
come after our release and a new run's start, a third run would start beside the second. So a slot counts as leaked when
nothing that could hold it has been alive for longer than a lease lasts: then no lease is left that could release it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    Operator,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from blocks.automations import SILENCE
from blocks.names import LOCKS
from ops.doctor.findings import Finding, fault, few, ok, warning
from ops.doctor.installation import Installation
from ops.stack.runs import PAGE
from ops.timetable import locks_of
from tasks.job import LEASE_SECONDS

DEPLOYMENT_IS_FULL = "Deployment concurrency limit reached."

RUN_LEASE = timedelta(seconds=300)
"""What Prefect's engine renews a run's lease to (300, in prefect/flow_engine.py)."""

LEASE_CHECK = timedelta(seconds=60)
"""The server looks for leases that have ended every 15 seconds."""

LIVING = FlowRunFilterState(
    operator=Operator.or_,  # type: ignore[call-arg]  # it is of a mixin that is no model of pydantic's
    type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING, StateType.PAUSED]),
    # A run that Prefect retries keeps its slot, and is of type SCHEDULED until then.
    name=FlowRunFilterStateName(any_=["AwaitingRetry"]),
)


@dataclass(frozen=True)
class Holder:
    """A limit with slots that are held, the runs that can hold them, and how long a dead run's lease may last.

    `sources` are the resources that a heartbeat of such a run names.
    """

    limit: str
    of: str
    slots: int
    lease: timedelta
    sources: tuple[str, ...]
    flows: FlowFilter | None = None
    deployments: DeploymentFilter | None = None

    def runs(self, client: SyncPrefectClient, which: FlowRunFilter) -> list[FlowRun]:
        """Return some of the runs that can hold it."""
        return client.read_flow_runs(
            flow_filter=self.flows, deployment_filter=self.deployments, flow_run_filter=which, limit=PAGE
        )


def check_slots(installation: Installation) -> Finding:
    """Look for slots that are held by no living run, and release them where that is asked for."""
    client, now = installation.client, installation.server_now(installation.client)
    idle = [each for each in _held(installation) if not each.runs(client, FlowRunFilter(state=LIVING))]
    fresh = [each for each in idle if _was_alive(client, each, now) or _is_heard_from(client, each, now)]
    leaked = [each for each in idle if each not in fresh]
    if leaked and installation.fix:
        for each in leaked:
            # Relative, so that a run which has just taken another slot keeps it.
            client.release_concurrency_slots([each.limit], each.slots, each.lease.total_seconds())
    leaks = few([f"{each.slots} of {each.of}" for each in leaked])
    waits = few([f"{each.slots} of {each.of}" for each in fresh])
    released = f"released: {leaks}" if leaked else ""
    if leaked and not installation.fix:
        return fault(f"held, and no run is alive: {leaks}", "run `sivera doctor --fix`")
    if fresh:
        minutes = max(each.lease + LEASE_CHECK for each in fresh).total_seconds() / 60
        text = f"held, and no run is alive any more: {waits}"
        return warning(
            f"{released}; {text}" if released else text,
            f"none yet: Prefect releases them within {minutes:.0f} minutes; if not, run `sivera doctor --fix` then",
        )
    return ok(released or "no slot is held without a run")


def _held(installation: Installation) -> Iterator[Holder]:
    limits = {each.name: each.active_slots for each in installation.client.read_global_concurrency_limits(limit=PAGE)}
    for name, deployment in installation.deployed.items():
        limit, options = deployment.global_concurrency_limit, deployment.concurrency_options
        if limit and limits.get(limit.name):
            grace = timedelta(seconds=(options and options.grace_period_seconds) or 0)
            yield Holder(
                limit=limit.name,
                of=name,
                slots=limits[limit.name],
                lease=max(RUN_LEASE, grace),
                sources=(f"prefect.deployment.{deployment.id}",),
                deployments=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
            )
    for lock in LOCKS:
        if limits.get(lock):
            yield _holder_of_lock(lock, limits[lock], installation)


def _holder_of_lock(lock: str, slots: int, installation: Installation) -> Holder:
    flows = installation.flows
    jobs = [name for name in flows if lock in locks_of(name, {})]
    # A run that was taken for dead may still work, and renew its lease, until its time limit.
    time_limit = max(flows[name].timeout_seconds or 0 for name in jobs or flows)
    return Holder(
        limit=lock,
        of=f"the lock {lock}",
        slots=slots,
        lease=timedelta(seconds=LEASE_SECONDS + time_limit),
        sources=tuple(_flow_sources(installation.client, jobs or list(flows))),
        # A lock whose job we do not know is left alone while anything runs.
        flows=FlowFilter(name=FlowFilterName(any_=jobs)) if jobs else None,
    )


def _was_alive(client: SyncPrefectClient, holder: Holder, now: datetime) -> bool:
    ended = FlowRunFilter(end_time=FlowRunFilterEndTime(after_=now - holder.lease - LEASE_CHECK))
    # A run that was kept out by the limit itself never held a slot.
    return any(run.state and run.state.message != DEPLOYMENT_IS_FULL for run in holder.runs(client, ended))


def _is_heard_from(client: SyncPrefectClient, holder: Holder, now: datetime) -> bool:
    """Whether a run that can hold it sent a heartbeat lately, although nobody lists it: deleted, it works on."""
    if not holder.sources:
        return False  # a filter for nothing would find everything
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "occurred": {"since": (now - SILENCE - LEASE_CHECK).isoformat()},
        "related": {"id": list(holder.sources)},
    }
    heard = client.request("POST", "/events/filter", json={"filter": wanted, "limit": 50}).json()["events"]
    runs = {event["resource"]["prefect.resource.id"].removeprefix("prefect.flow-run.") for event in heard}
    return any(_is_deleted(client, run) for run in runs)


def _is_deleted(client: SyncPrefectClient, run_id: str) -> bool:
    try:
        client.read_flow_run(UUID(run_id))
    except ObjectNotFound:
        return True
    return False


def _flow_sources(client: SyncPrefectClient, jobs: list[str]) -> Iterator[str]:
    for flow in client.read_flows(flow_filter=FlowFilter(name=FlowFilterName(any_=jobs))):
        yield f"prefect.flow.{flow.id}"
