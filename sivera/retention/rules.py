"""The decisions of the cleanup as pure functions."""

from datetime import datetime, timedelta

from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.tables import TABLES

CLOCK_TOLERANCE = timedelta(minutes=1)
"""How far a clock may be set back."""


def cutoffs(options: CleanupOptions, now: datetime) -> dict[Kind, datetime]:
    """Return the time before which the rows of each kind are deleted."""
    return {kind: now - timedelta(days=options.days(kind)) for kind in Kind}


def end_of(kind: Kind, now: float, end: float) -> float:
    """Return when a kind stops that starts now: each takes half of the time left at most, and the last takes all."""
    return end if kind is list(Kind)[-1] else now + (end - now) / 2


def clock_refusal(now: datetime, last_run: datetime | None) -> str | None:
    """Return why the database's clock cannot be right, or None."""
    if last_run is None or last_run - now <= CLOCK_TOLERANCE:
        return None
    return (
        f"the database's clock says {_text(now)}, but the last run was at {_text(last_run)}: set the clock. If it was "
        "wrong at that run, delete the rows of cleanup_runs whose started_at is in the future"
    )


def everything_refusal(kind: Kind, cutoff: datetime, written_at: datetime | None, *, keeps_any: bool) -> str | None:
    """Return why a cutoff that leaves no row cannot be right, or None.

    A row that was written after the cutoff, or too shortly before it to have expired, must stay. If none does, the
    clock is wrong or the application writes wrong times.

    Args:
        kind: The kind.
        cutoff: Its cutoff.
        written_at: When its newest row was written, if there is one.
        keeps_any: Whether any row stays.
    """
    if keeps_any or written_at is None or written_at <= cutoff - TABLES[kind].shortest_life:
        return None
    return (
        f"every row of {kind.value} would be deleted, although one was written at {_text(written_at)} and the cutoff "
        f"is {_text(cutoff)}: check the clocks, and the times that the application writes"
    )


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
