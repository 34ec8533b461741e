"""The breaker: a platform that says 'slow down', or no longer answers, is left alone for a while by this process."""

import threading
import time
from collections.abc import Callable

from sivera.errors import Throttled
from sivera.values import PlatformName

OUTAGE_AFTER = 8
"""So many calls in a row without an answer are taken for an outage; one account's retries alone do not reach it."""

OUTAGE_SECONDS = 60.0

SHORTEST_SECONDS = 1.0
"""A platform that asks to wait for no time at all is still not to be asked again at once."""


class Breaker:
    """Remembers, per platform, until when it is not to be called. Safe to share between threads.

    Args:
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._open_until: dict[PlatformName, float] = {}
        self._unanswered: dict[PlatformName, int] = {}
        self._lock = threading.Lock()

    def open(self, platform: PlatformName, seconds: float) -> None:
        """Keep everyone from calling the platform for so many seconds; never shortens an earlier wish."""
        with self._lock:
            until = self._monotonic() + max(seconds, SHORTEST_SECONDS)
            self._open_until[platform] = max(until, self._open_until.get(platform, until))

    def record(self, platform: PlatformName, *, answered: bool) -> None:
        """Note whether a call was answered; an outage opens the breaker, and again at each probe that fails."""
        with self._lock:
            unanswered = self._unanswered[platform] = 0 if answered else self._unanswered.get(platform, 0) + 1
        if unanswered >= OUTAGE_AFTER:
            self.open(platform, OUTAGE_SECONDS)

    def seconds_left(self, platform: PlatformName) -> float:
        """Seconds until the platform may be called again; 0 when it may be called now."""
        with self._lock:
            return max(0.0, self._open_until.get(platform, 0.0) - self._monotonic())

    def check(self, platform: PlatformName) -> None:
        """Raise Throttled if the platform is not to be called now."""
        if (seconds := self.seconds_left(platform)) > 0:
            raise Throttled(platform, "put off: the platform asked us to slow down, or is down", None, seconds)
