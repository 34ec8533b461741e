"""Migrations. Import this module only where it is used: Alembic takes 0.25 seconds."""

from importlib.resources import files
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from sivera.database import VERSION_TABLE, check
from sivera.errors import ConfigurationError
from sivera.models import Base

MIGRATION_LOCK = 0x51_0E_7A
"""The number of an advisory lock, so that only one process migrates at a time."""


class Revisions(NamedTuple):
    """The database's revision (None before the first migration), the newest, and whether the former is known here."""

    current: str | None
    newest: str | None
    is_known: bool


def read_revisions(engine: Engine) -> Revisions:
    """Return the revisions of the database and of this version."""
    with engine.connect() as connection:
        return revisions_in(connection)


def revisions_in(connection: Connection) -> Revisions:
    """Return the same over an open connection."""
    scripts = _scripts()
    current = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    return Revisions(current, scripts.get_current_head(), current is None or current in _known(scripts))


def migrate(engine: Engine) -> None:
    """Bring the database to the newest revision. If it is there already, this needs no right to create tables.

    Raises:
        ConfigurationError: The database does not answer or is unsuitable, or a newer version migrated it.
        SQLAlchemyError: The database failed, for example because a right is missing. Nothing has changed.
    """
    check(engine)
    revisions = read_revisions(engine)
    if not revisions.is_known:
        raise ConfigurationError(
            f"the database is at revision {revisions.current}, which this version does not know: install the newer "
            "version of sivera-jobs that migrated it"
        )
    if revisions.current == revisions.newest:
        return
    with engine.begin() as connection:
        _upgrade(connection, "head", is_new=revisions.current is None)


def make_tables(connection: Connection, revision: str) -> None:
    """Create the tables of a revision; ConfigurationError if the database is unsuitable or the revision unknown."""
    if revision not in _known(_scripts()):
        raise ConfigurationError(
            f"the backup is at revision {revision}, which this version does not know: install the newer "
            "version of sivera-jobs that made it"
        )
    _upgrade(connection, revision, is_new=True)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(files("sivera.migrations")))


def _known(scripts: ScriptDirectory) -> set[str]:
    return {script.revision for script in scripts.walk_revisions()}


def _upgrade(connection: Connection, revision: str, *, is_new: bool) -> None:
    # For the transaction: behind a pool, a lock of the session could be left in another session.
    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK})
    _check_schema(connection, is_new=is_new)
    config = Config()
    config.set_main_option("script_location", str(files("sivera.migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _check_schema(connection: Connection, *, is_new: bool) -> None:
    """Raise ConfigurationError if the tables cannot be created here."""
    facts = "current_setting('server_encoding'), current_schema(), current_database()"
    encoding, schema, database = connection.execute(text(f"SELECT {facts}")).one()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database {database} stores text as {encoding}, which cannot hold every name: create another with "
            "`CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0`"
        )
    # Another process may have migrated the database while this one waited for the lock.
    if not is_new or inspect(connection).has_table(VERSION_TABLE):
        return
    ours = [table.name for table in Base.metadata.sorted_tables]
    found = connection.scalars(
        text(
            "SELECT relname FROM pg_class WHERE relname = ANY(:names) AND relnamespace = (SELECT oid FROM pg_namespace "
            "WHERE nspname = current_schema())"
        ),
        {"names": ours},
    ).all()
    if len(found) == len(ours):
        raise ConfigurationError(
            f"the schema {schema} of the database {database} has all tables of Sivera Jobs except the one with "
            f"their revision, {VERSION_TABLE}: restore that from a backup, or restore all into an empty database"
        )
    if found:
        raise ConfigurationError(
            f"the schema {schema} of the database {database} has other tables with our names, "
            f"{', '.join(sorted(found))}: give Sivera Jobs its own schema with `CREATE SCHEMA`, and select it with "
            "`ALTER ROLE ... SET search_path`"
        )
