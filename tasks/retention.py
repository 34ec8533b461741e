"""The steps of cleanup-expired-tokens."""

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed

from blocks.names import CLEANUP_JOB
from sivera.retention import cleaning
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.summary import CleanupPlan, CleanupSummary, KindResult
from tasks import resources
from tasks.announcing import announce


@task(name="plan-cleanup", cache_policy=NO_CACHE)
def plan(options: CleanupOptions) -> CleanupPlan:
    """Compare the clocks, and decide what goes."""
    return cleaning.plan_cleanup(resources.cleanup_edges(), options)


@task(name="clean", task_run_name="{kind.value}", cache_policy=NO_CACHE, persist_result=False)
def clean(plan: CleanupPlan, kind: Kind, until: float) -> KindResult | State:
    """Delete what is due of one kind, or count it."""
    result = cleaning.clean(resources.cleanup_edges(), plan, kind, until)
    reason = result.refused or result.failed
    return Failed(message=reason, data=result) if reason else result


@task(name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: CleanupSummary) -> None:
    """Show what the run did as a table, and tell the world by an event."""
    create_table_artifact(
        key="cleanup-expired-tokens-kinds",
        description=summary.sentence,
        table=[one.model_dump(mode="json") for one in summary.kinds],
    )
    announce(
        CLEANUP_JOB,
        success=not summary.failures,
        processed=summary.deleted,
        failed=len(summary.failures),
        dryRun=summary.dry_run,
        kinds={
            one.kind.value: one.model_dump(mode="json", include={"deleted", "remaining", "refused", "failed"})
            for one in summary.kinds
        },
    )
