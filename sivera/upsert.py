"""The upsert of the copied tables: many rows of one account in one statement, which leaves unchanged rows alone."""

from collections.abc import Sequence


def upsert(table: str, key: Sequence[str], columns: Sequence[str], *given: str) -> str:
    """Return SQL that inserts new rows of an account and updates those that differ.

    Its parameters are `account_id`, `now`, `rows` (a JSON array of objects as text, with the `columns`, which include
    the key), and one for each `given` column, whose value is the same in all rows. Written rows are no longer missing.
    For each of them it returns whether the row is new (`inserted`).

    It is text because SQLAlchemy does not cache an INSERT with ON CONFLICT, and compiling it each time took a sixth of
    a sync's processor time.
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
