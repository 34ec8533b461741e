"""The steps of backup-data."""

from uuid import UUID

from prefect.runtime import flow_run
from sqlalchemy.orm import Session

from blocks.database import load_database_url
from blocks.names import BACKUP_JOB
from blocks.token_key import load_keyring
from sivera.backups import backing_up, page
from sivera.backups.backing_up import BackupDependencies, BackupSummary
from sivera.backups.manifest import Manifest, Outcome, Verdict
from sivera.backups.options import BackupOptions
from tasks.announcing import announce
from tasks.catalog import catalog
from tasks.naming import step
from tasks.pages import show_table
from tasks.progress import Progress


@step("dump")
def dump(until: float) -> Manifest | Verdict:
    """Stream a dump into the storage."""
    return backing_up.dump(_deps(), until, Progress(f"{BACKUP_JOB}-dump", 1).reach)


@step("check-backup", "check")
def check(manifest: Manifest, until: float) -> Manifest:
    """Restore the dump into a scratch database, and compare that database with the manifest."""
    return backing_up.check(_deps(), manifest, until, Progress(f"{BACKUP_JOB}-check", 1).reach)


@step("drop-superfluous", "drop superfluous")
def drop_superfluous(options: BackupOptions) -> list[str]:
    """Delete the backups that are no longer kept."""
    return backing_up.drop_superfluous(_deps(), options)


def backup_charts(_: Session) -> list[str]:
    """Draw charts of the last backups. They come from the storage, so no database session is needed."""
    return page.backup_charts(catalog())


@step("publish-summary")
def publish_summary(summary: BackupSummary) -> None:
    """Show the tables of the backup, and announce how the run ended."""
    manifest, is_verified = summary.manifest, summary.made.outcome is Outcome.VERIFIED
    tables = [{"table": each.name, "rows": each.rows} for each in manifest.tables] if manifest else []
    show_table(f"{BACKUP_JOB}-tables", f"{summary.sentence}.", tables)
    announce(
        success=is_verified,
        processed=1,
        failed=int(not is_verified),
        outcome=summary.made.outcome.value,
        reason=summary.made.reason,
        backup=manifest.name if manifest else None,
        size=manifest.size if manifest else None,
        dropped=list(summary.dropped),
    )


def _deps() -> BackupDependencies:
    # A backup is made even if a key of tokens is missing, but not without a key to sign it.
    return BackupDependencies(load_database_url(), catalog(), load_keyring, UUID(flow_run.id))
