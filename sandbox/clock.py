"""The sandbox's clock."""

from datetime import UTC, datetime, timedelta


class Clock:
    """The machine's time until a test sets another."""

    def __init__(self, fixed: datetime | None = None) -> None:
        self._fixed = fixed

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return self._fixed or datetime.now(UTC)

    def set(self, when: datetime) -> None:
        """Set the clock, and stop it."""
        self._fixed = when.astimezone(UTC)

    def advance(self, delta: timedelta) -> None:
        """Move the clock forward, and stop it."""
        self._fixed = self.now() + delta
