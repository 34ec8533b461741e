"""The backups in the storage."""

import logging
from datetime import datetime

from blocks.names import BACKUPS
from blocks.storage import load_storage
from sivera.backups.catalog import Catalog
from sivera.backups.checking import explain
from tasks.resources import once

logger = logging.getLogger("sivera.backups")


@once
def catalog() -> Catalog:
    """The backups in the storage."""
    return Catalog(load_storage(BACKUPS).get_filesystem())


def last_backup(now: datetime) -> datetime | None:
    """Return when the last verified backup was made; None if there is none or the storage fails.

    A backup from a time ahead of the database's clock, `now`, does not count: its age would hide that later ones fail.
    """
    try:
        found = catalog().last_verified(by=now)
    except Exception as error:  # noqa: BLE001 - each kind of storage raises its own
        logger.warning("The backups cannot be read: %s", explain(error))
        return None
    return found.finished_at if found else None
