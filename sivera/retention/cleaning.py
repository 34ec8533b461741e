"""The cleanup of one kind: batch after batch, each a short transaction of its own, until nothing is due or time is up.

The proof of what went moves on in the transaction of each batch, so that a process killed anywhere leaves whole batches
and a true proof, and the next run goes on where it was.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.clock import utc_now
from sivera.retention import queries, rules
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.summary import CleanupPlan, KindResult

logger = logging.getLogger("sivera.retention")


@dataclass(frozen=True)
class CleanupDependencies:
    """What a cleanup needs from outside: the database, the worker's clock, and one in seconds that never goes back."""

    engine: Engine
    run_id: UUID
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic


def plan_cleanup(deps: CleanupDependencies, options: CleanupOptions) -> CleanupPlan:
    """Decide what goes, by the database's clock, or that nothing does because that is not to be believed."""
    with Session(deps.engine) as session:
        before = deps.now()
        database, last_run = queries.read_clock(session)
        after = deps.now()
    clock = rules.ClockReading(before=before, database=database, after=after, last_run=last_run)
    return CleanupPlan(
        dry_run=options.dry_run,
        deadline_seconds=options.deadline_seconds,
        cutoffs=rules.cutoffs(options, database),
        refused=rules.clock_refusal(clock, confirmed=options.clock_confirmed),
    )


def clean(deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, until: float) -> KindResult:
    """Delete, or in a dry run count, what is due of a kind.

    A database that fails ends this kind alone, and the result says so.

    Args:
        deps: What it needs from outside.
        plan: What goes.
        kind: Of which kind.
        until: The monotonic time after which no batch is begun.
    """
    return _Cleaning(deps, plan, kind, until).run()


class _Cleaning:
    def __init__(self, deps: CleanupDependencies, plan: CleanupPlan, kind: Kind, until: float) -> None:
        self._deps, self._plan, self._kind, self._until = deps, plan, kind, until
        self._cutoff = plan.cutoffs[kind]
        self._begun = deps.monotonic()
        self._deleted = self._passed_over = 0
        self._first_key: str | None = None
        self._last_key: str | None = None
        self._size, self._misses, self._carefully = rules.FIRST_SIZE, 0, False
        self._done = queries.START
        self._window_size = rules.WINDOW_SIZE
        self._at_end = False

    def run(self) -> KindResult:
        refused = failed = remaining = None
        try:
            refused = self._begin()
            if not refused:
                failed = None if self._plan.dry_run else self._delete()
                remaining = self._count()
            self._end(remaining)
        except SQLAlchemyError as error:
            failed = _reason(error)
        return KindResult(
            kind=self._kind,
            cutoff=self._cutoff,
            deleted=self._deleted,
            remaining=remaining,
            first_key=self._first_key,
            last_key=self._last_key,
            duration_ms=self._milliseconds(),
            refused=refused,
            failed=failed,
        )

    def _begin(self) -> str | None:
        with Session(self._deps.engine) as session, session.begin():
            queries.bound(session, rules.BATCH_TIMEOUT_SECONDS)
            refused = self._plan.refused
            if not refused:
                found = queries.read_freshness(session, self._kind, self._cutoff)
                refused = rules.everything_refusal(self._kind, self._cutoff, found)
            # With the first word of the run: one that died before its last must not prove a time that is not believed.
            queries.begin_proof(
                session, self._deps.run_id, self._kind, self._cutoff, dry_run=self._plan.dry_run, refused=refused
            )
        return refused

    def _delete(self) -> str | None:
        """Delete window after window; return why it gave up, or None where nothing is due any more or time is up."""
        try:
            # One connection, since a window belongs to it.
            with self._deps.engine.connect() as connection, Session(connection) as session:
                while not self._is_over():
                    try:
                        window = self._read_window(session)
                    except OperationalError:
                        # A cold disk, or dead rows that no vacuum may take yet: fewer keys are read in time.
                        self._window_size = rules.smaller_size(self._window_size)
                        if self._window_size < rules.SMALLEST_WINDOW:
                            raise
                        continue
                    if window is None:
                        self._at_end = True
                        break
                    self._delete_window(session, window)
        except SQLAlchemyError as error:
            return _reason(error)
        return None

    def _read_window(self, session: Session) -> queries.Window | None:
        with session.begin():
            queries.prepare(session, rules.WINDOW_TIMEOUT_SECONDS)
            return queries.read_window(
                session, self._kind, self._cutoff, self._done, size=self._window_size, chunk_size=rules.CHUNK_SIZE
            )

    def _delete_window(self, session: Session, window: queries.Window) -> None:
        at = passed_over = 0
        # To look for what is locked or held costs a third more, and in most windows nothing is.
        self._carefully = False
        while at < window.chunks:
            if self._is_over():
                return
            chunks = self._size // rules.CHUNK_SIZE
            upto = min(at + chunks, window.chunks)
            begun = self._deps.monotonic()
            try:
                passed_over += self._delete_batch(session, window, at, upto)
            except SQLAlchemyError as error:
                self._misses += 1
                self._carefully = True
                logger.info("A batch of %d %s was rolled back (%s)", self._size, self._kind.value, _cause(error))
                if self._misses == rules.MOST_MISSES:
                    raise
                self._size = rules.smaller_size(self._size)
                continue
            self._misses = 0
            if upto - at == chunks:
                self._size = rules.next_size(self._size, self._deps.monotonic() - begun)
            at = upto
        self._done = window.last
        self._passed_over += passed_over

    def _delete_batch(self, session: Session, window: queries.Window, after: int, upto: int) -> int:
        """Delete what is due of these chunks, with its proof, and return how many rows were passed over."""
        passed_over = 0
        with session.begin():
            if self._carefully:
                queries.prepare(session, rules.BATCH_TIMEOUT_SECONDS)
                deleted, passed_over = queries.delete_free(session, self._kind, self._cutoff, after, upto)
            else:
                queries.prepare(session, rules.BATCH_TIMEOUT_SECONDS, rules.LOCK_SECONDS)
                deleted = queries.delete_batch(session, self._kind, self._cutoff, after, upto)
            if deleted:
                duration = self._milliseconds()
                queries.prove_batch(
                    session, self._deps.run_id, self._kind, window, deleted=deleted, duration_ms=duration
                )
        if deleted:
            self._deleted += deleted
            self._first_key, self._last_key = self._first_key or str(window.first), str(window.last)
        return passed_over

    def _is_over(self) -> bool:
        return self._deps.monotonic() >= self._until

    def _count(self) -> int | None:
        """Count what is still due; None where that takes too long."""
        if self._at_end:
            return self._passed_over
        seconds = rules.count_seconds(self._plan.deadline_seconds)
        children_from = None
        if self._plan.dry_run:
            seconds = max(seconds, self._until - self._deps.monotonic())
            # A real run would have deleted these children before.
            children_from = self._plan.cutoffs[Kind.OAUTH_STATES]
        try:
            with Session(self._deps.engine) as session:
                queries.bound(session, seconds)
                beyond = queries.count_due(session, self._kind, self._cutoff, self._done, children_from)
        except OperationalError:
            return None
        return self._passed_over + beyond

    def _end(self, remaining: int | None) -> None:
        with Session(self._deps.engine) as session, session.begin():
            queries.bound(session, rules.BATCH_TIMEOUT_SECONDS)
            queries.end_proof(
                session,
                self._deps.run_id,
                self._kind,
                remaining=remaining,
                duration_ms=self._milliseconds(),
            )

    def _milliseconds(self) -> int:
        return round((self._deps.monotonic() - self._begun) * 1000)


def _reason(error: SQLAlchemyError) -> str:
    return f"the database failed ({_cause(error)}); the next run goes on"


def _cause(error: SQLAlchemyError) -> str:
    # Its text holds the statement and its values.
    return type(getattr(error, "orig", None) or error).__name__
