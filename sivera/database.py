"""Access to PostgreSQL: engines and migrations."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from sivera.errors import ConfigurationError

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 60
SECRET_OPTIONS = frozenset({"password", "sslpassword"})
"""Options of libpq that would stand in plain text wherever the URL is shown with its password hidden."""
VERSION_TABLE = "sivera_alembic_version"
"""Our own: a web application may keep its Alembic version in the same database."""

MIGRATION_LOCK = 0x51_0E_7A
"""An advisory lock's number, so that two processes that migrate at once take turns."""


@cache
def reading(engine: Engine) -> Engine:
    """Return an engine on the same connections for a single question: no round trips to begin and end a transaction."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def parse_url(url: str) -> URL:
    """Return a database URL with our driver.

    Raises:
        ConfigurationError: It is not a URL of PostgreSQL. The message never shows it, because it can hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "the database URL cannot be read: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(
            f"the database URL is of '{parsed.get_backend_name()}', and Sivera Jobs keeps its data in PostgreSQL: "
            "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    for option in SECRET_OPTIONS & parsed.query.keys():
        raise ConfigurationError(
            f"the database URL has '{option}' among its options, where everyone can read it: "
            "write the password before the host, as in postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    return parsed.set(drivername="postgresql+psycopg")


def open_engine(
    url: URL | str,
    pool_size: int = 5,
    statement_seconds: int = STATEMENT_TIMEOUT_SECONDS,
    connect_seconds: int = CONNECT_TIMEOUT_SECONDS,
) -> Engine:
    """Return an engine with a bounded number of connections and a time limit for each statement.

    Nothing is connected yet; see `check`.
    """
    return create_engine(
        parse_url(url) if isinstance(url, str) else url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        # Errors show no values: some are ciphertexts or names.
        hide_parameters=True,
        connect_args={
            "connect_timeout": connect_seconds,
            # Notices within half a minute that a server is gone.
            "keepalives_idle": 20,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 30_000,
            "application_name": "sivera-jobs",
            "options": f"-c statement_timeout={statement_seconds}s -c timezone=UTC",
        },
    )


def check(engine: Engine) -> None:
    """Raise ConfigurationError, naming server and remedy, if the database does not answer within ten seconds."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except (OperationalError, ProgrammingError) as error:
        where = engine.url.render_as_string(hide_password=True)
        cause = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
        raise ConfigurationError(
            f"PostgreSQL at {where} does not answer ({cause}): is it running, and is the URL right?"
        ) from None


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


def connection_string(url: URL) -> str:
    """Return what leads PostgreSQL's own programs to the same database, without the password."""
    _, arguments = url.get_dialect()().create_connect_args(url)
    return make_conninfo("", **{name: value for name, value in arguments.items() if name != "password"})


def read_size(session: Session) -> int:
    """Return the size of this database, in bytes."""
    return int(session.scalars(text("SELECT pg_database_size(current_database())")).one())


def read_data_directory(session: Session) -> str | None:
    """Return where the server keeps its data; None if it is reached over the network, or hides it from this user."""
    # A server that a socket leads to is on this machine. SHOW would fail for a user who may not know.
    directory: str | None = session.scalar(
        text("SELECT setting FROM pg_settings WHERE name = 'data_directory' AND inet_server_addr() IS NULL")
    )
    return directory
