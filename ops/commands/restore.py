"""`sivera restore`: the backups, and the way back from one.

May not import prefect at its top; see `ops.cli`.
"""

from typing import Annotated

from cyclopts import App, Parameter

from ops.commands.session import Name, read_secret
from ops.stack.prefect_server import use_running_stack

restore = App(name="restore", help="The backups of the database, and the way back from one.")

Storage = Annotated[str | None, Parameter(show_default=False)]


@restore.command(name="list")
def list_backups(*, storage: Storage = None) -> None:
    """List the backups in the storage, by their manifests: no database is asked.

    Args:
        storage: The URL of the storage, such as file:///mnt/backups; left out, it is that of the block storage/backups.
    """
    use_running_stack()
    from ops.commands import restore_actions  # noqa: PLC0415

    restore_actions.list_backups(storage)


@restore.command
def check(name: Name = "latest", *, storage: Storage = None) -> int:
    """Restore a backup into a database beside, which is dropped afterwards, and compare it with its manifest.

    The server is that of SIVERA_DATABASE_URL, else of the block sivera-db. The exit code is 0 where it is verified, 1
    where it could not be checked, and 2 where it is not what was backed up.

    Args:
        name: The backup's name, or 'latest' for the newest that was verified.
        storage: The URL of the storage; left out, it is that of the block storage/backups.
    """
    use_running_stack()
    from ops.commands import restore_actions  # noqa: PLC0415

    return restore_actions.check_backup(name, storage)


@restore.command
def run(name: Name, *, storage: Storage = None, without_keys: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Restore a backup into an empty database, whose URL is that of SIVERA_RESTORE_URL, or read from standard input.

    Args:
        name: The backup's name, or 'latest' for the newest that was verified.
        storage: The URL of the storage; left out, it is that of the block storage/backups.
        without_keys: Restore although keys to the stored tokens are missing: those accounts must be connected anew.
    """
    use_running_stack()
    from ops.commands import restore_actions  # noqa: PLC0415

    restore_actions.run(name, storage, read_secret, without_keys=without_keys)
