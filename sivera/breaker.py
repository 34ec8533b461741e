"""The breaker: a platform that says 'slow down', or no longer answers, is left alone for a while by this process.

Every call passes it, so it also counts them.
"""

import math
import threading
import time
from collections.abc import Callable

from sivera.errors import Throttled
from sivera.values import PlatformName, Value

OUTAGE_AFTER = 8
"""So many calls in a row without an answer are taken for an outage; one account's retries alone do not reach it."""

OUTAGE_SECONDS = 60.0

SHORTEST_SECONDS = 1.0
"""A platform that asks to wait for no time at all is still not to be asked again at once."""


class Calls(Value):
    """What this process has called of a platform.

    `api` counts calls that a quota counts, `login` those for tokens, and `throttled` the answers that said 'slow down'.
    `used_percent` is how much of its quota the platform last said to be used, None where it says nothing.
    """

    api: int = 0
    login: int = 0
    throttled: int = 0
    used_percent: float | None = None

    def since(self, earlier: "Calls") -> "Calls":
        """Return what was called after an earlier count."""
        return Calls(
            api=self.api - earlier.api,
            login=self.login - earlier.login,
            throttled=self.throttled - earlier.throttled,
            used_percent=self.used_percent,
        )


class Breaker:
    """Remembers until when each platform is not to be called, and when a run is over. Safe to share between threads.

    Args:
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._open_until: dict[PlatformName | None, float] = {}
        self._unanswered: dict[PlatformName, int] = {}
        self._calls = dict.fromkeys(PlatformName, Calls())
        self._end = math.inf
        self._lock = threading.Lock()

    def open(self, platform: PlatformName, seconds: float) -> None:
        """Keep everyone from calling the platform for so many seconds; never shortens an earlier wish."""
        with self._lock:
            until = self._monotonic() + max(seconds, SHORTEST_SECONDS)
            self._open_until[platform] = max(until, self._open_until.get(platform, until))

    def stop_at(self, moment: float) -> None:
        """Let nobody call any platform from a moment of the monotonic clock on: a run's deadline."""
        self._end = moment

    def record(self, platform: PlatformName, *, answered: bool) -> None:
        """Note whether a call was answered; an outage opens the breaker, and again at each probe that fails."""
        with self._lock:
            unanswered = self._unanswered[platform] = 0 if answered else self._unanswered.get(platform, 0) + 1
        if unanswered >= OUTAGE_AFTER:
            self.open(platform, OUTAGE_SECONDS)

    def count(self, platform: PlatformName, *, api: int = 0, login: int = 0, throttled: int = 0) -> None:
        """Add to what was called of a platform."""
        with self._lock:
            had = self._calls[platform]
            more = {"api": had.api + api, "login": had.login + login, "throttled": had.throttled + throttled}
            self._calls[platform] = had.model_copy(update=more)

    def note_usage(self, platform: PlatformName, percent: float) -> None:
        """Note how much of its quota a platform says to be used."""
        with self._lock:
            self._calls[platform] = self._calls[platform].model_copy(update={"used_percent": percent})

    def calls(self) -> dict[PlatformName, Calls]:
        """What was called so far."""
        with self._lock:
            return dict(self._calls)

    def silent(self) -> frozenset[PlatformName]:
        """The platforms that have left so many calls in a row without an answer that they are taken to be down."""
        with self._lock:
            return frozenset(name for name, count in self._unanswered.items() if count >= OUTAGE_AFTER)

    def seconds_left(self, platform: PlatformName | None) -> float:
        """Seconds until the platform may be called again; 0 for now, infinity once the run is over.

        None stands for work that calls no platform: only the run's end holds it up.
        """
        now = self._monotonic()
        if now >= self._end:
            return math.inf
        with self._lock:
            return max(0.0, self._open_until.get(platform, 0.0) - now)

    def check(self, platform: PlatformName) -> None:
        """Raise Throttled if the platform is not to be called now."""
        if (seconds := self.seconds_left(platform)) > 0:
            why = "put off: the platform asked us to slow down, is down, or the run is over"
            raise Throttled(platform, why, None, seconds)
