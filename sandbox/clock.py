"""The sandbox's clock."""

from datetime import UTC, datetime, timedelta


class Clock:
    """The machine's time until a test sets it."""

    def __init__(self, fixed: datetime | None = None) -> None:
        self._fixed = fixed

    def now(self) -> datetime:
        """Return the platforms' time, in UTC."""
        return self._fixed or datetime.now(UTC)

    def set(self, when: datetime) -> None:
        """Stop the clock at a time."""
        self._fixed = when.astimezone(UTC)

    def advance(self, delta: timedelta) -> None:
        """Move the clock forward; it stands still from then on."""
        self._fixed = self.now() + delta
