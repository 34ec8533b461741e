"""Faults to inject into the sandbox, and the count of its calls."""

import gzip
import json
from collections import Counter, deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from sivera.values import PlatformName


class FaultKind(StrEnum):
    """How a call goes wrong."""

    THROTTLE = "throttle"
    """The platform's throttling error, which asks for a wait of `seconds`."""
    STATUS = "status"
    """HTTP `status` with the platform's own error body."""
    HTML = "html"
    """HTTP `status` with a gateway's HTML page instead of JSON."""
    TRUNCATED = "truncated"
    """The right answer, cut in half."""
    BODY = "body"
    """HTTP `status` with `value` as JSON."""
    HANG = "hang"
    """No answer, ever."""
    DISCONNECT = "disconnect"
    """The call takes effect, then the connection closes without an answer."""
    LATE_THROTTLE = "late_throttle"
    """The call takes effect, but the answer is the platform's throttling error."""
    EMPTY_PAGE = "empty_page"
    """A page without rows that still links to a next one."""
    ODD_ROW = "odd_row"
    """The right answer, but `field` is `value` in the rows with the id `match`, or in all rows without `match`."""


ABSENT: Any = object()
"""The `value` that leaves a field out of its row."""


@dataclass(config=ConfigDict(extra="forbid"))
class Fault:
    """A rule: calls of this platform and operation that contain `match` go wrong, at most `times` of them.

    For an odd row, `match` is an id in the row, and `field` a name or a dotted path (`budget.budgetType`). The field
    becomes `value`, or is left out without one. Without `field`, the same happens to the whole row.
    """

    kind: FaultKind
    platform: PlatformName | None = None
    operation: str | None = None
    match: str | None = None
    times: int | None = None
    status: int = 503
    seconds: float = 30.0
    field: str = ""
    value: Any = ABSENT

    def is_about(self, platform: PlatformName, operation: str) -> bool:
        """Whether the rule still applies to such calls."""
        return self.times != 0 and self.platform in (None, platform) and self.operation in (None, operation)

    def use(self) -> None:
        """Count one use of the rule."""
        if self.times is not None:
            self.times -= 1


class Faults:
    """The active rules, the latency, and the number of calls."""

    def __init__(self) -> None:
        self.latency_seconds = 0.0
        self.rules: list[Fault] = []
        self.calls: Counter[tuple[PlatformName, str]] = Counter()
        self.log: deque[tuple[PlatformName, str, str]] = deque(maxlen=10_000)

    def add(self, fault: Fault) -> None:
        """Add a rule after the existing ones."""
        self.rules.append(fault)

    def clear(self) -> None:
        """Remove all rules and latency; the counts stay."""
        self.rules.clear()
        self.latency_seconds = 0.0

    def take(self, platform: PlatformName, operation: str, text: str) -> Fault | None:
        """Count a call and return the fault that applies to it, if any."""
        self.calls[platform, operation] += 1
        self.log.append((platform, operation, text))
        for rule in self.rules:
            is_meant = rule.is_about(platform, operation) and (rule.match is None or rule.match in text)
            if rule.kind is not FaultKind.ODD_ROW and is_meant:
                rule.use()
                return rule
        return None

    def odd_rows(self, platform: PlatformName, operation: str) -> list[Fault]:
        """Return the rules for odd rows in the answers to such calls."""
        return [r for r in self.rules if r.kind is FaultKind.ODD_ROW and r.is_about(platform, operation)]

    def count(self, platform: PlatformName, operation: str | None = None) -> int:
        """Return the number of calls of a platform, or of one of its operations."""
        calls = list(self.calls.items())  # another thread may add to it meanwhile
        return sum(n for (p, o), n in calls if p is platform and operation in (None, o))


GZIP_MAGIC = b"\x1f\x8b"


def spoil(content: bytes, rules: list[Fault]) -> bytes:
    """Return an answer with its matching rows made odd, and count a use of each rule that matched."""
    zipped = content.startswith(GZIP_MAGIC)
    body = json.loads(gzip.decompress(content) if zipped else content)
    applied = [rule for rule in rules if _apply(body, rule)]
    for rule in applied:
        rule.use()
    if not applied:
        return content
    # An ASCII escape can hold half of a surrogate pair; UTF-8 cannot.
    text = json.dumps(body, separators=(",", ":")).encode()
    return gzip.compress(text, compresslevel=1, mtime=0) if zipped else text


def _apply(body: Any, rule: Fault) -> bool:
    """Make the matching rows odd in place; return whether there were any."""
    found = False
    for rows in list(_lists(body)):
        for place, row in reversed(list(enumerate(rows))):
            if not isinstance(row, dict) or not _is_named(row, rule.match):
                continue
            if rule.field:
                found = _change_field(row, rule) or found
            else:
                rows[place : place + 1] = [] if rule.value is ABSENT else [rule.value]
                found = True
    return found


def _lists(value: Any) -> Iterator[list[Any]]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _lists(inner)
    if isinstance(value, list):
        yield value


def _is_named(row: dict[str, Any], match: str | None) -> bool:
    """Whether the id is among the row's values or those of objects in it; without an id, every row matches."""
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
