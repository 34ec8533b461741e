"""The upsert of every copied table: many rows of one account in one statement; unchanged rows stay untouched."""

from collections.abc import Sequence

from sqlalchemy import JSON, Column, FromClause, Table, Text, bindparam, cast, func


def incoming(table: Table, columns: Sequence[str]) -> FromClause:
    """Return the rows of the bind parameter `rows` (a JSON array of objects as text), typed as the table's columns."""
    typed: list[Column[object]] = [Column(name, table.c[name].type) for name in columns]
    rows = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON))
    return rows.table_valued(*typed).render_derived(name="incoming", with_types=True)


def upsert(table: str, key: Sequence[str], columns: Sequence[str], *given: str) -> str:
    """Return SQL that inserts new rows of an account and updates those that differ.

    It takes `account_id`, `now`, and `rows` (a JSON array of objects as text) with the `columns`, which include the
    key; those of `given` have one value for all rows, each a parameter of its name. Whatever is written is not missing
    any more. For each row that it wrote it returns whether the row is new (`inserted`).

    As text: SQLAlchemy does not cache an INSERT with ON CONFLICT, and compiling it each time took a sixth of a sync's
    processor time.
    """
    compared = [*given, *(name for name in columns if name not in key), "missing_since"]
    known, new = (", ".join(f"{whose}.{name}" for name in compared) for whose in ("known", "excluded"))
    return f"""
        INSERT INTO {table} AS known (account_id, {", ".join((*given, *columns))})
        SELECT :account_id, {", ".join((*(f":{name}" for name in given), *columns))}
        FROM json_populate_recordset(CAST(NULL AS {table}), CAST(:rows AS json))
        ON CONFLICT (account_id, {", ".join(key)}) DO UPDATE SET ({", ".join(compared)}, changed_at) = ROW({new}, :now)
        WHERE ({known}) IS DISTINCT FROM ({new})
        RETURNING xmax = 0 AS inserted"""  # noqa: S608 - names of tables and columns
