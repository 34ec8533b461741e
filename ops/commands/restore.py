"""`sivera restore`: lists, checks and restores backups."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

from cyclopts import App, Parameter

from blocks import storage as blocks
from blocks.names import BACKUPS
from blocks.token_key import load_keyring
from ops.commands.session import Flag, Name, find_url, read_secret, validating
from ops.commands.tables import print_table, say, to_minute
from sivera.backups import checking, restoring
from sivera.backups.catalog import Catalog
from sivera.backups.manifest import Manifest, Outcome
from sivera.database import parse_url
from sivera.errors import ConfigurationError
from sivera.settings import RESTORE_URL
from sivera.units import counted

restore = App(name="restore")

Storage = Annotated[str | None, Parameter(show_default=False)]

SECONDS = 86_400
"""The limit of a restore by hand."""

NEXT = (
    "Next, in this order:",
    "1. Set SIVERA_DATABASE_URL to its URL; in the PostgreSQL of `sivera up`, rename it to `sivera` instead.",
    "2. `sivera migrate`",
    "3. `sivera deploy`",
    "4. `sivera doctor`; if all is well, resume the work pool.",
)

EXIT_CODES = {Outcome.VERIFIED: 0, Outcome.INCONCLUSIVE: 1, Outcome.MISMATCH: 2}


@restore.command(name="list")
def list_backups(*, storage: Storage = None) -> None:
    """List the backups in the storage by their manifests, without a database.

    Args:
        storage: The URL of the storage, such as file:///mnt/backups; by default, that of the block storage/backups.
    """
    with _catalog(storage) as catalog:
        backups, unreadable = catalog.list()
        gone = [each.path for each in backups if not catalog.has_dump(each)]
    print_table(
        ("name", "made (UTC)", "MiB", "rows", "revision", "keys", "last check", "outcome"),
        [_row(each) for each in reversed(backups)],
        "There are no backups.",
        [
            *(f"{each.name}: {each.reason}" for each in backups if each.reason),
            *(f"{path} is gone from the storage: use another backup" for path in gone),
            *unreadable,
        ],
    )


def _row(backup: Manifest) -> Sequence[object]:
    size, keys = f"{backup.size / 2**20:.1f}", ", ".join(backup.needed_keys)
    made, checked = backup.started_at, backup.checked_at
    return backup.name, made, size, backup.rows, backup.revision, keys, checked, backup.outcome


@restore.command
def check(name: Name = "latest", *, storage: Storage = None) -> int:
    """Restore a backup into a scratch database, compare it with the manifest, and drop the database.

    The server is that of SIVERA_DATABASE_URL, or of the block sivera-db. The exit code is 0 if the backup is verified,
    1 if it could not be checked, and 2 if its contents differ from what was backed up.

    Args:
        name: The backup's name, or 'latest' for the newest verified one.
        storage: The URL of the storage; by default, that of the block storage/backups.
    """
    with _catalog(storage) as catalog:
        manifest = catalog.read(name)
        url = find_url()
        say(f"Restoring {manifest.name} into a scratch database on the server of {url.database}.")
        checked = checking.check_backup(manifest, catalog, url, load_keyring, time.monotonic() + SECONDS)
        # An inconclusive check keeps the earlier verdict.
        if checked.outcome is not Outcome.INCONCLUSIVE:
            catalog.write(checked)
    say(f"{checked.outcome.value}: {checked.reason or 'the restored data is what was backed up'}")
    return EXIT_CODES[checked.outcome]


@restore.command
def run(name: Name, *, storage: Storage = None, without_keys: Flag = False, trust_storage: Flag = False) -> None:
    """Restore a backup into an empty database, whose URL is read from SIVERA_RESTORE_URL or from standard input.

    Args:
        name: The backup's name, or 'latest' for the newest verified one.
        storage: The URL of the storage; by default, that of the block storage/backups.
        without_keys: Restore even if keys of stored tokens are missing. Those accounts must be connected again.
        trust_storage: Restore without any keys, if all are lost. Nothing then proves that the backup is ours: anyone
            who can write to the storage may have changed it.
    """
    with _catalog(storage) as catalog:
        manifest = catalog.read(name)
        given = os.environ.get(RESTORE_URL)
        url = parse_url(given or read_secret("the URL of an empty database").get_secret_value())
        say(f"Restoring {manifest.name}, made at {to_minute(manifest.started_at)} UTC, into {url.database}.")
        if manifest.outcome is not Outcome.VERIFIED:
            say(f"Warning: it is {manifest.outcome.value}, not verified: {manifest.reason or 'it was never checked'}")
        keyring = None if trust_storage else load_keyring()
        until = time.monotonic() + SECONDS
        restoring.restore(manifest, catalog, url, keyring, until, without_keys=without_keys)
    say(f"Restored: {counted(manifest.rows, 'row')}, at revision {manifest.revision}.")
    for line in NEXT:
        say(line)


@contextmanager
def _catalog(storage: str | None) -> Iterator[Catalog]:
    """Yield the backups in a storage, and turn errors of the storage into a sentence."""
    with validating("the storage"):
        block = blocks.Storage(url=storage) if storage else blocks.load_storage(BACKUPS)
    try:
        yield Catalog(block.get_filesystem())
    except Exception as error:
        if not checking.is_of_storage(error):
            raise
        raise ConfigurationError(checking.explain(error)) from None
