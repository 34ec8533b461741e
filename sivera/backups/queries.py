"""SQL of backups: the snapshot, what is in it, and scratch databases."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select, table, text
from sqlalchemy.orm import Session

from sivera.grants import queries as keys

SCRATCH = "sivera_check_"
"""The names of scratch databases begin with this."""

LOCK_WAIT = "60s"
"""How long to wait for a table that somebody has locked, such as a migration."""

OURS = """n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
          AND n.nspname NOT LIKE 'pg\\_temp%'"""
"""The schemas that are dumped."""

TABLES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND {OURS} AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""  # noqa: S608 - constants

# Since PostgreSQL 18 NOT NULL is a constraint too: do not count it, to compare with older servers.
CONSTRAINTS = f"""
    SELECT count(*) FILTER (WHERE k.convalidated) FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype <> 'n' AND {OURS}
"""  # noqa: S608 - constants

INDEXES = f"""
    SELECT count(*) FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indisvalid AND {OURS}
"""  # noqa: S608 - constants


def export_snapshot(session: Session) -> str:
    """Start a transaction that sees one moment and may stay idle; return the name by which others can read it."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    limits = ("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")
    session.execute(select(func.set_config("lock_timeout", LOCK_WAIT, False)))
    # Not SET: an older server, which does not know one of them, would refuse it.
    session.execute(
        text("SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN :names").bindparams(
            bindparam("names", limits, expanding=True)
        )
    )
    name: str = session.execute(select(func.pg_export_snapshot())).scalar_one()
    return name


def server_version(session: Session) -> tuple[str, int]:
    """Return the server's version as text, and its major number."""
    written, number = session.execute(
        select(func.current_setting("server_version"), func.current_setting("server_version_num"))
    ).one()
    return written, int(number) // 10_000


def tables(session: Session) -> list[tuple[str, str]]:
    """Return schema and name of every table that a dump holds."""
    return [(row[0], row[1]) for row in session.execute(text(TABLES))]


def count_rows(session: Session, schema: str, name: str) -> int:
    """Count the rows of a table."""
    return session.execute(select(func.count()).select_from(table(name, schema=schema))).scalar_one()


def count_constraints(session: Session) -> int:
    """Count the validated constraints."""
    count: int = session.execute(text(CONSTRAINTS)).scalar_one()
    return count


def count_indexes(session: Session) -> int:
    """Count the valid indexes."""
    count: int = session.execute(text(INDEXES)).scalar_one()
    return count


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


def announce_scratch(connection: Connection, name: str) -> None:
    """Mark a scratch database as in use for as long as this connection lives."""
    connection.execute(select(func.set_config("application_name", name, False)))


def abandoned_scratches(connection: Connection) -> Sequence[str]:
    """Return the scratch databases of this user that no connection marks as in use."""
    return connection.scalars(
        text(
            """SELECT datname FROM pg_database d WHERE starts_with(datname, :prefix)
               AND pg_get_userbyid(datdba) = current_user
               AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = d.datname)"""
        ),
        {"prefix": SCRATCH},
    ).all()


def create_database(connection: Connection, name: str) -> None:
    """Create an empty database. This cannot run in a transaction."""
    connection.execute(text(f"CREATE DATABASE {_quoted(connection, name)} TEMPLATE template0 ENCODING 'UTF8'"))


def drop_database(connection: Connection, name: str) -> None:
    """Drop a database and end its connections. This cannot run in a transaction."""
    connection.execute(text(f"DROP DATABASE IF EXISTS {_quoted(connection, name)} WITH (FORCE)"))


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)
