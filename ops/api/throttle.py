"""The slow-down of guesses at the secret: so many wrong ones at once, and then one now and then."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

ADDRESSES = 1024
"""At most so many clients are remembered; who is forgotten is still held back by the total."""

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Allowance:
    """How many wrong attempts may be made at once, and after how many seconds each comes back."""

    burst: int
    seconds: float

    def wait(self, spent: float, now: float) -> float:
        """Return the seconds until the next attempt may be made; all that was spent is back at the time `spent`."""
        return max(0.0, spent - now - (self.burst - 1) * self.seconds)

    def spend(self, spent: float, now: float) -> float:
        """Return `spent` after one more wrong attempt."""
        return max(spent, now) + self.seconds


# A forgotten job on the same machine that still sends an old secret every ten seconds holds nobody up.
EACH = Allowance(burst=10, seconds=6)
TOTAL = Allowance(burst=100, seconds=1)


class Throttle:
    """Remembers who was wrong, within bounds, and says how long each has to wait for the next attempt.

    An attempt that has to wait must not be looked at: else a guess could be made while waiting. Who has sent the right
    secret is not held back by what others do.

    Args:
        clock: Seconds that only go forward.
        each: What one client may do.
        total: What all clients may do that have not sent the right secret yet.
    """

    def __init__(self, clock: Callable[[], float], each: Allowance = EACH, total: Allowance = TOTAL) -> None:
        self._clock, self._each, self._total = clock, each, total
        self._spent: OrderedDict[str, float] = OrderedDict()
        self._trusted: OrderedDict[str, None] = OrderedDict()
        self._total_spent = 0.0

    def wait(self, client: str) -> float:
        """Return the seconds until this client may try; 0 is now."""
        now = self._clock()
        own = self._each.wait(self._spent.get(client, 0.0), now)
        return own if client in self._trusted else max(own, self._total.wait(self._total_spent, now))

    def failed(self, client: str) -> None:
        """Take down a wrong attempt."""
        now = self._clock()
        _remember(self._spent, client, self._each.spend(self._spent.get(client, 0.0), now))
        self._total_spent = self._total.spend(self._total_spent, now)

    def passed(self, client: str) -> None:
        """Take down a right attempt."""
        _remember(self._trusted, client, None)


def client_of(address: str | None) -> str:
    """Return whom to remember an address as: an IPv6 client has a whole network of 64 bits to itself."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def _remember(kept: OrderedDict[str, Kept], client: str, value: Kept) -> None:
    kept[client] = value
    kept.move_to_end(client)
    while len(kept) > ADDRESSES:
        kept.popitem(last=False)
