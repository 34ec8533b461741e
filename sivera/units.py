"""Durations, sizes and counts for people to read, in the terminal, in pages and in messages."""

from datetime import timedelta
from itertools import pairwise

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
STEP = 1024


def duration(length: timedelta | float) -> str:
    """Return a duration (or a number of seconds) in its two largest units: `48 s`, `3 min 04 s`, `2 d 07 h`."""
    seconds = max(0, round(length.total_seconds() if isinstance(length, timedelta) else length))
    for (large, of_large), (small, of_small) in pairwise(UNITS):
        if seconds >= of_large:
            count, rest = seconds // of_large, seconds % of_large // of_small
            return f"{count} {large}" + (f" {rest:02} {small}" if rest else "")
    return f"{seconds} s"


def size(count: float) -> str:
    """Return a number of bytes in a suitable unit, such as `12 kB` (of 1,024 bytes each)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < STEP:
            return f"{count:.0f} {unit}"
        count /= STEP
    return f"{count:.1f} TB"


def counted(number: int, noun: str) -> str:
    """Return a number with a noun, such as `1 run` or `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
