"""The cleanup of one kind: small batches, each its own transaction, until nothing is due or time is up.

A batch and its record are committed together, so both are correct even if the process dies. The next run continues.
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
"""Rows. A batch locks its rows for about 20 ms."""

STATEMENT_SECONDS = 2.0
"""The time limit of a statement, for a cold disk or a locked table. Counting the remaining rows may take half of it, so
that the counts of all kinds fit into the flow's timeout."""


@dataclass(frozen=True)
class CleanupDependencies:
    """What a cleanup needs."""

    engine: Engine
    run_id: UUID
    monotonic: Callable[[], float] = time.monotonic
    batch_size: int = BATCH_SIZE
    statement_seconds: float = STATEMENT_SECONDS

    @contextmanager
    def transaction(self, seconds: float | None = None) -> Iterator[Session]:
        """Yield a session in a transaction with a time limit for each statement."""
        with Session(self.engine) as session, session.begin():
            queries.prepare(session, seconds or self.statement_seconds)
            yield session


def plan_cleanup(deps: CleanupDependencies, options: CleanupOptions) -> CleanupPlan:
    """Decide, by the database's clock, which rows are deleted."""
    with Session(deps.engine) as session:
        return rules.plan(options, read_clock(session), queries.last_run(session))


def clean(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, end: float) -> KindResult:
    """Delete the rows of a kind that are due, or count them in a dry run. No batch starts after the monotonic `end`."""
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
    after = queries.EVER
    while not plan.dry_run and deps.monotonic() < end:
        with deps.transaction() as session:
            deleted, newest = queries.delete_batch(session, kind, plan.cutoffs[kind], after, deps.batch_size)
            if newest is None:
                return
            queries.record(session, deps.run_id, plan, kind, deleted=deleted)
        yield deleted
        # Index entries of deleted rows stay until a vacuum, so skip them.
        after = newest


def _count(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, end: float) -> int | None:
    # None if counting takes too long.
    seconds, children_from = deps.statement_seconds / 2, queries.EVER
    if plan.dry_run:
        # A real run would already have deleted the expired states.
        seconds, children_from = max(seconds, end - deps.monotonic()), plan.cutoffs[Kind.OAUTH_STATES]
    try:
        with deps.transaction(seconds) as session:
            return queries.count_due(session, kind, plan.cutoffs[kind], children_from)
    except OperationalError:
        return None
