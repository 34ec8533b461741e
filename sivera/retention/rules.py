"""The decisions of cleanup-expired-tokens, as pure functions: facts in, decision out."""

from datetime import datetime, timedelta

from sivera.retention.options import CleanupOptions, Kind
from sivera.values import Value

CLOCK_TOLERANCE = timedelta(minutes=1)
"""By how much two clocks may differ, and by how much a clock may be set back."""

LONGEST_PAUSE = timedelta(days=2, hours=1)
"""A daily job that did not run for longer was paused, or the clock leapt: only a person can tell."""

SHORTEST_LIFE: dict[Kind, timedelta] = dict.fromkeys(Kind, timedelta(0)) | {
    # A login at a platform takes minutes: RFC 6749 gives the code that follows it at most ten.
    Kind.OAUTH_STATES: timedelta(minutes=5),
    # OWASP's advice for idle sessions is 15 to 30 minutes, and less only where much is at stake.
    Kind.SESSIONS: timedelta(minutes=15),
}
"""No row expires so soon after it was written."""

TARGET_SECONDS = 0.05
"""What a batch is to take: half of what another writer may have to wait for a row of it."""

FIRST_SIZE, SMALLEST_SIZE, LARGEST_SIZE = 500, 50, 50_000

WINDOW_SIZE = 100_000
"""So many keys are read at once: the more there are, the closer together their rows lie in the table."""

SMALLEST_WINDOW = 1_000

CHUNK_SIZE = SMALLEST_SIZE
"""A batch is made of so many rows at a time."""

LOCK_SECONDS = 0.05
"""What a batch may wait for a row that somebody has locked, while others may wait for its own."""

BATCH_TIMEOUT_SECONDS = 1.0
"""A statement of a batch that takes longer is cancelled, and its batch rolled back."""

COUNT_SECONDS = 2.0
"""What it may take at most to count what a run leaves of a kind."""

SHARE = 1 / (2 * len(Kind))
"""What is kept of a run's time for each kind that is still to come: half of it is shared out, half is anyone's."""

WINDOW_TIMEOUT_SECONDS = 4.0
"""A reading of keys that takes longer is cancelled; it locks nothing."""

MOST_MISSES = 3
"""So many batches in a row that are rolled back end the kind."""


class ClockReading(Value):
    """The worker's clock right before and after the database's was read, and when the last run was by the latter."""

    before: datetime
    database: datetime
    after: datetime
    last_run: datetime | None


class Freshness(Value):
    """When the newest row of a kind was written, if there is one, and whether any row would stay."""

    written_at: datetime | None
    keeps_any: bool


def cutoffs(options: CleanupOptions, now: datetime) -> dict[Kind, datetime]:
    """Return the time of each kind before which its rows go."""
    return {kind: now - timedelta(days=options.days(kind)) for kind in Kind}


def end_of(kind: Kind, seconds: float) -> float:
    """Return how long after a run's begin no batch of a kind is begun, where none at all is after so many seconds.

    So a kind that is too large for a run leaves each that follows its share.
    """
    following = len(Kind) - 1 - list(Kind).index(kind)
    return seconds * (1 - SHARE * following)


def count_seconds(seconds: float) -> float:
    """Return what counting what is left of a kind may take: half a share, so that the next kind has the other half."""
    return min(COUNT_SECONDS, seconds * SHARE / 2)


def clock_refusal(clock: ClockReading, *, confirmed: bool) -> str | None:
    """Say why the clock is not believed, or None; `confirmed` if a person has seen that it is right."""
    skew = max(clock.before - clock.database, clock.database - clock.after)
    if skew > CLOCK_TOLERANCE:
        return (
            f"the worker's clock says {_text(clock.before)} and the database's {_text(clock.database)}: "
            "set the one that is wrong"
        )
    if clock.last_run is None:
        return None
    if clock.last_run - clock.database > CLOCK_TOLERANCE:
        return (
            f"the database's clock says {_text(clock.database)}, and a run was at {_text(clock.last_run)}: set the "
            "clock, or, if it was wrong then, delete the rows of cleanup_runs whose started_at lies ahead"
        )
    if clock.database - clock.last_run > LONGEST_PAUSE and not confirmed:
        return (
            f"the database's clock says {_text(clock.database)}, and the last run was at {_text(clock.last_run)}: "
            "if the clock is right, run once with the option clock_confirmed"
        )
    return None


def everything_refusal(kind: Kind, cutoff: datetime, found: Freshness) -> str | None:
    """Say why a cutoff that would leave nothing is not believed, or None.

    A row that was written after the cutoff, or too shortly before it to have expired, must stay. Where none does, the
    clock or what the application writes is wrong.
    """
    if found.keeps_any or found.written_at is None or found.written_at <= cutoff - SHORTEST_LIFE[kind]:
        return None
    return (
        f"nothing would stay of {kind.value}, although one was written at {_text(found.written_at)} and the cutoff is "
        f"{_text(cutoff)}: look at the clocks, and at the times that the application writes"
    )


def next_size(size: int, seconds: float) -> int:
    """Return how many rows the next batch takes, after one of `size` rows that took so many seconds."""
    factor = min(2.0, max(0.5, TARGET_SECONDS / max(seconds, 1e-9)))
    return min(LARGEST_SIZE, max(SMALLEST_SIZE, round(size * factor)))


def smaller_size(size: int) -> int:
    """Return how many rows the next batch takes, after one of `size` rows that was rolled back."""
    return max(SMALLEST_SIZE, size // 4)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
