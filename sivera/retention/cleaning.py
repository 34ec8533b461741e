"""The cleanup of one kind: small batches, each its own transaction, until nothing is due or the time is over.

Each batch is recorded in its own transaction. If the process dies, whole batches and a correct record stay, and the
next run continues.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.clock import read_clock
from sivera.database_errors import sentence
from sivera.retention import queries, rules
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.rules import CleanupPlan, KindResult

BATCH_SIZE = 2_000
"""Rows. A batch takes some 20 ms: nobody waits longer for a row of it."""

STATEMENT_SECONDS = 2.0
"""Longest time for a statement of a batch, when the disk is cold or somebody has locked the table. To count what a run
leaves may take half of it: the counts of all kinds together must stay below the flow's timeout."""


@dataclass(frozen=True)
class CleanupDependencies:
    """The database, the run's id, a monotonic clock, and the limits of a batch."""

    engine: Engine
    run_id: UUID
    monotonic: Callable[[], float] = time.monotonic
    batch_size: int = BATCH_SIZE
    statement_seconds: float = STATEMENT_SECONDS

    @contextmanager
    def transaction(self, seconds: float | None = None) -> Iterator[Session]:
        """Begin a transaction with a time limit for each statement."""
        with Session(self.engine) as session, session.begin():
            queries.prepare(session, seconds or self.statement_seconds)
            yield session


def plan_cleanup(deps: CleanupDependencies, options: CleanupOptions) -> CleanupPlan:
    """Decide by the database's clock which rows are deleted."""
    with Session(deps.engine) as session:
        return rules.plan(options, read_clock(session), queries.last_run(session))


def clean(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, end: float) -> KindResult:
    """Delete the rows of a kind that are due, or count them in a dry run; no batch starts after the monotonic `end`.

    If the database fails, only this kind fails, and the result says so.
    """
    cutoff, deleted, remaining, failed, refused = plan.cutoffs[kind], 0, None, None, plan.refused
    try:
        if not refused:
            with deps.transaction() as session:
                refused = rules.would_empty(kind, cutoff) if queries.would_empty(session, kind, cutoff) else None
        if not refused:
            for count in _batches(deps, plan, kind, end):
                deleted += count
            remaining = _count(deps, plan, kind, end)
        with deps.transaction() as session:
            queries.record(session, deps.run_id, plan, kind, remaining=remaining, refused=refused)
    except SQLAlchemyError as error:
        failed = f"{sentence(error)}; the next run continues"
    return KindResult(kind=kind, cutoff=cutoff, deleted=deleted, remaining=remaining, refused=refused, failed=failed)


def _batches(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, end: float) -> Iterator[int]:
    """Delete batch after batch, and yield how many rows each deleted."""
    after = queries.EVER
    while not plan.dry_run and deps.monotonic() < end:
        with deps.transaction() as session:
            deleted, newest = queries.delete_batch(session, kind, plan.cutoffs[kind], after, deps.batch_size)
            if newest is None:
                return
            queries.record(session, deps.run_id, plan, kind, deleted=deleted)
        yield deleted
        # Index entries of deleted rows stay until a vacuum: do not read them again for each batch.
        after = newest


def _count(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, end: float) -> int | None:
    """Count the rows that are still due; return None if that takes too long."""
    seconds, children_from = deps.statement_seconds / 2, queries.EVER
    if plan.dry_run:
        # A real run would have deleted the expired children already.
        seconds, children_from = max(seconds, end - deps.monotonic()), plan.cutoffs[Kind.OAUTH_STATES]
    try:
        with deps.transaction(seconds) as session:
            return queries.count_due(session, kind, plan.cutoffs[kind], children_from)
    except OperationalError:
        return None
