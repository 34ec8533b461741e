"""What a process opens once and its threads share: the engine, the keyring, a client for each platform, a breaker."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from prefect.runtime import flow_run
from sqlalchemy import Engine

from blocks.database import load_database_url
from blocks.names import BACKUPS, REPORTS
from blocks.platform_app import load_platform_app
from blocks.storage import Storage, load_storage
from blocks.token_key import load_keyring
from sivera.backups.backing_up import BackupDependencies
from sivera.backups.catalog import Catalog
from sivera.backups.checking import explain
from sivera.breaker import Breaker
from sivera.crypto import Keyring
from sivera.database import check, open_engine
from sivera.errors import ConfigurationError
from sivera.grants.keys import check_keyring
from sivera.grants.renewal import RenewalDependencies, take_up_spool
from sivera.grants.source import GrantTokenSource
from sivera.grants.spool import Spool
from sivera.platforms.base import PlatformClient
from sivera.reports.writing import ReportDependencies
from sivera.retention.cleaning import CleanupDependencies
from sivera.settings import Settings
from sivera.sync.account import SyncDependencies
from sivera.values import PlatformName
from tasks.events import emit

logger = logging.getLogger("sivera.backups")

THREADS = 32
"""Accounts that one run syncs at the same time: enough to keep one interpreter busy while others wait on HTTP."""

P = ParamSpec("P")
T = TypeVar("T")
_lock = threading.RLock()
_open: dict[tuple[object, ...], object] = {}


def _once(make: Callable[P, T]) -> Callable[P, T]:
    """Call `make` once for each set of arguments until `close`, even if threads ask at the same time."""

    @wraps(make)
    def get(*args: P.args, **kwargs: P.kwargs) -> T:
        key = (make, *args, *kwargs.items())
        with _lock:
            if key not in _open:
                try:
                    _open[key] = make(*args, **kwargs)
                except ConfigurationError as error:
                    # Remembered too: ten thousand accounts must not each ask for a block that is missing.
                    _open[key] = error
            opened = _open[key]
        if isinstance(opened, ConfigurationError):
            raise ConfigurationError(*opened.args)
        return cast("T", opened)

    return get


@_once
def engine() -> Engine:
    """The engine on the database that the block names. The database has answered."""
    opened = open_engine(load_database_url(), pool_size=THREADS)
    check(opened)
    return opened


breaker = _once(Breaker)


@_once
def client(platform: PlatformName) -> PlatformClient:
    """The client of a platform."""
    return load_platform_app(platform).get_client(platform, breaker())


@_once
def keyring() -> Keyring:
    """The keys of the stored tokens, checked against the database."""
    return _load_keyring()


def _load_keyring() -> Keyring:
    loaded = load_keyring(reload=_load_keyring)
    check_keyring(engine(), loaded)
    return loaded


@_once
def renewal_dependencies() -> RenewalDependencies:
    """What a renewal needs. It first brings this machine's spool into the database."""
    deps = RenewalDependencies(engine(), keyring(), Spool(Settings().spool_dir), _run_id, notify)
    take_up_spool(deps)
    return deps


def _run_id() -> UUID | None:
    return UUID(flow_run.id) if flow_run.id else None


@_once
def tokens(platform: PlatformName, credential_id: int) -> GrantTokenSource:
    """The tokens of a grant."""
    return GrantTokenSource(renewal_dependencies(), client(platform), credential_id, breaker())


@_once
def sync_dependencies() -> SyncDependencies:
    """What the sync of an account needs."""
    return SyncDependencies(engine(), client, tokens)


def cleanup_dependencies() -> CleanupDependencies:
    """What a cleanup needs, for the run that asks."""
    return CleanupDependencies(engine(), UUID(flow_run.id))


@_once
def report_storage() -> Storage:
    """The place for reports."""
    return load_storage(REPORTS)


@_once
def report_dependencies() -> ReportDependencies:
    """What reports need."""
    return ReportDependencies(engine(), report_storage().get_filesystem())


def backup_dependencies() -> BackupDependencies:
    """What a backup needs, for the run that asks. It is made even if a key is wrong or missing."""
    return BackupDependencies(load_database_url(), catalog(), load_keyring, UUID(flow_run.id))


@_once
def catalog() -> Catalog:
    """The backups in the storage."""
    return Catalog(load_storage(BACKUPS).get_filesystem())


def notify(name: str, resource: str, payload: Mapping[str, Any]) -> None:
    """Send an event of ours to the Prefect server; see `tasks.events.emit`."""
    emit(name, {"prefect.resource.id": resource}, payload)


def last_backup() -> datetime | None:
    """When the last verified backup was made; None if there is none, or the storage fails."""
    try:
        found = catalog().last_verified()
    except Exception as error:  # noqa: BLE001 - each kind of storage raises its own
        logger.warning("The backups cannot be read: %s", explain(error))
        return None
    return found.finished_at if found else None


def close() -> None:
    """Close and forget everything, so that the next use loads the blocks again."""
    with _lock:
        for opened in _open.values():
            match opened:
                case Engine():
                    opened.dispose()
                case PlatformClient():
                    opened.close()
        _open.clear()
