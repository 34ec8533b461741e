"""backup-data: back the database up, and prove the backup by a restore.

Runs once a week. What to do when it is red, and how to restore: docs/operations.md.
"""

import time

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from blocks.names import BACKUP_JOB
from sivera.backups.backing_up import BackupSummary
from sivera.backups.manifest import Manifest, Outcome
from sivera.backups.options import BackupOptions
from sivera.backups.page import backup_page
from tasks.backups import backup_charts, check, drop_superfluous, dump, publish_summary
from tasks.job import job
from tasks.pages import show_summary


@job(BACKUP_JOB, timeout_seconds=14400)
def backup_data(options: BackupOptions = BackupOptions()) -> State:  # noqa: B008 - frozen; Prefect shows it as a form
    """Dump the database to the storage, restore the dump into a scratch database, and compare the two.

    Only a run with a verified backup drops older ones. The last verified backup always stays.
    """
    until = time.monotonic() + options.deadline_seconds
    made = dump(until)
    if isinstance(made, Manifest):
        made = check(made, until)
    is_verified = made.outcome is Outcome.VERIFIED
    summary = BackupSummary(made=made, dropped=tuple(drop_superfluous(options)) if is_verified else ())
    publish_summary(summary)
    show_summary(BACKUP_JOB, summary, backup_page, backup_charts, return_state=True)
    return (Completed if is_verified else Failed)(message=summary.sentence)
