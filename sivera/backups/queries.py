"""SQL of backups: the snapshot, what is in it, and scratch databases."""

from collections.abc import Iterable

from sqlalchemy import ColumnClause, Connection, Engine, TextClause, column, delete, func, select, table, text
from sqlalchemy.orm import Session

from sivera.database import VERSION_TABLE
from sivera.grants import queries as keys
from sivera.models import Base, TokenKeyCheck

Table = tuple[str, str]
"""Schema and name."""

OURS = (*Base.metadata.tables, VERSION_TABLE)
"""Beside them, a database may have extensions and tables of others."""

SCRATCH_LOCK = 0x51_0E_7B
"""The number of an advisory lock: checks that restore from the same database take turns."""

TABLES = text("""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid IN (SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name) ORDER BY 1, 2
""")

# pg_restore 17 sets transaction_timeout, which older servers do not know. The rest is faster, and safe: an incomplete
# restore is rolled back.
BEGIN = """BEGIN;
SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout';
SET LOCAL synchronous_commit = off;
SET LOCAL maintenance_work_mem = '256MB';
"""
SET_BY_PG_RESTORE = b"SET transaction_timeout = 0;\n"


def export_snapshot(session: Session, lock_wait: str) -> str:
    """Start a transaction that sees one moment and may stay idle; return the name by which others can read it."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    session.execute(select(func.set_config("lock_timeout", lock_wait, True)))
    session.execute(select(func.set_config("idle_in_transaction_session_timeout", "0", True)))
    name: str = session.execute(select(func.pg_export_snapshot())).scalar_one()
    return name


def server_version(session: Session) -> int:
    """Return the server's major version."""
    return int(session.execute(select(func.current_setting("server_version_num"))).scalar_one()) // 10_000


def find_tables(session: Session, tables: Iterable[Table] | None = None) -> list[Table]:
    """Return which of these tables or, by default, of ours there are."""
    names = list(OURS) if tables is None else [quoted(*each) for each in tables]
    return [(row[0], row[1]) for row in session.execute(TABLES, {"names": names})]


def count_rows(session: Session, schema: str, name: str) -> int:
    """Count the rows of a table."""
    return session.execute(select(func.count()).select_from(table(name, schema=schema))).scalar_one()


def revision(session: Session, tables: Iterable[Table]) -> str | None:
    """Return the revision that these tables are migrated to; None if the version table is not among them."""
    version: ColumnClause[str] = column("version_num")
    for schema, name in tables:
        if name == VERSION_TABLE:
            return session.scalar(select(version).select_from(table(name, schema=schema)))
    return None


def use_schemas(session: Session, tables: Iterable[Table]) -> None:
    """Let the rest of the transaction find these tables by their names."""
    path = ", ".join(sorted({quoted(schema) for schema, _ in tables}))
    session.execute(select(func.set_config("search_path", path, True)))


def keys_needed(session: Session) -> list[str]:
    """Return the ids of the keys that a restore needs: those in use, and those that tokens are encrypted with."""
    in_use = {check.id for check in keys.list_checks(session) if check.retired_at is None}
    return sorted(in_use | keys.tokens_by_key(session).keys())


def forget_keys(session: Session, known: frozenset[str]) -> None:
    """Let tokens of other keys than the known ones count as damaged: each stops its own grant, and nothing else."""
    session.execute(delete(TokenKeyCheck).where(TokenKeyCheck.id.not_in(known)))


def size_of(session: Session, tables: Iterable[Table]) -> int:
    """Return the size of these tables with their indexes, in bytes."""
    return sum(session.scalars(select(func.pg_total_relation_size(quoted(*each)))).one() for each in tables)


def is_superuser(session: Session) -> bool:
    """Return whether this session's user may do anything on the server."""
    return bool(session.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")))


def begin_restore(session: Session, tables: Iterable[Table]) -> str:
    """Return the statements before those of pg_restore, which makes tables but not the schemas that they are in."""
    wanted = {schema for schema, _ in tables}
    there = set(session.scalars(text("SELECT nspname FROM pg_namespace")))
    return BEGIN + "".join(f"CREATE SCHEMA {quoted(schema)};\n" for schema in sorted(wanted - there))


def drop_tables(session: Session, tables: Iterable[Table]) -> None:
    """Drop those of these tables that there are."""
    if found := find_tables(session, tables):
        session.execute(_literal(f"DROP TABLE {', '.join(quoted(*each) for each in found)}"))


def lock_scratch(connection: Connection) -> bool:
    """Return whether the scratch database is ours until this transaction ends."""
    connection.execute(select(func.set_config("idle_in_transaction_session_timeout", "0", True)))
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(SCRATCH_LOCK))))


def may_create_databases(connection: Connection) -> bool:
    """Return whether this user may create databases."""
    return bool(connection.scalar(text("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")))


def has_database(connection: Connection, name: str) -> bool:
    """Return whether the server has a database of this name."""
    return bool(connection.scalar(text("SELECT true FROM pg_database WHERE datname = :name"), {"name": name}))


def create_database(engine: Engine, name: str) -> None:
    """Create an empty database."""
    _run_alone(engine, f"CREATE DATABASE {quoted(name)} TEMPLATE template0 ENCODING 'UTF8'")


def drop_database(engine: Engine, name: str) -> None:
    """Drop a database, if there is one, and end its connections."""
    _run_alone(engine, f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


def quoted(*names: str) -> str:
    """Return a name, and what it is in, as SQL and the patterns of pg_dump take it."""
    return ".".join(f'"{each.replace(chr(34), chr(34) * 2)}"' for each in names)


def _run_alone(engine: Engine, statement: str) -> None:
    # Not in a transaction.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(_literal(statement))


def _literal(statement: str) -> TextClause:
    # A colon in a name begins no parameter.
    return text(statement.replace(":", r"\:"))
