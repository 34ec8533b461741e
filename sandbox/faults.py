"""What can go wrong in the sandbox, and how often each call was made."""

import gzip
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sivera.values import PlatformName


class FaultKind(StrEnum):
    """How a call goes wrong."""

    THROTTLE = "throttle"
    """The platform's own 'slow down', with `seconds` as the wait that it names."""
    STATUS = "status"
    """HTTP `status` with the platform's own error body."""
    HTML = "html"
    """HTTP `status` with a page instead of JSON, as a gateway sends."""
    TRUNCATED = "truncated"
    """The right answer, cut in half."""
    BODY = "body"
    """HTTP `status` with `value` as JSON."""
    MALFORMED = "malformed"
    """HTTP 200 with JSON of another shape."""
    HANG = "hang"
    """No answer, ever."""
    DISCONNECT = "disconnect"
    """The call takes effect, then the connection closes without an answer."""
    LATE_THROTTLE = "late_throttle"
    """The call takes effect, but the answer is the platform's 'slow down'."""
    PENDING = "pending"
    """The report is not ready, however long ago it was requested (Amazon)."""
    EMPTY_PAGE = "empty_page"
    """A page without rows that still leads to a next one."""
    ODD_ROW = "odd_row"
    """The right answer, but in the rows that contain the id `match` (in all, without one) `field` is `value`."""


ABSENT: Any = object()
"""The `value` of a field that is left out of the row."""


@dataclass
class Fault:
    """A rule: calls of this platform and operation that contain `match` go wrong; with `times`, only the first ones.

    For an odd row, `match` is an id in the row, and `field` a name or a dotted path (`budget.budgetType`). The field
    gets `value`, or is left out if there is no `value`. Without `field`, that happens to the row itself.
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

    def concerns(self, platform: PlatformName, operation: str, text: str) -> bool:
        """Whether the rule applies to this call."""
        return self.is_about(platform, operation) and (self.match is None or self.match in text)

    def is_about(self, platform: PlatformName, operation: str) -> bool:
        """Whether the rule still applies to such calls."""
        return self.times != 0 and self.platform in (None, platform) and self.operation in (None, operation)


@dataclass
class Quota:
    """At most `calls` (1 or more) in any `seconds` (above 0); further calls are throttled."""

    calls: int
    seconds: float
    made: deque[float] = field(default_factory=deque)

    def wait_for(self, now: float) -> float:
        """Count a call at `now` (seconds); return 0, or the seconds to wait if it is one too many."""
        while self.made and self.made[0] <= now - self.seconds:
            self.made.popleft()
        if len(self.made) >= self.calls:
            return self.made[0] + self.seconds - now
        self.made.append(now)
        return 0.0


class Faults:
    """The active rules, the quotas, the latency, and the number of calls. Safe to share between threads."""

    def __init__(self) -> None:
        self.latency_seconds = 0.0
        self.quotas: dict[PlatformName, Quota] = {}
        self.rules: list[Fault] = []
        self.calls: Counter[tuple[PlatformName, str]] = Counter()
        self.log: deque[tuple[PlatformName, str, str]] = deque(maxlen=10_000)
        self._lock = threading.RLock()

    def add(self, fault: Fault) -> None:
        """Add a rule after the existing ones."""
        with self._lock:
            self.rules.append(fault)

    def clear(self) -> None:
        """Remove all rules, quotas and latency; the counts stay."""
        with self._lock:
            self.rules.clear()
            self.quotas.clear()
            self.latency_seconds = 0.0

    def take(self, platform: PlatformName, operation: str, text: str, now: float) -> Fault | None:
        """Count a call and return the fault that applies to it, if any."""
        with self._lock:
            self.calls[platform, operation] += 1
            self.log.append((platform, operation, text))
            for rule in self.rules:
                if rule.kind is not FaultKind.ODD_ROW and rule.concerns(platform, operation, text):
                    self.use(rule)
                    return rule
            quota = self.quotas.get(platform)
            if quota is not None and (seconds := quota.wait_for(now)) > 0:
                return Fault(FaultKind.THROTTLE, platform, operation, seconds=seconds)
            return None

    def odd_rows(self, platform: PlatformName, operation: str) -> list[Fault]:
        """Return the rules for odd rows in the answers to such calls; `use` those that made a row odd."""
        with self._lock:
            return [r for r in self.rules if r.kind is FaultKind.ODD_ROW and r.is_about(platform, operation)]

    def use(self, rule: Fault) -> None:
        """Count one use of a rule."""
        with self._lock:
            if rule.times is not None:
                rule.times -= 1

    def count(self, platform: PlatformName, operation: str | None = None) -> int:
        """Return the number of calls of a platform, or of one of its operations."""
        with self._lock:
            return sum(n for (p, o), n in self.calls.items() if p is platform and operation in (None, o))


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
