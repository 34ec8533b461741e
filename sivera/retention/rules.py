"""The decisions of the cleanup as pure functions, and its plan and summary."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Self

from sivera.reasons import reason_for
from sivera.retention.options import CleanupOptions, Kind
from sivera.values import Value

CLOCK_TOLERANCE = timedelta(minutes=1)
"""By how much the clock may be behind the last run."""


class CleanupPlan(Value):
    """The cutoff of each kind: older rows are deleted, unless `refused` gives a reason."""

    dry_run: bool
    cutoffs: dict[Kind, datetime]
    refused: str | None = None


class KindResult(Value):
    """What a run did with one kind.

    `remaining` counts the rows that are still due; None if they were not counted. `refused` is why nothing was deleted,
    `failed` why the work stopped.
    """

    kind: Kind
    cutoff: datetime
    deleted: int = 0
    remaining: int | None = None
    refused: str | None = None
    failed: str | None = None

    @property
    def left(self) -> str:
        """The rows that are still due, in words; empty if there are none or it failed."""
        if self.remaining == 0 or self.refused or self.failed:
            return ""
        return f"{self.kind.value} (not counted)" if self.remaining is None else f"{self.remaining} {self.kind.value}"


class CleanupSummary(Value):
    """What a run did."""

    dry_run: bool
    kinds: tuple[KindResult, ...]

    @classmethod
    def of(cls, plan: CleanupPlan, results: Mapping[Kind, object]) -> Self:
        """Summarize what the cleanup of each kind returned or raised."""
        kinds = [
            found
            if isinstance(found, KindResult)
            else KindResult(kind=kind, cutoff=plan.cutoffs[kind], failed=reason_for(found).rstrip("."))
            for kind, found in results.items()
        ]
        return cls(dry_run=plan.dry_run, kinds=tuple(kinds))

    @property
    def deleted(self) -> int:
        """How many rows were deleted."""
        return sum(one.deleted for one in self.kinds)

    @property
    def failures(self) -> tuple[KindResult, ...]:
        """The kinds that were refused or failed."""
        return tuple(one for one in self.kinds if one.refused or one.failed)

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        if len({one.refused for one in self.kinds}) == 1 and (reason := self.kinds[0].refused):
            return f"refused: {reason}"
        left = ", ".join(filter(None, (one.left for one in self.kinds)))
        if self.dry_run:
            parts = [f"dry run, nothing deleted; due: {left or 'nothing'}"]
        else:
            gone = ", ".join(f"{one.deleted} {one.kind.value}" for one in self.kinds if one.deleted)
            parts = [f"deleted {gone or 'nothing'}", *([f"left for the next run: {left}"] if left else [])]
        parts += [f"refused {one.kind.value}: {one.refused}" for one in self.kinds if one.refused]
        parts += [f"failed {one.kind.value}: {one.failed}" for one in self.kinds if one.failed]
        return "; ".join(parts)


def plan(options: CleanupOptions, now: datetime, last_run: datetime | None) -> CleanupPlan:
    """Decide which rows are deleted; refuse if the database's clock is behind the last run."""
    days: dict[Kind, int] = {kind: getattr(options, f"{kind.value}_days") for kind in Kind}
    refused = None
    if last_run and last_run - now > CLOCK_TOLERANCE:
        refused = (
            f"the database's clock says {_text(now)}, but the last run was at {_text(last_run)}: set the clock. If it "
            "was wrong at that run, delete the rows of cleanup_runs whose started_at is in the future"
        )
    cutoffs = {kind: now - timedelta(days=count) for kind, count in days.items()}
    return CleanupPlan(dry_run=options.dry_run, cutoffs=cutoffs, refused=refused)


def would_empty(kind: Kind, cutoff: datetime) -> str:
    """Return why a cutoff is refused that deletes even fresh rows: a clock or the application is wrong."""
    return (
        f"every row of {kind.value} would be deleted, although the newest cannot have expired by the cutoff "
        f"{_text(cutoff)}: check the clocks, and the times that the application writes"
    )


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
