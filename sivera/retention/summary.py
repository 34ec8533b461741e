"""What a cleanup is to do, and what it did."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from sivera.retention.options import Kind
from sivera.values import Value


class CleanupPlan(Value):
    """The cutoff of each kind: older rows are deleted. If `refused` gives a reason, nothing is."""

    dry_run: bool
    cutoffs: dict[Kind, datetime]
    refused: str | None = None


class KindResult(Value):
    """What a run did with one kind.

    `remaining` counts the rows that are still due; None if they were not counted. `refused` says why nothing was
    deleted, `failed` why the work stopped.
    """

    kind: Kind
    cutoff: datetime
    deleted: int = 0
    remaining: int | None = None
    duration_ms: int = 0
    refused: str | None = None
    failed: str | None = None


class CleanupSummary(Value):
    """What a run did."""

    dry_run: bool
    kinds: tuple[KindResult, ...]

    @classmethod
    def of(cls, plan: CleanupPlan, results: Mapping[Kind, object]) -> Self:
        """Return the summary of what the cleanup of each kind returned or raised."""
        return cls(
            dry_run=plan.dry_run,
            kinds=tuple(
                result
                if isinstance(result, KindResult)
                else KindResult(
                    kind=kind,
                    cutoff=plan.cutoffs[kind],
                    failed=f"unexpected {type(result).__name__}: a defect; the task run's log has the traceback",
                )
                for kind, result in results.items()
            ),
        )

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
        left = [_remaining(one) for one in self.kinds if one.remaining != 0 and not (one.refused or one.failed)]
        if self.dry_run:
            parts = [f"dry run, nothing deleted; due: {', '.join(left) or 'nothing'}"]
        else:
            gone = [f"{one.deleted} {one.kind.value}" for one in self.kinds if one.deleted]
            parts = [f"deleted {', '.join(gone) or 'nothing'}"]
            parts += [f"left for the next run: {', '.join(left)}"] if left else []
        parts += [f"refused {one.kind.value}: {one.refused}" for one in self.kinds if one.refused]
        parts += [f"failed {one.kind.value}: {one.failed}" for one in self.kinds if one.failed]
        return "; ".join(parts)


def _remaining(one: KindResult) -> str:
    return f"{one.kind.value} (not counted)" if one.remaining is None else f"{one.remaining} {one.kind.value}"
