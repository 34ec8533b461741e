"""SQL of backups: the snapshot, what is in it, and scratch databases."""

from sqlalchemy import Connection, func, select, table, text
from sqlalchemy.orm import Session

from sivera.grants import queries as keys

SCRATCH_LOCK = 0x51_0E_7B
"""The number of an advisory lock: checks that restore from the same database take turns."""

# Tables of extensions are not dumped.
TABLES = text("""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_') AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
""")


def export_snapshot(session: Session, lock_wait: str) -> str:
    """Start a transaction that sees one moment and may stay idle; return the name by which others can read it."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    session.execute(select(func.set_config("lock_timeout", lock_wait, False)))
    session.execute(select(func.set_config("idle_in_transaction_session_timeout", "0", False)))
    name: str = session.execute(select(func.pg_export_snapshot())).scalar_one()
    return name


def server_version(session: Session) -> int:
    """Return the server's major version."""
    return int(session.execute(select(func.current_setting("server_version_num"))).scalar_one()) // 10_000


def tables(session: Session) -> list[tuple[str, str]]:
    """Return schema and name of every table that a dump holds."""
    return [(row[0], row[1]) for row in session.execute(TABLES)]


def count_rows(session: Session, schema: str, name: str) -> int:
    """Count the rows of a table."""
    return session.execute(select(func.count()).select_from(table(name, schema=schema))).scalar_one()


def revision(session: Session) -> str | None:
    """Return the revision that the database is migrated to; None if it was never migrated."""
    if session.scalar(select(func.to_regclass("sivera_alembic_version"))) is None:
        return None
    found: str | None = session.scalar(text("SELECT version_num FROM sivera_alembic_version"))
    return found


def keys_needed(session: Session) -> list[str]:
    """Return the ids of the keys that a restore needs: those in use, and those that tokens are encrypted with."""
    in_use = {check.id for check in keys.list_checks(session) if check.retired_at is None}
    return sorted(in_use | keys.tokens_by_key(session).keys())


def sentinels(session: Session) -> dict[str, str]:
    """Return, by key id, the known text that is encrypted with each key, in hexadecimal."""
    return {check.id: check.sentinel.hex() for check in keys.list_checks(session)}


def database_size(session: Session) -> int:
    """Return the size of this database, in bytes."""
    size: int = session.scalars(select(func.pg_database_size(func.current_database()))).one()
    return size


def analyze(session: Session) -> None:
    """Give the planner statistics of the tables."""
    session.execute(text("ANALYZE"))


def lock_scratch(connection: Connection) -> bool:
    """Return whether the scratch database is ours for as long as this connection lives."""
    return bool(connection.scalar(select(func.pg_try_advisory_lock(SCRATCH_LOCK))))


def create_database(connection: Connection, name: str) -> None:
    """Create an empty database. This cannot run in a transaction."""
    connection.execute(text(f"CREATE DATABASE {_quoted(connection, name)} TEMPLATE template0 ENCODING 'UTF8'"))


def drop_database(connection: Connection, name: str) -> None:
    """Drop a database, if there is one, and end its connections. This cannot run in a transaction."""
    connection.execute(text(f"DROP DATABASE IF EXISTS {_quoted(connection, name)} WITH (FORCE)"))


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)
