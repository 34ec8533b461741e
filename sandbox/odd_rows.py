"""Odd rows in a good answer: a platform that sends one row in a new or broken form, among its neighbours.

A row is any JSON object within a list.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

from sandbox.faults import ABSENT, Fault

GZIP_MAGIC = b"\x1f\x8b"


def spoil(content: bytes, rules: list[Fault], note: Callable[[Fault], None]) -> bytes:
    """Return an answer's bytes with its matching rows made odd; `note` is called with each rule that was applied."""
    zipped = content.startswith(GZIP_MAGIC)
    try:
        body = json.loads(gzip.decompress(content) if zipped else content)
    except ValueError:
        return content
    applied = [rule for rule in rules if _apply(body, rule)]
    for rule in applied:
        note(rule)
    if not applied:
        return content
    # Escaped ASCII: half of a surrogate pair can be sent so, but not as UTF-8.
    text = json.dumps(body, separators=(",", ":")).encode()
    return gzip.compress(text, compresslevel=1, mtime=0) if zipped else text


def _apply(body: Any, rule: Fault) -> bool:
    """Make the rows odd in place; whether there was one."""
    found = False
    for rows in list(_lists(body)):
        for row in [row for row in rows if isinstance(row, dict) and _is_named(row, rule.match)]:
            found = (_change_field(row, rule) if rule.field else _change_row(rows, row, rule)) or found
    return found


def _lists(value: Any) -> Iterator[list[Any]]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _lists(inner)
    if isinstance(value, list):
        yield value


def _is_named(row: dict[str, Any], match: str | None) -> bool:
    """Whether one of the row's own values, also in objects within it, is the id; without an id, all rows are meant."""
    return match is None or any(
        _is_named(value, match) if isinstance(value, dict) else str(value) == match for value in row.values()
    )


def _change_field(row: dict[str, Any], rule: Fault) -> bool:
    *parents, name = rule.field.split(".")
    holder: Any = row
    for parent in parents:
        holder = holder.get(parent) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or (name not in holder and (rule.match is None or rule.value is ABSENT)):
        return False
    if rule.value is ABSENT:
        del holder[name]
    else:
        holder[name] = rule.value
    return True


def _change_row(rows: list[Any], row: dict[str, Any], rule: Fault) -> bool:
    position = next(place for place, each in enumerate(rows) if each is row)
    rows[position : position + 1] = [] if rule.value is ABSENT else [rule.value]
    return True
