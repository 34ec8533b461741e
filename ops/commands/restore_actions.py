"""What `ops.commands.restore` does once the way to the Prefect server is set: it imports prefect."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr, ValidationError
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from blocks.database import load_database_url
from blocks.names import BACKUPS
from blocks.server import explain as explain_fields
from blocks.storage import Storage, load_storage
from blocks.token_key import load_keyring
from ops.commands.tables import print_table, say, to_minute
from sivera.backups import backing_up, checking, restoring
from sivera.backups.catalog import Catalog, path_of
from sivera.backups.manifest import Outcome
from sivera.clock import utc_now
from sivera.database import parse_url
from sivera.errors import ConfigurationError
from sivera.settings import RESTORE_URL

SECONDS = 86_400
"""How long a restore may take by hand."""

MEBIBYTE = 2**20
EXIT_CODES = {Outcome.VERIFIED: 0, Outcome.INCONCLUSIVE: 1, Outcome.MISMATCH: 2}


def list_backups(storage: str | None) -> None:
    """Print the backups, the newest first, and what is not well with them."""
    with _explained():
        catalog = _open_catalog(storage)
        backups, unreadable = catalog.list()
        gone = [each.name for each in backups if not catalog.holds(each.name)]
    print_table(
        ("name", "made (UTC)", "MiB", "rows", "revision", "keys", "last check", "outcome"),
        [
            (
                each.name,
                to_minute(each.started_at),
                f"{each.size / MEBIBYTE:.1f}",
                str(sum(each.shape.rows.values())),
                each.shape.revision or "",
                ", ".join(each.key_ids),
                to_minute(each.checked_at) if each.checked_at else "",
                each.outcome.value,
            )
            for each in reversed(backups)
        ],
        notes=[
            *(f"{each.name}: {each.reason}" for each in backups if each.reason),
            *(f"{path_of(name)} is gone from the storage" for name in gone),
            *unreadable,
        ],
        empty="There are no backups.",
    )


def check_backup(name: str, storage: str | None) -> int:
    """Check a backup, print what came of it, and return the exit code."""
    with _explained():
        catalog = _open_catalog(storage)
        manifest = catalog.read(name)
        given = os.environ.get("SIVERA_DATABASE_URL")
        url = parse_url(given) if given else load_database_url()
        say(f"Restoring {manifest.name} into a database beside {url.database}, which is dropped afterwards.")
        verdict = checking.check_backup(manifest, catalog, url, load_keyring, time.monotonic() + SECONDS)
        # What could not be checked stays what it was found to be.
        if verdict.outcome is not Outcome.INCONCLUSIVE:
            checked = manifest.checked(verdict, utc_now())
            catalog.write(checked)
            try:
                backing_up.note_check(url, checked)
            except DBAPIError as error:
                say(f"The table of backups does not say so yet: {checking.explain(error)}.")
    say(f"{verdict.outcome.value}: {verdict.reason or 'what was restored is what was backed up'}")
    return EXIT_CODES[verdict.outcome]


def run(name: str, storage: str | None, read_secret: Callable[[str], SecretStr], *, without_keys: bool) -> None:
    """Restore a backup into an empty database.

    Raises:
        SiveraError: It cannot be restored; the database stays empty.
    """
    with _explained():
        catalog = _open_catalog(storage)
        manifest = catalog.read(name)
        url = _target(read_secret)
        say(f"Restoring {manifest.name}, made at {to_minute(manifest.started_at)} UTC, into {url.database}.")
        if manifest.outcome is not Outcome.VERIFIED:
            say(f"Beware: it is {manifest.outcome.value}, not verified: {manifest.reason or 'it was never checked'}")
        keyring = None if without_keys else load_keyring
        restoring.restore(manifest, catalog, url, keyring, time.monotonic() + SECONDS)
    say(f"Restored: {sum(manifest.shape.rows.values())} rows, at revision {manifest.shape.revision}.")
    say("Next: name this database in SIVERA_DATABASE_URL, then `sivera migrate`, `sivera deploy` and `sivera doctor`.")


def _target(read_secret: Callable[[str], SecretStr]) -> URL:
    given = os.environ.get(RESTORE_URL)
    return parse_url(given or read_secret("the URL of an empty database").get_secret_value())


def _open_catalog(storage: str | None) -> Catalog:
    if storage is None:
        return Catalog(load_storage(BACKUPS).get_filesystem())
    try:
        return Catalog(Storage(url=storage).get_filesystem())
    except ValidationError as error:
        raise ConfigurationError(f"the storage will not do ({explain_fields(error)})") from None


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not (isinstance(error, DBAPIError) or checking.is_of_storage(error)):
            raise
        raise ConfigurationError(f"{checking.explain(error)}: see that it is well, and try again") from None
