"""The order in which a run takes its accounts: platforms take turns, and one that wants no calls is left waiting."""

from collections import Counter, deque
from collections.abc import Iterable

from sivera.breaker import Breaker
from sivera.sync.summary import DueAccount
from sivera.values import PlatformName


class AccountQueue:
    """The accounts that a run has yet to sync. Not for several threads.

    Args:
        accounts: In the order in which to take them.
        breaker: Says which platforms want no calls now.
        share: Of one platform at most so many are out at the same time while others can be called: one that is silent,
            or slow, must not hold every thread.
    """

    def __init__(self, accounts: Iterable[DueAccount], breaker: Breaker, share: int) -> None:
        self._breaker, self._share = breaker, share
        self._lanes: dict[PlatformName, deque[DueAccount]] = {}
        self._out: Counter[PlatformName] = Counter()
        for account in accounts:
            self._lanes.setdefault(account.platform, deque()).append(account)

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def take(self, most: int) -> list[DueAccount]:
        """Return up to so many accounts of platforms that may be called, the platforms taking turns."""
        taken: list[DueAccount] = []
        while len(taken) < most and (ready := self._ready()):
            for platform in ready[: most - len(taken)]:
                taken.append(self._lanes[platform].popleft())
                self._out[platform] += 1
        return taken

    def ended(self, account: DueAccount) -> None:
        """Note that an account that was taken has ended, however it has."""
        self._out[account.platform] -= 1

    def _ready(self) -> list[PlatformName]:
        callable_ = [name for name, lane in self._lanes.items() if lane and not self._breaker.seconds_left(name)]
        if len(callable_) == 1:
            return callable_
        return [name for name in callable_ if self._out[name] < self._share]

    def put_back(self, account: DueAccount) -> None:
        """Take an account again later, before those that have not been tried."""
        self._lanes[account.platform].appendleft(account)

    def seconds_to_wait(self) -> float:
        """Seconds until some account can be taken; 0 when one can be taken now, infinity when none is left."""
        waits = (self._breaker.seconds_left(platform) for platform, lane in self._lanes.items() if lane)
        return min(waits, default=float("inf"))
