"""The steps of backup-data."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.names import BACKUP_JOB
from sivera.backups import backing_up
from sivera.backups.backing_up import BackupSummary
from sivera.backups.dumping import Origin
from sivera.backups.manifest import Manifest, Outcome, Verdict
from sivera.backups.options import BackupOptions
from tasks import resources
from tasks.announcing import announce
from tasks.pages import show_table
from tasks.progress import Progress


@task(name="begin-backup", task_run_name="begin", cache_policy=NO_CACHE, persist_result=False)
def begin() -> Origin:
    """Note that the run begins."""
    return backing_up.begin(resources.backup_dependencies())


@task(name="dump", task_run_name="dump", cache_policy=NO_CACHE, persist_result=False)
def dump(origin: Origin, until: float) -> Manifest | Verdict:
    """Settle what runs that were killed have left, and stream a dump to the storage."""
    return backing_up.dump(resources.backup_dependencies(), origin, until, Progress(f"{BACKUP_JOB}-dump", 1).reach)


@task(name="check-backup", task_run_name="check", cache_policy=NO_CACHE)
def check(manifest: Manifest, until: float) -> Manifest:
    """Restore the dump into a database beside, and compare that."""
    return backing_up.check(resources.backup_dependencies(), manifest, until, Progress(f"{BACKUP_JOB}-check", 1).reach)


@task(name="drop-superfluous", task_run_name="drop superfluous", cache_policy=NO_CACHE)
def drop_superfluous(options: BackupOptions) -> list[str]:
    """Drop the backups that are no longer kept."""
    return backing_up.drop_superfluous(resources.backup_dependencies(), options)


@task(name="publish-summary", task_run_name="publish-summary", cache_policy=NO_CACHE)
def publish_summary(summary: BackupSummary) -> None:
    """Show what the run did as a table, and tell the world by an event."""
    manifest = summary.manifest
    rows = manifest.shape.rows if manifest else {}
    tables = [{"table": name, "rows": count} for name, count in rows.items()]
    show_table(f"{BACKUP_JOB}-tables", f"{summary.sentence}.", tables)
    announce(
        BACKUP_JOB,
        success=summary.verdict.outcome is Outcome.VERIFIED,
        processed=1,
        failed=int(summary.verdict.outcome is not Outcome.VERIFIED),
        outcome=summary.verdict.outcome.value,
        reason=summary.verdict.reason,
        backup=manifest.name if manifest else None,
        size=manifest.size if manifest else None,
        dropped=list(summary.dropped),
    )
