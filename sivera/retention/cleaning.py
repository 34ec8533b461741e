"""The cleanup of one kind: small batches, each its own transaction, until nothing is due or the time is over.

Each batch is recorded in its own transaction. If the process dies, whole batches and a correct record stay, and the
next run continues.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.clock import read_clock
from sivera.retention import queries, rules
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.summary import CleanupPlan, KindResult

BATCH_SIZE = 2_000
"""Rows. A batch takes some 20 ms: nobody waits longer for a row of it."""

STATEMENT_SECONDS = 2.0
"""Longest time for a statement of a batch, when the disk is cold or somebody has locked the table."""

COUNT_SECONDS = 1.0
"""Longest time to count what a run leaves. All kinds together must stay below the flow's timeout."""


@dataclass(frozen=True)
class CleanupDependencies:
    """The database, the run's id, a monotonic clock, and the limits of a batch."""

    engine: Engine
    run_id: UUID
    monotonic: Callable[[], float] = time.monotonic
    batch_size: int = BATCH_SIZE
    statement_seconds: float = STATEMENT_SECONDS


def plan_cleanup(deps: CleanupDependencies, options: CleanupOptions) -> CleanupPlan:
    """Decide by the database's clock which rows are deleted, or refuse because the clock is wrong."""
    with Session(deps.engine) as session:
        now, last_run = read_clock(session), queries.last_run(session)
    return CleanupPlan(
        dry_run=options.dry_run, cutoffs=rules.cutoffs(options, now), refused=rules.clock_refusal(now, last_run)
    )


def clean(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, end: float) -> KindResult:
    """Delete the rows of a kind that are due, or count them in a dry run.

    If the database fails, only this kind fails, and the result says so.

    Args:
        deps: The database and the clock.
        plan: Which rows are deleted.
        kind: The kind.
        end: The monotonic time at which the whole run stops.
    """
    begun = deps.monotonic()
    until = rules.end_of(kind, begun, end)
    deleted, remaining, failed = 0, None, None
    refused = plan.refused
    try:
        refused = refused or _refusal(deps, plan, kind)
        if not refused:
            for count in _batches(deps, plan, kind, until):
                deleted += count
            remaining = _count(deps, plan, kind, until)
        with Session(deps.engine) as session, session.begin():
            queries.prepare(session, deps.statement_seconds)
            queries.record(
                session,
                deps.run_id,
                kind,
                plan.cutoffs[kind],
                dry_run=plan.dry_run,
                remaining=remaining,
                refused=refused,
            )
    except SQLAlchemyError as error:
        # Not its text, which holds the statement and its values.
        cause = type(getattr(error, "orig", None) or error).__name__
        failed = f"the database failed ({cause}); the next run continues"
    return KindResult(
        kind=kind,
        cutoff=plan.cutoffs[kind],
        deleted=deleted,
        remaining=remaining,
        duration_ms=round((deps.monotonic() - begun) * 1000),
        refused=refused,
        failed=failed,
    )


def _refusal(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind) -> str | None:
    with Session(deps.engine) as session:
        queries.prepare(session, deps.statement_seconds)
        written_at, keeps_any = queries.read_freshness(session, kind, plan.cutoffs[kind])
    return rules.everything_refusal(kind, plan.cutoffs[kind], written_at, keeps_any=keeps_any)


def _batches(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, until: float) -> Iterator[int]:
    """Delete batch after batch, and yield how many rows each deleted."""
    after, cutoff = queries.EVER, plan.cutoffs[kind]
    while not plan.dry_run and deps.monotonic() < until:
        with Session(deps.engine) as session, session.begin():
            queries.prepare(session, deps.statement_seconds)
            batch = queries.delete_batch(session, kind, cutoff, after, deps.batch_size)
            if batch.last is None:
                return
            queries.record(session, deps.run_id, kind, cutoff, dry_run=False, deleted=batch.deleted)
        yield batch.deleted
        # Index entries of deleted rows stay until a vacuum: do not read them again for each batch.
        after = batch.last


def _count(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, until: float) -> int | None:
    """Count the rows that are still due; return None if that takes too long."""
    seconds, children_from = COUNT_SECONDS, queries.EVER
    if plan.dry_run:
        seconds = max(seconds, until - deps.monotonic())
        # A real run would have deleted the expired children already.
        children_from = plan.cutoffs[Kind.OAUTH_STATES]
    try:
        with Session(deps.engine) as session:
            queries.prepare(session, seconds)
            return queries.count_due(session, kind, plan.cutoffs[kind], children_from)
    except OperationalError:
        return None
