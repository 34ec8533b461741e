"""The order in which a run takes its work: platforms take turns, and one that takes no calls waits."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from sivera.breaker import Breaker
from sivera.values import PlatformName


class OfPlatform(Protocol):
    """A piece of work that calls at most one platform, such as an account to sync or a grant to renew."""

    @property
    def platform(self) -> PlatformName | None:
        """The platform; None if the work calls none."""


ItemT = TypeVar("ItemT", bound=OfPlatform)


class WorkQueue(Generic[ItemT]):
    """The items that a run has not taken yet, in the order in which to take them. Threads may not share it.

    While other platforms can be called, at most `share` items of one platform are out at once, so a slow or silent
    platform cannot occupy every thread.
    """

    def __init__(
        self, items: Iterable[ItemT], breaker: Breaker, share: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._breaker, self._share, self._monotonic = breaker, share, monotonic
        self._later: list[tuple[float, ItemT]] = []
        self._lanes: dict[PlatformName | None, deque[ItemT]] = {}
        self._out: Counter[PlatformName | None] = Counter()
        for item in items:
            self._lanes.setdefault(item.platform, deque()).append(item)

    def take(self, most: int) -> list[ItemT]:
        """Return at most this many items of platforms that may be called, in turns."""
        now = self._monotonic()
        for each in [each for each in self._later if each[0] <= now]:
            self._later.remove(each)
            self._lanes[each[1].platform].appendleft(each[1])
        taken: list[ItemT] = []
        while len(taken) < most and (ready := self._ready()):
            for platform in ready[: most - len(taken)]:
                taken.append(self._lanes[platform].popleft())
                self._out[platform] += 1
        return taken

    def ended(self, item: ItemT) -> None:
        """Record that a taken item has ended, successfully or not."""
        self._out[item.platform] -= 1

    def _ready(self) -> list[PlatformName | None]:
        callable_ = [name for name, lane in self._lanes.items() if lane and not self._breaker.seconds_left(name)]
        if len(callable_) == 1:
            return callable_
        return [name for name in callable_ if self._out[name] < self._share]

    def put_back(self, item: ItemT, seconds: float = 0.0) -> None:
        """Return an item to the queue: after this many seconds it comes before those not tried yet."""
        self._later.append((self._monotonic() + seconds, item))

    def seconds_to_wait(self) -> float:
        """Return the seconds until an item can be taken: 0 for now, infinity if none is left."""
        waits = [self._breaker.seconds_left(platform) for platform, lane in self._lanes.items() if lane]
        now = self._monotonic()
        waits += [max(0.0, at - now, self._breaker.seconds_left(item.platform)) for at, item in self._later]
        return min(waits, default=float("inf"))
