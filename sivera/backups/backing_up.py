"""A run of backup-data, step by step; each step leaves an account that is true if the process is killed after it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session

from sivera.backups import dumping, queries
from sivera.backups.catalog import Catalog, name_of, path_of
from sivera.backups.checking import check_backup, explain
from sivera.backups.dumping import Origin, Tell
from sivera.backups.manifest import Manifest, Outcome, UnreadableManifest, Verdict
from sivera.backups.options import BackupOptions
from sivera.backups.retention import superfluous
from sivera.clock import utc_now
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.logs import log
from sivera.units import size
from sivera.values import Value

logger = logging.getLogger("sivera.backups")


@dataclass(frozen=True)
class BackupDependencies:
    """What a backup needs from outside: the database, a place for files, the keys to the tokens, and the run's id.

    `engine` is for the account, whose statements are short; `url` is what is backed up.
    """

    engine: Engine
    url: URL
    catalog: Catalog
    keyring: Callable[[], Keyring]
    run_id: UUID


class BackupSummary(Value):
    """What a run did. `manifest` is None where no backup was made; `dropped` are those that are no longer kept."""

    verdict: Verdict
    manifest: Manifest | None = None
    dropped: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        if self.manifest is None:
            return f"no backup was made: {self.verdict.reason}"
        rows = sum(self.manifest.shape.rows.values())
        made = f"{path_of(self.manifest.name)}, {size(self.manifest.size)}, {rows:,} rows"
        said = f"{self.verdict.outcome.value}: {self.verdict.reason or made}"
        dropped = f"; no longer kept: {', '.join(self.dropped)}" if self.dropped else ""
        return f"{said} ({made}){dropped}" if self.verdict.reason else f"{said}{dropped}"


def begin(deps: BackupDependencies) -> Origin:
    """Note that a run begins.

    Raises:
        ConfigurationError: The database is not migrated.
    """
    with Session(deps.engine) as session, session.begin():
        dumping.require_tables(session)
        now = queries.read_clock(session)
        name = name_of(deps.run_id, f"{now:%Y%m%dT%H%M%SZ}")
        replaced = queries.begin(session, deps.run_id, path_of(name))
    return Origin(run_id=deps.run_id, name=name, started_at=now, replaced=replaced)


def dump(deps: BackupDependencies, origin: Origin, until: float, tell: Tell) -> Manifest | Verdict:
    """Settle what runs that were killed have left, and make the backup, or say why there is none.

    No other run may be under way.
    """
    try:
        deps.catalog.remove_drafts()
        with Session(deps.engine) as session, session.begin():
            for left in queries.unfinished(session, deps.run_id):
                _finish(session, left.run_id, *_settle(deps.catalog, left.path))
        if origin.replaced:
            _settle(deps.catalog, origin.replaced)
        manifest = dumping.dump(origin, deps.url, deps.catalog, until, tell)
    except Exception as error:  # noqa: BLE001 - whatever it was, the account must say that there is no backup
        verdict = Verdict(outcome=Outcome.INCONCLUSIVE, reason=explain(error))
        with Session(deps.engine) as session, session.begin():
            _finish(session, deps.run_id, verdict, None)
        return verdict
    log(logger, logging.INFO, "Backup dumped", path=path_of(manifest.name), size=manifest.size, sha256=manifest.sha256)
    return manifest


def check(deps: BackupDependencies, manifest: Manifest, until: float, tell: Tell) -> Manifest:
    """Prove the backup by a restore, and write down what came of it."""
    verdict = check_backup(manifest, deps.catalog, deps.url, deps.keyring, until, tell)
    checked = manifest.checked(verdict, utc_now())
    # First where it is read when the database is gone.
    deps.catalog.write(checked)
    with Session(deps.engine) as session, session.begin():
        _finish(session, deps.run_id, verdict, checked)
    log(
        logger,
        logging.INFO if verdict.outcome is Outcome.VERIFIED else logging.WARNING,
        "Backup checked",
        path=path_of(manifest.name),
        **verdict.model_dump(exclude_defaults=True),
    )
    return checked


def drop_superfluous(deps: BackupDependencies, options: BackupOptions) -> list[str]:
    """Drop the backups that are no longer kept, and return their names."""
    backups, unreadable = deps.catalog.list()
    for sentence in unreadable:
        logger.warning("Left alone: %s", sentence)
    names = [each.name for each in superfluous(backups, options)]
    # First the account: what a run that is killed meanwhile leaves has its manifest, and the next one removes it.
    with Session(deps.engine) as session, session.begin():
        queries.mark_deleted(session, [path_of(each) for each in names])
    for name in names:
        deps.catalog.remove(name)
    return names


def note_check(url: URL, manifest: Manifest) -> None:
    """Write what a check by hand found into the account of the run that made the backup, where there is one.

    Raises:
        DBAPIError: The database failed, or holds no account.
    """
    engine = open_engine(url, pool_size=1)
    try:
        with Session(engine) as session, session.begin():
            queries.note_check(
                session,
                path_of(manifest.name),
                manifest.outcome.value,
                manifest.reason or None,
                manifest.model_dump(mode="json"),
            )
    finally:
        engine.dispose()


def _finish(session: Session, run_id: UUID, verdict: Verdict, manifest: Manifest | None) -> None:
    written = manifest.model_dump(mode="json") if manifest else None
    queries.finish(session, run_id, verdict.outcome.value, verdict.reason or None, written)


def _settle(catalog: Catalog, path: str | None) -> tuple[Verdict, Manifest | None]:
    """Complete the backup of a run that did not: after a restore, that is the run which made that very backup."""
    name = (path or "").removesuffix(".dump")
    try:
        manifest = catalog.find(name)
    except UnreadableManifest as error:
        # Left alone: whatever is there, it keeps no other backup from being made.
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason=str(error)), None
    if manifest is None:
        catalog.remove(name)
        return Verdict(outcome=Outcome.INCONCLUSIVE, reason="the run was ended before it was whole"), None
    if manifest.outcome is Outcome.RUNNING:
        manifest = manifest.checked(
            Verdict(outcome=Outcome.INCONCLUSIVE, reason="the run was ended before it was checked"), utc_now()
        )
        catalog.write(manifest)
    return manifest.verdict, manifest
