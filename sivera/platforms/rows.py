"""Reading the rows of a reply one by one: an odd row is left out and named, and its neighbours are read."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from sivera.errors import InvalidReply, PlatformError
from sivera.values import UNPRINTABLE, DailyTotal, OddRow, PlatformName, TotalsReading

RowT = TypeVar("RowT")


def read_json(content: bytes) -> Any:
    """Parse JSON, also with half a surrogate pair or NaN in it, which `read_rows` leaves out with its row.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        with suppress(RecursionError):
            return json.loads(content)
        raise


def read_rows(
    platform: PlatformName, rows: Iterable[Any], read: Callable[[Any], RowT], id_of: Callable[[Any], object]
) -> tuple[list[RowT], tuple[OddRow, ...]]:
    """Read rows one by one. Return what they say, and those that are not as documented; InvalidReply if most are odd.

    `read` raises InvalidReply for an odd row. `id_of` names a row for a person; if it raises anything, there is no
    name.
    """
    good: list[RowT] = []
    odd: list[OddRow] = []
    for row in rows:
        try:
            good.append(read(row))
        except InvalidReply as error:
            odd.append(OddRow(id=_name_of(row, id_of), why=error.message))
        except ValidationError as error:
            fields = ", ".join(str(each["loc"][0]) for each in error.errors() if each["loc"])
            odd.append(OddRow(id=_name_of(row, id_of), why=f"sent a row with an impossible {fields or 'value'}"))
        except (ValueError, ArithmeticError):
            odd.append(OddRow(id=_name_of(row, id_of), why="sent a row with an impossible value"))
    if len(odd) > len(good):
        raise InvalidReply(
            platform,
            f"sent {len(odd)} of {len(odd) + len(good)} rows that are not as documented; the first: {odd[0].why}",
        )
    return good, tuple(odd)


def _name_of(row: Any, id_of: Callable[[Any], object]) -> str | None:
    try:
        name = id_of(row)
        text = str(name) if isinstance(name, str | int) else ""
    except (InvalidReply, LookupError, TypeError, AttributeError, ValueError):
        return None
    return UNPRINTABLE.sub("", text)[:64].encode(errors="replace").decode() or None


def totals_of(
    platform: PlatformName, rows: Iterable[Any], read: Callable[[Any], DailyTotal], day_of: Callable[[Any], object]
) -> TotalsReading:
    """Return what rows say that an account spent a day, the last row of each; InvalidReply if most are odd."""
    totals, odd = read_rows(platform, rows, read, day_of)
    return TotalsReading(days=tuple({total.day: total for total in totals}.values()), left_out=odd)


def unread(id_: str, error: PlatformError) -> OddRow:
    """Return the name of a thing that an error kept from being read."""
    return OddRow(id=id_, why=f"cannot be read: {error.message}")
