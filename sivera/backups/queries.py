"""SQL of backups: COPY of our tables, the catalog of the database, and scratch databases."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import ColumnClause, Connection, Engine, column, delete, func, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sivera.database import VERSION_TABLE
from sivera.database_errors import place_of, sentence
from sivera.grants import queries as keys
from sivera.models import Base, TokenKeyCheck

# Its warnings about an interrupted COPY hold values of rows.
logging.getLogger("psycopg").setLevel(logging.ERROR)

TABLES = {
    table.name: tuple(column.name for column in table.columns if not column.computed)
    for table in Base.metadata.sorted_tables
}
"""Our tables and their columns, each table after those that it refers to. The database may have other tables."""

OURS = frozenset({*TABLES, VERSION_TABLE})

PIECE = 256 * 1024
"""How many bytes of a table are in memory at a time."""

SCRATCH_SCHEMA = "sivera_check"
SCRATCH_LOCK = 0x51_0E_7B
"""The number of an advisory lock, so that only one check of a database runs at a time."""

# A role's own settings could end a long transaction, hide rows from it, or change formats so that values lose digits.
# Older servers have no transaction_timeout.
SETTINGS = text("""
    SELECT set_config(name, value, true) FROM pg_settings JOIN (VALUES
        ('transaction_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), ('lock_timeout', '60s'),
        ('row_security', 'off'), ('bytea_output', 'hex'), ('extra_float_digits', '1')
    ) AS ours (name, value) USING (name)
""")

FIND_TABLES = text("""
    SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE nspname = current_schema() AND relkind IN ('r', 'p', 'v', 'm', 'f')
""")

IDENTITIES = text("""
    SELECT table_name, column_name FROM information_schema.columns
    WHERE is_identity = 'YES' AND table_schema = current_schema()
""")

# The order must not depend on the collation of a database.
PRIMARY_KEY = text("""
    SELECT string_agg(format(CASE WHEN atttypid = 'jsonb'::regtype THEN '%I::text COLLATE "C"'
                                  WHEN attcollation <> 0 THEN '%I COLLATE "C"' ELSE '%I' END, attname), ', ' ORDER BY n)
    FROM pg_index, unnest(indkey) WITH ORDINALITY AS part (number, n), pg_attribute
    WHERE indisprimary AND indrelid = CAST(:name AS regclass) AND attrelid = indrelid AND attnum = number
""")


class Stopped(Exception):
    """Ends a COPY in place of a storage's error, whose text may hold keys: psycopg would send it to the server."""


def begin_reading(session: Session) -> None:
    """Begin a read-only transaction that sees a consistent snapshot."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
    session.execute(SETTINGS)


def begin_writing(session: Session) -> None:
    """Begin a transaction that creates and fills tables."""
    session.execute(SETTINGS)


def use_scratch_schema(session: Session) -> None:
    """Create a schema and use only that in this transaction: the role's own may not exist in this database."""
    session.execute(text(f"CREATE SCHEMA {SCRATCH_SCHEMA}"))
    session.execute(select(func.set_config("search_path", SCRATCH_SCHEMA, True)))


def find_tables(session: Session) -> frozenset[str]:
    """Return the names of the tables and views in the schema in use."""
    return frozenset(session.scalars(FIND_TABLES))


def size_of_tables(session: Session) -> int:
    """Return the size of our tables in bytes, without indexes."""
    size = text(
        "SELECT sum(pg_table_size(CAST(quote_ident(name) AS regclass))) FROM unnest(CAST(:names AS text[])) name"
    )
    return int(session.scalars(size, {"names": list(TABLES)}).one())


@contextmanager
def driver_cursor(session: Session) -> Iterator[psycopg.Cursor[Any]]:
    """Yield a psycopg cursor, for COPY. Its errors become SQLAlchemy's, without values of rows."""
    connection = session.connection()
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - we have no other driver
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg.Error as error:
        error.place = place_of(connection.engine.url, connection.dialect.default_schema_name)  # type: ignore[attr-defined]
        explained = DBAPIError(None, None, error, connection_invalidated=driver.closed)
        explained.args, explained.code = (sentence(explained),), ""
        if driver.closed:
            connection.invalidate()
        raise explained from None


def copy_out(session: Session, name: str, columns: Sequence[str], take: Callable[[bytes], object]) -> int:
    """Pass a table's text to `take`, in pieces and in the order of the primary key; return the number of rows."""
    order = session.scalar(PRIMARY_KEY, {"name": quoted(name)})
    statement = f"COPY (SELECT {_joined(columns)} FROM {quoted(name)} ORDER BY {order}) TO STDOUT"  # noqa: S608 - names are quoted
    piece = bytearray()
    with driver_cursor(session) as cursor:
        with cursor.copy(statement.encode()) as copy:
            for row in copy:
                piece += row
                if len(piece) >= PIECE:
                    take(bytes(piece))
                    piece.clear()
        take(bytes(piece))
        return cursor.rowcount


def copy_in(session: Session, name: str, columns: Sequence[str], pieces: Iterable[bytes]) -> int:
    """Fill a table with text from `copy_out`; return the number of rows."""
    statement = f"COPY {quoted(name)} ({_joined(columns)}) FROM STDIN"
    failure: Exception | None = None
    try:
        with driver_cursor(session) as cursor:
            with cursor.copy(statement.encode()) as copy:
                try:
                    for piece in pieces:
                        copy.write(piece)
                except psycopg.Error:
                    raise
                except Exception as error:  # noqa: BLE001 - raised below
                    failure = error
                    raise Stopped from None
            return cursor.rowcount
    except (Stopped, DBAPIError) as error:
        raise failure or error from None


def advance_identities(session: Session) -> None:
    """Make the identity columns continue after their largest values."""
    for name, identity in session.execute(IDENTITIES).all():
        sequence = func.pg_get_serial_sequence(quoted(name), identity)
        number: ColumnClause[int] = column(identity)
        session.execute(select(func.setval(sequence, func.max(number))).select_from(table(name)))


def keys_needed(session: Session) -> list[str]:
    """Return the ids of the keys that a restore needs: those in use, and those that tokens are encrypted with."""
    in_use = {check.id for check in keys.list_checks(session) if check.retired_at is None}
    return sorted(in_use | keys.tokens_by_key(session).keys())


def forget_keys(session: Session, known: frozenset[str]) -> None:
    """Forget all other keys. A token of theirs then stops only its own grant, instead of every job."""
    session.execute(delete(TokenKeyCheck).where(TokenKeyCheck.id.not_in(known)))


def lock_scratch(connection: Connection) -> bool:
    """Reserve the scratch database until this transaction ends; return whether it was free."""
    connection.execute(SETTINGS)
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
    """Drop a database if it exists, and end its connections."""
    _run_alone(engine, f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


def quoted(name: str) -> str:
    """Return a name in quotes for SQL, whatever it contains."""
    return f'"{name.replace(chr(34), chr(34) * 2)}"'


def _joined(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, names))


def _run_alone(engine: Engine, statement: str) -> None:
    # Outside a transaction. A colon in a name must not start a parameter.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement.replace(":", r"\:")))
