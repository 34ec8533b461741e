"""The check of the last backup."""

from datetime import timedelta

from blocks.names import BACKUP_JOB
from ops.commands.tables import to_minute
from ops.doctor.findings import Finding, fault, ok, warning
from ops.doctor.installation import Installation
from sivera.backups import queries
from sivera.units import duration

OLD = timedelta(days=8)
"""A backup is made every week; a day more lets a run by hand mend one that failed."""

MEND = "run `prefect deployment run backup-data/all`, and see why it is red if it is"


def check_backups(installation: Installation) -> Finding:
    """Look at what came of the last backup, and how old the last verified one is."""
    with installation.session() as session:
        last, age = queries.last_ended(session), queries.last_verified_age(session)
    if last and last.outcome == "mismatch":
        return fault(f"the last one, of {to_minute(last.started_at)} UTC, will not do: {last.reason}", MEND)
    if age is None and not last and not _is_due(installation):
        return ok("none yet: the first one is made within a week of the deployment")
    if age is None:
        return warning("none was ever verified" + (f": {last.reason}" if last else ""), MEND)
    if age > OLD:
        return warning(f"the last verified one is {duration(age)} old", MEND)
    if last and last.outcome == "inconclusive":
        return warning(f"the last one, of {to_minute(last.started_at)} UTC: {last.reason}", MEND)
    return ok(f"the last verified one is {duration(age)} old")


def _is_due(installation: Installation) -> bool:
    """Whether the job has been deployed for so long that there should be a backup."""
    deployment = installation.deployed.get(f"{BACKUP_JOB}/all")
    if deployment is None or deployment.created is None:
        return False
    return installation.server_now(installation.client) - deployment.created > OLD
