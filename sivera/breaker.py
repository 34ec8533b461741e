"""The breaker: which calls this process leaves out for a while, since a platform said 'slow down' or is silent.

Every call passes through it, so it also counts the calls.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sivera.errors import Throttled, ThrottleScope
from sivera.values import PlatformName, Value

OUTAGE_AFTER = 8
"""This many unanswered calls in a row mean an outage. The retries of a single account are fewer."""

OUTAGE_SECONDS = 60.0

SHORTEST_SECONDS = 1.0
"""The wait if a platform says 'slow down' and names no time."""


@dataclass(frozen=True)
class Subject:
    """What a call is about: its kind, the ad account (the platform's id) and the user."""

    endpoint: str = ""
    account: str = ""
    user: str = ""

    def scopes(self) -> Iterator[tuple[ThrottleScope, str]]:
        """Yield the scopes of a 'slow down' that would stop this call, each with the name of what it stops."""
        yield ThrottleScope.PLATFORM, ""
        if self.endpoint:
            yield ThrottleScope.ENDPOINT, self.endpoint
        if self.user:
            yield ThrottleScope.USER, self.user
        if self.account:
            yield ThrottleScope.ACCOUNT, self.account
            yield ThrottleScope.ACCOUNT_ENDPOINT, f"{self.account} {self.endpoint}"


ANYTHING = Subject()
"""A call that only a 'slow down' for the whole platform stops."""


class Calls(Value):
    """The calls of this process to a platform.

    `api` counts calls that use up a quota, `login` calls for tokens, and `throttled` answers that said 'slow down'.
    `used_percent` is how much of its quota the platform last reported as used; None if it reports none.
    """

    api: int = 0
    login: int = 0
    throttled: int = 0
    used_percent: float | None = None

    def since(self, earlier: "Calls") -> "Calls":
        """Return the calls made after an earlier count."""
        added = {name: getattr(self, name) - getattr(earlier, name) for name in ("api", "login", "throttled")}
        return self.model_copy(update=added)


class Breaker:
    """Remembers which calls to leave out until when, and when a run is over. Threads may share it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waits: dict[tuple[PlatformName | None, ThrottleScope, str], tuple[float, str]] = {}
        self._unanswered: dict[PlatformName, int] = {}
        self._calls = dict.fromkeys(PlatformName, Calls())
        self._end = math.inf
        self._lock = threading.Lock()

    def open(
        self,
        platform: PlatformName,
        seconds: float,
        scope: ThrottleScope = ThrottleScope.PLATFORM,
        subject: Subject = ANYTHING,
        words: str = "asked us to slow down",
    ) -> None:
        """Leave out the calls that the scope names for this many seconds. This never shortens an earlier wait.

        `words` say what the platform did. If the subject lacks what the scope names, nothing happens, because only the
        call itself is concerned.
        """
        name = dict(subject.scopes()).get(scope)
        if name is None:
            return
        with self._lock:
            wait = (self._monotonic() + max(seconds, SHORTEST_SECONDS), f"it {words}")
            key = (platform, scope, name)
            self._waits[key] = max(wait, self._waits.get(key, wait))

    def stop_at(self, moment: float) -> None:
        """Allow no calls after the run's deadline, a time of the monotonic clock."""
        self._end = moment

    def record(self, platform: PlatformName, *, answered: bool) -> None:
        """Record whether a call was answered. An outage opens the breaker, and each later failure opens it again."""
        with self._lock:
            unanswered = self._unanswered[platform] = 0 if answered else self._unanswered.get(platform, 0) + 1
        if unanswered >= OUTAGE_AFTER:
            self.open(platform, OUTAGE_SECONDS, words="does not answer")

    def count(self, platform: PlatformName, *, api: int = 0, login: int = 0, throttled: int = 0) -> None:
        """Add to the calls of a platform."""
        with self._lock:
            had = self._calls[platform]
            more = {"api": had.api + api, "login": had.login + login, "throttled": had.throttled + throttled}
            self._calls[platform] = had.model_copy(update=more)

    def note_usage(self, platform: PlatformName, percent: float) -> None:
        """Record how much of its quota a platform reports as used."""
        with self._lock:
            self._calls[platform] = self._calls[platform].model_copy(update={"used_percent": percent})

    def calls(self) -> dict[PlatformName, Calls]:
        """Return the calls so far."""
        with self._lock:
            return dict(self._calls)

    def silent(self) -> frozenset[PlatformName]:
        """Return the platforms that seem to be down, because at least their last `OUTAGE_AFTER` calls had no answer."""
        with self._lock:
            return frozenset(name for name, count in self._unanswered.items() if count >= OUTAGE_AFTER)

    def seconds_left(self, platform: PlatformName | None) -> float:
        """Return the seconds until the platform may be called, infinity once the run is over.

        None stands for work without calls, which only the end of the run stops.
        """
        return self._wait(platform, ANYTHING)[0]

    def check(self, platform: PlatformName, subject: Subject = ANYTHING) -> None:
        """Raise Throttled if this call must not be made now."""
        seconds, why, scope = self._wait(platform, subject)
        if seconds > 0:
            raise Throttled(platform, f"put off: {why}", None, seconds, scope)

    def _wait(self, platform: PlatformName | None, subject: Subject) -> tuple[float, str, ThrottleScope]:
        """Return the longest wait that applies to a subject, its reason and its scope."""
        now = self._monotonic()
        if now >= self._end:
            return math.inf, "the run is over", ThrottleScope.PLATFORM
        with self._lock:
            waits = [(*self._waits.get((platform, *key), (now, "")), key[0]) for key in subject.scopes()]
        until, why, scope = max(waits, key=lambda wait: wait[0])
        return max(0.0, until - now), why, scope
