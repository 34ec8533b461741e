"""The steps of backup-data. The manifests are correct after each step, even if the process dies."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from gzip import GzipFile
from uuid import UUID

from sqlalchemy import URL
from sqlalchemy.orm import Session

from sivera import units
from sivera.backups import queries
from sivera.backups.catalog import Catalog
from sivera.backups.checking import check_backup, explain
from sivera.backups.copying import Pace, Progress, open_session, read_table
from sivera.backups.manifest import Manifest, Outcome, Verdict
from sivera.backups.options import BackupOptions
from sivera.backups.retention import superfluous
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.errors import ConfigurationError
from sivera.logs import log
from sivera.values import Value

logger = logging.getLogger("sivera.backups")

COMPRESSION = 1
"""The default, 9, takes many times longer and makes a dump only a fifth smaller."""


@dataclass(frozen=True)
class BackupDependencies:
    """What a backup needs."""

    url: URL
    catalog: Catalog
    keyring: Callable[[], Keyring]
    run_id: UUID


class BackupSummary(Value):
    """The backup, or why there is none, and the names of the backups that were dropped."""

    made: Manifest | Verdict
    dropped: tuple[str, ...] = ()

    @property
    def manifest(self) -> Manifest | None:
        """The backup, if one was made."""
        return self.made if isinstance(self.made, Manifest) else None

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        made, reason = self.manifest, self.made.reason
        if made is None:
            return f"no backup was made: {reason}"
        what = f"{made.path}, {units.size(made.size)}, {made.rows:,} rows"
        dropped = f"; no longer kept: {', '.join(self.dropped)}" if self.dropped else ""
        return f"{made.outcome.value}: {f'{reason} ({what})' if reason else what}{dropped}"


def dump(deps: BackupDependencies, until: float, progress: Progress) -> Manifest | Verdict:
    """Make a backup, or return why there is none. First clean up after killed runs, so no other run may be active."""
    try:
        deps.catalog.remove_halves()
        for each in deps.catalog.list()[0]:
            if each.outcome is Outcome.RUNNING:
                verdict = Verdict(outcome=Outcome.INCONCLUSIVE, reason="the run ended before the check did")
                deps.catalog.write(each.checked(verdict, None))
        manifest = _dump(deps, until, progress)
    except Exception as error:  # noqa: BLE001 - the verdict says what failed
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=explain(error))
    log(logger, logging.INFO, "Backup dumped", path=manifest.path, size=manifest.size)
    return manifest


def check(deps: BackupDependencies, manifest: Manifest, until: float, progress: Progress) -> Manifest:
    """Prove a backup by a restore, and write the verdict into its manifest."""
    made = check_backup(manifest, deps.catalog, deps.url, deps.keyring, until, progress)
    deps.catalog.write(made)
    level = logging.INFO if made.outcome is Outcome.VERIFIED else logging.WARNING
    log(logger, level, "Backup checked", path=made.path, outcome=made.outcome.value, reason=made.reason)
    return made


def drop_superfluous(deps: BackupDependencies, options: BackupOptions) -> list[str]:
    """Drop the backups that are no longer kept, and return their names."""
    backups, unreadable = deps.catalog.list()
    for sentence in unreadable:
        logger.warning("Left alone: %s", sentence)
    names = [each.name for each in superfluous(backups, options)]
    for name in names:
        deps.catalog.remove(name)
    return names


def _dump(deps: BackupDependencies, until: float, progress: Progress) -> Manifest:
    """Stream a consistent snapshot of our tables to the storage, and write the manifest; a failure leaves nothing."""
    keyring = deps.keyring()
    with open_session(deps.url, until) as session:
        queries.begin_reading(session)
        started_at = read_clock(session)
        revision = _require_newest_revision(session)
        key_ids = tuple(queries.keys_needed(session))
        pace = Pace(queries.size_of_tables(session), until, progress)
        name = f"{started_at:%Y%m%dT%H%M%SZ}-{deps.run_id.hex[:8]}"
        with deps.catalog.new_dump(name) as file:
            with GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=file) as packed:
                tables = tuple(
                    read_table(session, table, columns, pace, packed.write) for table, columns in queries.TABLES.items()
                )
            size = file.tell()
        finished_at = read_clock(session)
    manifest = Manifest(
        name=name,
        run_id=deps.run_id,
        started_at=started_at,
        finished_at=finished_at,
        size=size,
        revision=revision,
        tables=tables,
        key_ids=key_ids,
    ).signed(keyring)
    deps.catalog.write(manifest)
    progress(1.0)
    return manifest


def _require_newest_revision(session: Session) -> str:
    from sivera.migrating import revisions_in  # noqa: PLC0415 - Alembic

    revisions = revisions_in(session.connection())
    if revisions.current is None:
        raise ConfigurationError("the database has no tables of ours: run `sivera migrate`")
    if revisions.current != revisions.newest:
        remedy = "run `sivera migrate`" if revisions.is_known else "install the newer version that migrated it"
        raise ConfigurationError(
            f"the database is at revision {revisions.current}, and this version backs up {revisions.newest}: {remedy}"
        )
    return revisions.current
