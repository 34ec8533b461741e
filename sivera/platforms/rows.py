"""Reading the rows of a reply one by one: an odd row is left out and named, the others are read."""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from sivera.clock import find_zone
from sivera.errors import InvalidReply, PlatformError
from sivera.values import (
    UNPRINTABLE,
    Campaign,
    CampaignListing,
    DailyMetrics,
    DailyTotal,
    DateWindow,
    MetricsReading,
    OddRow,
    PlatformName,
    TotalsReading,
)

RowT = TypeVar("RowT")

IDENTIFIER = re.compile(r"[0-9]{1,64}")
"""All four platforms use numbers; anything else could change the path of a URL."""
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
CURRENCY = re.compile(r"[A-Z]{3}")
CODE = re.compile(r"[0-9]{1,9}")
MAX_DIGITS = 19
EPOCH_MS_FROM = 100_000_000_000
"""Amazon documents 'epoch' without a unit. From here on it is milliseconds, as it would be the year 5138 in seconds."""
UNIX_TIME = re.compile(r"[0-9]{10}|[0-9]{13}")
"""A text of seconds or milliseconds. Eight digits are a day."""
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
"""An earlier time means none: Meta sends the Unix epoch (according to the SDK's repository), Amazon 0."""


def read_json(content: bytes) -> Any:
    """Parse JSON, or raise ValueError. Half a surrogate pair and NaN are accepted: `read_rows` leaves out their row."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        with suppress(RecursionError):
            return json.loads(content)
        raise


class Record:
    """A JSON object of a reply, read field by field.

    The methods raise InvalidReply, with the field's name, if a field is missing or not as documented. Numbers may be
    JSON numbers or text: recorded replies have both, regardless of the documentation.
    """

    __slots__ = ("_fields", "_path", "_platform")

    def __init__(self, platform: PlatformName, value: Any, path: str = "") -> None:
        self._platform, self._path = platform, path
        if not isinstance(value, dict):
            raise self.invalid("" if path else "an object")
        self._fields: dict[str, Any] = value

    def invalid(self, name: str) -> InvalidReply:
        """Return the error for a field that is missing or not as documented."""
        where = f"{self._path}{name}".rstrip(".")
        return InvalidReply(self._platform, f"sent a reply in which {where} is missing or not as documented")

    def get(self, name: str) -> Any:
        """Return a field as it is; None if it is absent."""
        return self._fields.get(name)

    def has(self, name: str) -> bool:
        """Whether the field exists and is not empty."""
        return bool(self._fields.get(name))

    def record(self, name: str) -> "Record":
        """Return an object."""
        return Record(self._platform, self._fields.get(name), f"{self._path}{name}.")

    def rows(self, name: str) -> list[Any]:
        """Return a list."""
        value = self._fields.get(name)
        if not isinstance(value, list):
            raise self.invalid(name)
        return value

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self._fields.get(name)
        if not isinstance(value, str) or not value:
            raise self.invalid(name)
        return value

    def optional(self, name: str) -> str | None:
        """Return a text; None if it is absent or empty."""
        return None if self._fields.get(name) in (None, "") else self.text(name)

    def identifier(self, name: str) -> str:
        """Return an id as text; numbers stay exact beyond 2^53."""
        value = self._fields.get(name)
        text = str(value) if type(value) in (int, str) else ""
        if not IDENTIFIER.fullmatch(text):
            raise self.invalid(name)
        return text

    def decimal(self, name: str) -> Decimal:
        """Return a number exactly as it was written."""
        value = self._fields.get(name)
        text = str(value) if type(value) in (int, float, str) else ""
        if not NUMBER.fullmatch(text) or (number := Decimal(text)).adjusted() >= MAX_DIGITS:
            raise self.invalid(name)
        return number

    def integer(self, name: str) -> int:
        """Return a whole number."""
        value = self._fields.get(name)
        if type(value) is str and value.isdecimal() and value.isascii() and len(value) < MAX_DIGITS:
            return int(value)  # the fast way, and most are like this
        number = self.decimal(name)
        if (whole := int(number)) != number:
            raise self.invalid(name)
        return whole

    def count(self, name: str) -> int:
        """Return a whole number that is not negative."""
        if (number := self.integer(name)) < 0:
            raise self.invalid(name)
        return number

    def time(self, name: str) -> datetime | None:
        """Return a time in ISO 8601 (UTC unless it names a zone) or Unix time; None if it is absent or zero."""
        value = self._fields.get(name)
        if type(value) is str and UNIX_TIME.fullmatch(value):
            value = int(value)
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                moment = datetime.fromtimestamp(value / 1000 if value >= EPOCH_MS_FROM else value, UTC)
            elif (text := self.optional(name)) is None:
                return None
            else:
                moment = datetime.fromisoformat(text)
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            raise self.invalid(name) from None
        return moment if moment >= EARLIEST else None

    def day(self, name: str) -> date | None:
        """Return a day, such as 2026-01-31, 20260131 or 2026-01-31 00:00:00; None if it is absent."""
        text = self.optional(name)
        try:
            return date.fromisoformat(text[:10]) if text else None
        except ValueError:
            raise self.invalid(name) from None

    def day_within(self, window: DateWindow, name: str) -> date:
        """Return a day of a window."""
        day = self.day(name)
        if day is None or not window.since <= day <= window.until:
            raise self.invalid(name)
        return day

    def currency(self, name: str) -> str:
        """Return a currency's ISO 4217 code; with any other text, amounts could be mistaken for cents."""
        if not CURRENCY.fullmatch(code := self.text(name)):
            raise self.invalid(name)
        return code

    def zone(self, name: str) -> str:
        """Return the name of a time zone that this machine knows."""
        if find_zone(zone := self.text(name)) is None:
            raise InvalidReply(self._platform, f"sent a {name} that this machine does not know; update tzdata")
        return zone


def list_of(platform: PlatformName, body: Any) -> list[Any]:
    """Return a reply that is a list, or raise InvalidReply."""
    if not isinstance(body, list):
        raise InvalidReply(platform, "sent a reply that is not a list")
    return body


def code_of(value: Any) -> int | None:
    """Return an error's code from a number or its text; None for anything else."""
    if type(value) is str and CODE.fullmatch(value):
        return int(value)
    return value if type(value) is int else None


def field_of(row: Any, path: str) -> Any:
    """Return a field by its dotted path; None if there is none."""
    for name in path.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def read_rows(
    platform: PlatformName,
    rows: Iterable[Any],
    read: Callable[[Record], RowT],
    *key: str,
    all_may_be_odd: bool = False,
) -> tuple[list[RowT], tuple[OddRow, ...]]:
    """Read rows one by one. Return their values, and the rows that are not as documented.

    `read` raises InvalidReply for an odd row. The fields of the `key` name a row for people.

    Raises:
        InvalidReply: Most rows are odd. With `all_may_be_odd`, that is not an error.
    """
    good: list[RowT] = []
    odd: list[OddRow] = []
    for row in rows:
        try:
            good.append(read(Record(platform, row)))
        except InvalidReply as error:
            odd.append(OddRow(id=_name_of(row, key), why=error.message))
        except ValidationError as error:
            fields = ", ".join(str(each["loc"][0]) for each in error.errors() if each["loc"])
            odd.append(OddRow(id=_name_of(row, key), why=f"sent a row with an impossible {fields or 'value'}"))
        except (ValueError, ArithmeticError):
            odd.append(OddRow(id=_name_of(row, key), why="sent a row with an impossible value"))
    if len(odd) > len(good) and not all_may_be_odd:
        raise InvalidReply(
            platform,
            f"sent {len(odd)} of {len(odd) + len(good)} rows that are not as documented; the first: {odd[0].why}",
        )
    return good, tuple(odd)


def _name_of(row: Any, key: Iterable[str]) -> str | None:
    text = " ".join(str(value) for path in key if isinstance(value := field_of(row, path), str | int))
    return UNPRINTABLE.sub("", text)[:64].encode(errors="replace").decode() or None


def campaigns_of(
    platform: PlatformName,
    rows: Iterable[Any],
    read: Callable[[Record], Campaign],
    *key: str,
    complete: bool = True,
    of_changes: bool = False,
) -> CampaignListing:
    """Read campaigns, each once; the listing is only `complete` if no row is odd.

    A listing `of_changes` is never complete, and all of its rows may be odd. Otherwise a single odd campaign that keeps
    changing would fail it every time.
    """
    found, odd = read_rows(platform, rows, read, *key, all_may_be_odd=of_changes)
    campaigns = {campaign.external_id: campaign for campaign in found}
    is_whole = complete and not of_changes and not odd
    return CampaignListing(campaigns=tuple(campaigns.values()), complete=is_whole, left_out=odd)


def metrics_of(
    platform: PlatformName, window: DateWindow, rows: Iterable[Any], read: Callable[[Record], DailyMetrics], *key: str
) -> MetricsReading:
    """Read figures: the last row of each campaign and day, without rows of zeros, which mean the same as no row."""
    found, odd = read_rows(platform, rows, read, *key)
    last = {(row.campaign_id, row.day): row for row in found}
    return MetricsReading(window=window, rows=tuple(filter(_says_something, last.values())), left_out=odd)


def _says_something(row: DailyMetrics) -> bool:
    return any((row.impressions, row.clicks, row.spend, row.conversions, row.conversion_value))


def totals_of(
    platform: PlatformName, rows: Iterable[Any], read: Callable[[Record], DailyTotal], *key: str
) -> TotalsReading:
    """Read an account's spend: the last row of each day."""
    totals, odd = read_rows(platform, rows, read, *key)
    return TotalsReading(days=tuple({total.day: total for total in totals}.values()), left_out=odd)


def unread(id_: str, error: PlatformError) -> OddRow:
    """Return the row for something that could not be read because of an error."""
    return OddRow(id=id_, why=f"cannot be read: {error.message}")
