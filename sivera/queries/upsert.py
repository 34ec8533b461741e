"""The upsert that every copied table uses: many rows of one account in one statement, unchanged rows untouched."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, Column, FromClause, Table, Text, bindparam, cast, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.dml import ReturningInsert


def incoming(table: Table, columns: Sequence[str]) -> FromClause:
    """Return the rows of the bind parameter `rows` (a JSON array of objects as text), typed as the table's columns."""
    typed: list[Column[object]] = [Column(name, table.c[name].type) for name in columns]
    return (
        func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON))
        .table_valued(*typed)
        .render_derived(name="incoming", with_types=True)
    )


@cache
def upsert(
    model: type[DeclarativeBase], key: str, columns: tuple[str, ...], given: tuple[str, ...] = ()
) -> ReturningInsert[Any]:
    """Return the statement that inserts new rows of an account and rewrites those that differ.

    Args:
        model: The table; its primary key is `account_id` and the columns of `key`.
        key: The natural key within the account, columns separated by commas.
        columns: The columns that are read from `rows`, key included.
        given: Columns that are the same for all rows, each a bind parameter of its name.

    The statement takes `account_id`, `rows`, `given` and `now`, and returns for each row it wrote whether it is new.
    """
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101 - tells the type checker what every mapped class has
    keys = tuple(key.split(","))
    rows = incoming(table, columns)
    constants = [bindparam(name, type_=table.c[name].type).label(name) for name in ("account_id", *given)]
    statement = insert(table).from_select(
        ["account_id", *given, *columns], select(*constants, *(rows.c[name] for name in columns))
    )
    compared = [name for name in (*given, *columns) if name not in keys]
    return statement.on_conflict_do_update(
        index_elements=["account_id", *keys],
        set_={name: statement.excluded[name] for name in compared} | {"changed_at": bindparam("now")},
        where=tuple_(*(table.c[name] for name in compared)).is_distinct_from(
            tuple_(*(statement.excluded[name] for name in compared))
        ),
    ).returning(literal_column("(xmax = 0)").label("inserted"), *(table.c[k] for k in keys))
