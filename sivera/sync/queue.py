"""The order in which a run takes its accounts: platforms take turns, and one that wants no calls is left waiting."""

from collections import deque
from collections.abc import Iterable

from sivera.breaker import Breaker
from sivera.sync.summary import DueAccount
from sivera.values import PlatformName


class AccountQueue:
    """The accounts that a run has yet to sync. Not for several threads.

    Args:
        accounts: In the order in which to take them.
        breaker: Says which platforms want no calls now.
    """

    def __init__(self, accounts: Iterable[DueAccount], breaker: Breaker) -> None:
        self._breaker = breaker
        self._lanes: dict[PlatformName, deque[DueAccount]] = {}
        for account in accounts:
            self._lanes.setdefault(account.platform, deque()).append(account)

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def take(self, most: int) -> list[DueAccount]:
        """Return up to so many accounts of platforms that may be called, the platforms taking turns."""
        taken: list[DueAccount] = []
        lanes = [lane for platform, lane in self._lanes.items() if not self._breaker.seconds_left(platform)]
        while len(taken) < most and any(lanes):
            for lane in filter(None, lanes):
                taken.append(lane.popleft())
                if len(taken) == most:
                    break
        return taken

    def put_back(self, account: DueAccount) -> None:
        """Take an account again later, before those that have not been tried."""
        self._lanes[account.platform].appendleft(account)

    def seconds_to_wait(self) -> float:
        """Seconds until some account can be taken; 0 when one can be taken now, infinity when none is left."""
        waits = (self._breaker.seconds_left(platform) for platform, lane in self._lanes.items() if lane)
        return min(waits, default=float("inf"))
