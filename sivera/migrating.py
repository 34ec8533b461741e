"""Migrations: bring the database to this version. Only who migrates imports Alembic, which takes 0.25 seconds."""

from importlib.resources import files
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from sivera.database import VERSION_TABLE, check
from sivera.errors import ConfigurationError

MIGRATION_LOCK = 0x51_0E_7A
"""An advisory lock's number, so that two processes that migrate at once take turns."""


class Revisions(NamedTuple):
    """The database's revision (None before the first migration), the newest, and whether we know the former."""

    current: str | None
    newest: str | None
    is_known: bool


def read_revisions(engine: Engine) -> Revisions:
    """Return the revisions of the database and of this version."""
    scripts = ScriptDirectory(str(files("sivera.migrations")))
    with engine.connect() as connection:
        current = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    return Revisions(current, scripts.get_current_head(), current is None or current in known)


def migrate(engine: Engine) -> None:
    """Bring the database to the newest revision. A second time changes nothing.

    Raises:
        ConfigurationError: The database does not answer, or a newer version migrated it.
    """
    check(engine)
    revisions = read_revisions(engine)
    if not revisions.is_known:
        raise ConfigurationError(
            f"the database is at revision {revisions.current}, which this version does not know: install the version "
            "that migrated it, or restore a backup from before"
        )
    config = Config()
    config.set_main_option("script_location", str(files("sivera.migrations")))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": MIGRATION_LOCK})
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": MIGRATION_LOCK})
            connection.commit()
