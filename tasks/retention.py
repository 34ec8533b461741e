"""The steps of cleanup-expired-tokens."""

import logging
from uuid import UUID

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Failed

from sivera.logs import log
from sivera.retention import cleaning
from sivera.retention.cleaning import CleanupDependencies
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.rules import CleanupPlan, CleanupSummary, KindResult
from tasks import resources
from tasks.announcing import announce
from tasks.naming import step

logger = logging.getLogger("sivera.retention")


@step("plan-cleanup")
def plan(options: CleanupOptions) -> CleanupPlan:
    """Check the database's clock, and decide which rows are deleted."""
    return cleaning.plan_cleanup(_deps(), options)


@step("clean", "{kind.value}")
def clean(plan: CleanupPlan, kind: Kind, end: float) -> KindResult | State:
    """Delete the rows of one kind that are due, or count them."""
    result = cleaning.clean(_deps(), plan, kind, end)
    reason = result.refused or result.failed
    counts = result.model_dump(exclude_none=True)
    log(logger, logging.WARNING if reason else logging.INFO, "Kind ended", **counts)
    return Failed(message=reason, data=result) if reason else result


@step("publish-summary")
def publish_summary(summary: CleanupSummary) -> None:
    """Announce how the run ended."""
    announce(
        success=not summary.failures,
        processed=summary.deleted,
        failed=len(summary.failures),
        dryRun=summary.dry_run,
        kinds={
            one.kind.value: one.model_dump(mode="json", include={"deleted", "remaining", "refused", "failed"})
            for one in summary.kinds
        },
    )


def _deps() -> CleanupDependencies:
    return CleanupDependencies(resources.engine(), UUID(flow_run.id))
