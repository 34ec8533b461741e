"""The steps of backup-data. The manifests are correct after each step, even if the process dies."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import URL

from sivera.backups import dumping
from sivera.backups.catalog import Catalog
from sivera.backups.checking import check_backup, checked, explain
from sivera.backups.copying import Progress
from sivera.backups.manifest import Manifest, Outcome, Verdict
from sivera.backups.options import BackupOptions
from sivera.backups.retention import superfluous
from sivera.crypto import Keyring
from sivera.logs import log
from sivera.units import size
from sivera.values import Value

logger = logging.getLogger("sivera.backups")


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
        what = f"{made.path}, {size(made.size)}, {made.rows:,} rows"
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
        manifest = dumping.dump(deps.run_id, deps.url, deps.catalog, deps.keyring(), until, progress)
    except Exception as error:  # noqa: BLE001 - the verdict says what failed
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=explain(error))
    log(logger, logging.INFO, "Backup dumped", path=manifest.path, size=manifest.size)
    return manifest


def check(deps: BackupDependencies, manifest: Manifest, until: float, progress: Progress) -> Manifest:
    """Prove a backup by a restore, and write the verdict into its manifest."""
    verdict = check_backup(manifest, deps.catalog, deps.url, deps.keyring, until, progress)
    made = checked(manifest, verdict, deps.url)
    deps.catalog.write(made)
    level = logging.INFO if verdict.outcome is Outcome.VERIFIED else logging.WARNING
    log(logger, level, "Backup checked", path=manifest.path, outcome=verdict.outcome.value, reason=verdict.reason)
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
