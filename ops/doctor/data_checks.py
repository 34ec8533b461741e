"""Checks of the database and its contents, the backups and the disk."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from blocks.database import load_database_url
from blocks.names import BACKUP_JOB, BACKUPS
from blocks.storage import load_storage
from ops.commands.tables import to_minute
from ops.doctor.findings import Finding, Installation, Skipped, fault, judge, ok, warning
from sivera import database
from sivera.accounts.queries import count_ahead
from sivera.alerts.checking import find_in_data
from sivera.alerts.conditions import Condition, Kind
from sivera.backups.catalog import Catalog
from sivera.backups.manifest import Manifest, Outcome
from sivera.clock import read_clock
from sivera.migrating import read_revisions
from sivera.units import counted, duration

STATEMENT_SECONDS = 5

OLD_BACKUP = timedelta(days=8)
"""Backups are weekly; the extra day leaves time for a retry by hand."""

SKEW_WARNING = timedelta(seconds=10)
SKEW_FAULT = timedelta(seconds=60)
"""The shortest lease of a limit, and a fifth of the margin with which tokens are renewed."""

GIBIBYTE = 2**30
LEAST_FREE_BYTES = GIBIBYTE
LEAST_FREE_SHARE = 0.1


def check_database(installation: Installation) -> Finding:
    """Check that the database of the block, or of the environment if Prefect is away, is current and writable."""
    given = os.environ.get("SIVERA_DATABASE_URL")
    if installation.opened_client:
        url = load_database_url()
    elif given:
        url = database.parse_url(given)
    else:
        raise Skipped("needs the block sqlalchemy-connector/sivera-db, which names the database")
    engine = database.open_engine(url, pool_size=1, statement_seconds=STATEMENT_SECONDS)
    installation.resources.callback(engine.dispose)
    database.check(engine)
    revisions = read_revisions(engine)
    at = f"the database is at revision {revisions.current or 'none'}"
    if not revisions.is_known:
        return fault(f"{at}, which this version does not know", "install the newer version that migrated it")
    if revisions.current != revisions.newest:
        return fault(f"{at}, and the newest is {revisions.newest}", "run `sivera migrate`")
    installation.engine = engine
    database.check_writes(engine)
    database.check_room(engine)
    return ok(
        f"answers at {database.describe(url)}{', through a transaction pooler' if database.is_pooled(engine) else ''}"
    )


def check_clock(installation: Installation) -> Finding:
    """Compare this machine's clock with the database's, and find accounts with times ahead of that."""
    with installation.session() as session:
        before = installation.now()
        theirs = read_clock(session)
        return compare_clocks(theirs, before, installation.now(), count_ahead(session))


def compare_clocks(theirs: datetime, before: datetime, after: datetime, ahead: int) -> Finding:
    """Judge the database's clock, read between two readings of ours; `ahead` counts accounts with later times."""
    skew = max(before - theirs, theirs - after, timedelta())
    wrong = []
    if skew > SKEW_WARNING:
        wrong.append(f"the database's clock differs from the one here by {skew.total_seconds():.0f} seconds")
    if ahead:
        wrong.append(
            f"{counted(ahead, 'account')} with times ahead of the database's clock, ignored until the next sync"
        )
    if not wrong:
        return ok(f"the clocks here and of the database agree to {SKEW_WARNING.seconds} seconds")
    finding = fault if skew >= SKEW_FAULT else warning
    return finding("; ".join(wrong), "let NTP set the clocks of all machines")


def check_grants(installation: Installation) -> Finding:
    """Find grants that are worth an alert."""
    found = _find_in_data(installation, Kind.REAUTHORIZATION_REQUIRED, Kind.ACCESS_ENDS)
    return judge(found, "none has to be connected again soon")


def check_accounts(installation: Installation) -> Finding:
    """Find accounts that are worth an alert."""
    return judge(_find_in_data(installation, Kind.STALE_DATA), "none has old data")


def _find_in_data(installation: Installation, *kinds: Kind) -> list[Condition]:
    with installation.session() as session:
        return [one for one in find_in_data(session, installation.alert_options) if one.kind in kinds]


def check_backups(installation: Installation) -> Finding:
    """Check the outcome of the last backup, and the age of the last verified one."""
    _ = installation.client
    deployment = installation.deployed.get(f"{BACKUP_JOB}/all")
    now = installation.now()
    is_due = bool(deployment and deployment.created and now - deployment.created > OLD_BACKUP)
    return judge_backups(*Catalog(load_storage(BACKUPS).get_filesystem()).list(), now, is_due=is_due)


def judge_backups(kept: Sequence[Manifest], unreadable: Sequence[str], now: datetime, *, is_due: bool) -> Finding:
    """Judge the kept backups, oldest first; `is_due` says whether there should be one by now."""
    # An age below zero would hide that later backups fail. This machine's clock may be a little behind.
    ahead = [each for each in kept if each.finished_at - now > SKEW_FAULT]
    checked = [each for each in kept if each.outcome is not Outcome.RUNNING and each not in ahead]
    last = checked[-1].outcome if checked else None
    ages = [now - each.finished_at for each in checked if each.outcome is Outcome.VERIFIED]
    wrong = list(unreadable)
    if ahead:
        wrong.append(f"the time of {counted(len(ahead), 'backup')} is ahead of the clock")
    if last in (Outcome.MISMATCH, Outcome.INCONCLUSIVE):
        wrong.append(f"the last one, of {to_minute(checked[-1].started_at)} UTC: {checked[-1].reason}")
    if ages and ages[-1] > OLD_BACKUP:
        wrong.append(f"the last verified one is {duration(ages[-1])} old")
    elif not ages and (checked or is_due):
        wrong.append("none was ever verified")
    if wrong:
        verdict = fault if last is Outcome.MISMATCH else warning
        return verdict("; ".join(wrong), "see docs/operations.md#backup-data, which says what to do for each outcome")
    return ok(f"the last verified one is {duration(ages[-1])} old" if ages else "none yet: one is made every week")


def check_disk(installation: Installation) -> Finding:
    """Check the free space of the stack's folder and, if it is on this machine, of PostgreSQL's data directory."""
    folder = installation.folder.absolute()
    paths = {"the stack's folder": next(each for each in (folder, *folder.parents) if each.exists())}
    size = ""
    with suppress(Skipped), installation.session() as session:
        size = f"; the database is {database.read_size(session) / GIBIBYTE:.2f} GiB"
        if directory := database.read_data_directory(session):
            paths["PostgreSQL's data directory"] = Path(directory)
    free = {}
    for name, path in paths.items():
        # It may be on another machine, or unreadable.
        with suppress(OSError):
            free[name] = shutil.disk_usage(path)
    text = ", ".join(
        f"{usage.free / GIBIBYTE:.1f} GiB ({usage.free / usage.total:.0%}) free at {name}"
        for name, usage in free.items()
    )
    if any(is_full(usage.free, usage.total) for usage in free.values()):
        return warning(text + size, "free some space: Prefect's events and runs and old logs can go")
    return ok(text + size)


def is_full(free: int, total: int) -> bool:
    """Whether a disk with this many free bytes is too full."""
    return free < LEAST_FREE_BYTES or free < total * LEAST_FREE_SHARE
