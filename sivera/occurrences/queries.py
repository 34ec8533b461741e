"""Questions about what became of the scheduled times of the jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, not_, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.dml import ReturningInsert

from sivera.models import JobOccurrence
from sivera.occurrences.rules import Key, Occurrence, Outcome

_WAITS = and_(JobOccurrence.outcome == Outcome.WAITING.value, JobOccurrence.run_id.is_(None))
"""The row of a time to come: it has no run yet."""

_IS_FINAL = or_(JobOccurrence.ended_at.is_not(None), JobOccurrence.outcome == Outcome.MISSED.value)

# As text: where a statement has parameters in their place, PostgreSQL cannot know that the index has all that is asked.
_IS_OPEN = text("job_occurrences.ended_at IS NULL AND job_occurrences.outcome <> 'missed'")
"""What is not final, in the words of `ix_job_occurrences_open`."""

BATCH = 1_000
"""Rows that are written by one statement: it takes at most 65,535 parameters."""


class Mark(NamedTuple):
    """How far a schedule is accounted for: the time that it waits for, and the last one before."""

    waits_for: datetime | None
    last: datetime | None


def ended_well(row: type[JobOccurrence]) -> ColumnElement[bool]:
    """Say of rows what `Occurrence.ended_well` says of one."""
    is_late_and_over = and_(row.outcome == Outcome.LATE.value, row.ended_at.is_not(None))
    return or_(row.outcome == Outcome.RAN.value, is_late_and_over)


def read_marks(session: Session, since: datetime) -> dict[tuple[str, str], Mark]:
    """Return how far each schedule is accounted for, by deployment and schedule, from the rows since then."""
    rows = session.execute(
        select(
            JobOccurrence.deployment,
            JobOccurrence.schedule,
            func.min(JobOccurrence.scheduled_at).filter(_WAITS),
            func.max(JobOccurrence.scheduled_at).filter(not_(_WAITS)),
        )
        .where(JobOccurrence.scheduled_at >= since)
        .group_by(JobOccurrence.deployment, JobOccurrence.schedule)
    )
    return {(deployment, schedule): Mark(waits_for, last) for deployment, schedule, waits_for, last in rows if schedule}


def open_with_run(session: Session, since: datetime, most: int) -> list[Occurrence]:
    """Return the rows since then whose run has not ended, the oldest first."""
    rows = session.scalars(
        select(JobOccurrence)
        .where(JobOccurrence.scheduled_at >= since, _IS_OPEN, JobOccurrence.run_id.is_not(None))
        .order_by(JobOccurrence.scheduled_at)
        .limit(most)
    )
    return [Occurrence.model_validate(row) for row in rows]


def failed_with_run(session: Session, since: datetime, most: int) -> list[Occurrence]:
    """Return the failed runs since then after which none of their deployment ended well: of each the newest."""
    row, ran = JobOccurrence, aliased(JobOccurrence)
    last = (
        select(ran.deployment, func.max(ran.scheduled_at).label("time"))
        .where(ended_well(ran), ran.scheduled_at >= since)
        .group_by(ran.deployment)
        .subquery()
    )
    newest = func.row_number().over(partition_by=row.deployment, order_by=row.scheduled_at.desc()).label("newest")
    failed = (
        select(row, newest)
        .outerjoin(last, last.c.deployment == row.deployment)
        .where(row.scheduled_at >= since, row.outcome == Outcome.FAILED.value, row.run_id.is_not(None))
        .where(or_(last.c.time.is_(None), row.scheduled_at > last.c.time))
        .subquery()
    )
    rows = session.scalars(select(aliased(row, failed)).where(failed.c.newest <= most))
    return [Occurrence.model_validate(one) for one in rows]


def open_before(session: Session, until: datetime, most: int) -> list[Occurrence]:
    """Return the rows of before a time of which it is not known what became, the oldest first."""
    rows = session.scalars(
        select(JobOccurrence)
        .where(JobOccurrence.scheduled_at < until, _IS_OPEN)
        .order_by(JobOccurrence.scheduled_at)
        .limit(most)
    )
    return [Occurrence.model_validate(row) for row in rows]


def record(session: Session, occurrences: Sequence[Occurrence]) -> Sequence[Outcome]:
    """Write rows, and return the outcomes of those that are new or changed.

    A row that is final is replaced only where a run has ended in another way.
    """
    rows = [one.model_dump() for one in occurrences]
    batches = (rows[at : at + BATCH] for at in range(0, len(rows), BATCH))
    return [Outcome(written) for batch in batches for written in session.scalars(_upsert(batch))]


def _upsert(rows: Sequence[dict[str, Any]]) -> ReturningInsert[tuple[str]]:
    statement = insert(JobOccurrence).values(rows)
    new = statement.excluded
    content = [name for name in Occurrence.model_fields if name not in Key._fields]
    table = JobOccurrence.__table__
    changed = tuple_(*(table.c[name] for name in content)).is_distinct_from(tuple_(*(new[name] for name in content)))
    ended_otherwise: ColumnElement[bool] = and_(
        new.ended_at.is_not(None), new.run_id.is_not(None), new.outcome != JobOccurrence.outcome
    )
    return statement.on_conflict_do_update(
        index_elements=list(Key._fields),
        set_={name: new[name] for name in content} | {"updated_at": func.now()},
        where=or_(and_(not_(_IS_FINAL), changed), ended_otherwise),
    ).returning(JobOccurrence.outcome)


def forget_waiting(session: Session, kept: Sequence[Key]) -> None:
    """Delete the rows of times to come, however long they are past, that are not among these."""
    session.execute(
        delete(JobOccurrence).where(
            _WAITS,
            _IS_OPEN,
            not_(tuple_(JobOccurrence.deployment, JobOccurrence.scheduled_at).in_(kept)),
        )
    )


def list_occurrences(
    session: Session, *, since: datetime, job: str | None = None, outcome: Outcome | None = None
) -> list[Occurrence]:
    """Return the rows since then, the newest first."""
    statement = select(JobOccurrence).where(JobOccurrence.scheduled_at >= since)
    if job:
        statement = statement.where(JobOccurrence.job == job)
    if outcome:
        statement = statement.where(JobOccurrence.outcome == outcome.value)
    statement = statement.order_by(JobOccurrence.scheduled_at.desc(), JobOccurrence.deployment)
    return [Occurrence.model_validate(row) for row in session.scalars(statement)]


def recorded_jobs(session: Session) -> set[str]:
    """Return the jobs of which there is a row."""
    return set(session.scalars(select(JobOccurrence.job).distinct()))
