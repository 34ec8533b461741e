"""The breaker: once a platform says 'slow down', nobody in this process calls it until the time it named."""

import threading
import time
from collections.abc import Callable

from sivera.errors import Throttled
from sivera.values import PlatformName


class Breaker:
    """Remembers, per platform, until when it wants no calls. Safe to share between threads.

    Args:
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._open_until: dict[PlatformName, float] = {}
        self._lock = threading.Lock()

    def open(self, platform: PlatformName, seconds: float) -> None:
        """Keep everyone from calling the platform for so many seconds; never shortens an earlier wish."""
        with self._lock:
            until = self._monotonic() + seconds
            self._open_until[platform] = max(until, self._open_until.get(platform, until))

    def seconds_left(self, platform: PlatformName) -> float:
        """Seconds until the platform may be called again; 0 when it may be called now."""
        with self._lock:
            return max(0.0, self._open_until.get(platform, 0.0) - self._monotonic())

    def check(self, platform: PlatformName) -> None:
        """Raise Throttled if the platform wants no calls now."""
        if (seconds := self.seconds_left(platform)) > 0:
            raise Throttled(platform, "put off: the platform asked us to slow down", None, seconds)
