"""The upsert of every copied table: many rows of one account in one statement; unchanged rows stay untouched."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    FromClause,
    Table,
    Text,
    TextClause,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.elements import ClauseElement


def incoming(table: Table, columns: Sequence[str]) -> FromClause:
    """Return the rows of the bind parameter `rows` (a JSON array of objects as text), typed as the table's columns."""
    typed: list[Column[object]] = [Column(name, table.c[name].type) for name in columns]
    rows = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON))
    return rows.table_valued(*typed).render_derived(name="incoming", with_types=True)


def upsert(
    model: type[DeclarativeBase],
    *,
    key: Sequence[str],
    columns: Sequence[str],
    given: Sequence[str] = (),
    returning: Sequence[str] = (),
) -> ReturningInsert[Any]:
    """Return the statement that inserts new rows of an account and updates those that differ.

    It takes `account_id`, `rows`, `given` and `now`. For each row that it wrote it returns whether the row is new
    (`inserted`), and the columns `returning`. The primary key is `account_id` and the `key`; `columns`, which include
    the key, are in `rows`; those of `given` have one value for all rows, each a bind parameter of its name.
    """
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101 - tells the type checker what every mapped class has
    rows = incoming(table, columns)
    constants = [bindparam(name, type_=table.c[name].type).label(name) for name in ("account_id", *given)]
    statement = insert(table).from_select(
        ["account_id", *given, *columns], select(*constants, *(rows.c[name] for name in columns))
    )
    compared = [name for name in (*given, *columns) if name not in key]
    return statement.on_conflict_do_update(
        index_elements=["account_id", *key],
        set_={name: statement.excluded[name] for name in compared} | {"changed_at": bindparam("now")},
        where=tuple_(*(table.c[name] for name in compared)).is_distinct_from(
            tuple_(*(statement.excluded[name] for name in compared))
        ),
    ).returning(literal_column("(xmax = 0)").label("inserted"), *(table.c[name] for name in returning))


def precompiled(statement: ClauseElement) -> TextClause:
    """Return a statement as text with the same bind parameters.

    SQLAlchemy does not cache an INSERT with ON CONFLICT. Compiling it at every execution took a sixth of a sync's
    processor time.
    """
    dialect = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return text(str(statement.compile(dialect=dialect)))
