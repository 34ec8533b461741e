"""Accounting for every scheduled time and run by hand: what the timetable would have run, beside what Prefect ran.

The row of a schedule's next time, which has no run, is what one accounting leaves to the next: the schedule was on when
that row was written, and all before it is accounted for. The next goes on from there, however much later.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.occurrences import queries
from sivera.occurrences.queries import Mark
from sivera.occurrences.rules import (
    LATE_AFTER,
    NEVER_MADE,
    Key,
    Occurrence,
    Outcome,
    SeenRun,
    account_for,
    lost,
    most_telling,
    without_run,
)
from sivera.values import Value

LOOKBACK = timedelta(days=28)
"""Nothing older is accounted for: Prefect keeps runs for 30 days, and what it has forgotten would look missed."""

LONGEST_RUN = timedelta(hours=4, minutes=15)
"""No run takes longer, backup-data the longest: one that was in another's way was due within this time before it."""

MOST_RUNS = 2_000
"""Runs that are read at once; where there are more, the next accounting goes on behind them."""

MOST_OPEN = 1_000
"""Rows that are looked at again at once, the oldest first."""

MOST_FAILED = 10
"""Failed runs of a deployment that are looked at again, the newest: a person may repeat one in the UI days later."""


class Schedule(Protocol):
    """A schedule that is on, of a deployment that is."""

    @property
    def deployment(self) -> str:
        """The full name of its deployment."""
        ...

    @property
    def job(self) -> str:
        """The name of its job."""
        ...

    @property
    def slug(self) -> str:
        """Its own name."""
        ...

    @property
    def unchanged_since(self) -> datetime:
        """When it or its deployment was last changed, if only by a deploy."""
        ...

    def times(self, since: datetime, now: datetime) -> Sequence[datetime]:
        """Return when it would run from `since` on, to the first time after now."""
        ...


class Prefect(Protocol):
    """What is asked of a Prefect server."""

    def schedules(self) -> Sequence[Schedule]:
        """Return the schedules of ours that are on."""
        ...

    def runs_between(
        self, since: datetime, until: datetime, most: int, *, newest_first: bool = False
    ) -> Sequence[SeenRun]:
        """Return runs of our jobs whose times lie there, both ends included: no more than `most`, of the one end."""
        ...

    def runs_of(self, ids: Sequence[UUID]) -> Sequence[SeenRun]:
        """Return the runs of these ids that there are."""
        ...


class Accounted(Value):
    """How many rows an accounting wrote, by outcome, and until when all times are accounted for."""

    written: dict[Outcome, int]
    until: datetime


def account(
    engine: Engine,
    prefect: Prefect,
    now: datetime,
    late_after: timedelta = LATE_AFTER,
    most_runs: int = MOST_RUNS,
) -> Accounted:
    """Write what became of each scheduled time since the last accounting, and look again at what may have changed.

    These are the rows that are open, and the failed runs after which none of their deployment ended well.

    It may be repeated, and run twice at once: a row that is final is only replaced by what a run says.

    Args:
        engine: The database.
        prefect: The Prefect server.
        now: What time it is.
        late_after: How long after its time a run is late, and a time without a run missed.
        most_runs: How many runs since the last accounting are read at most, and how many before; where there are
            more, it may be repeated.
    """
    horizon = now - LOOKBACK
    with Session(engine) as session:
        marks = queries.read_marks(session, horizon)
        may_change = queries.open_with_run(session, horizon, MOST_OPEN)
        may_change += queries.failed_with_run(session, horizon, MOST_FAILED)
        too_old = queries.open_before(session, horizon, MOST_OPEN)
    schedules = prefect.schedules()
    begins = [(schedule, max(_begin(schedule, marks), horizon)) for schedule in schedules]
    waiting = [mark.waits_for for mark in marks.values() if mark.waits_for]
    since = max(min([*(begin for _, begin in begins), *waiting, now]), horizon) if marks else horizon
    # What was in the way of others, and runs by hand since the last accounting: however many they are, time goes on.
    before = prefect.runs_between(since - LONGEST_RUN, since, most_runs, newest_first=True)
    after = prefect.runs_between(since, now, most_runs)
    until = now if len(after) < most_runs else after[-1].scheduled_at

    rows_of = {row.run_id: row for row in may_change if row.run_id}
    again = {run.id: run for run in prefect.runs_of(list(rows_of))}
    runs = {run.id: run for run in (*before, *after)}
    known = (runs | again).values()
    found = [
        account_for(run, Key(run.deployment, run.scheduled_at), run.schedule, known, now, late_after)
        for run in runs.values()
        if run.deployment and run.id not in rows_of
    ]
    are_on = {(schedule.deployment, schedule.slug) for schedule in schedules}
    found += [lost(row) for row in too_old if row.run_id or (row.deployment, row.schedule) in are_on]
    for run_id, row in rows_of.items():
        if run := again.get(run_id):
            found.append(account_for(run, row.key, row.schedule, known, now, late_after))
        elif row.ended_at is None:
            found.append(lost(row))
    for schedule, begin in begins:
        seen = {one.scheduled_at for one in found if one.deployment == schedule.deployment}
        missed, coming = without_run(schedule.times(begin, now), seen, until, now, late_after)
        found += [_without_run(schedule, when, Outcome.MISSED, NEVER_MADE) for when in missed]
        found += [_without_run(schedule, coming, Outcome.WAITING, None)] if coming else []

    rows = most_telling(found)
    with Session(engine) as session, session.begin():
        # What a schedule waited for that is now off, gone or another one, nobody knows to be missed.
        kept = [key for key, row in rows.items() if row.outcome is Outcome.WAITING]
        queries.forget_waiting(session, kept)
        written = Counter(queries.record(session, list(rows.values())))
    return Accounted(written=dict(written), until=until)


def _begin(schedule: Schedule, marks: Mapping[tuple[str, str], Mark]) -> datetime:
    """Return from when on a schedule's times are not accounted for: nothing says that it was on before."""
    mark = marks.get((schedule.deployment, schedule.slug))
    if mark and mark.waits_for:
        return mark.waits_for
    after_last = mark.last + timedelta(seconds=1) if mark and mark.last else schedule.unchanged_since
    return max(schedule.unchanged_since, after_last)


def _without_run(schedule: Schedule, when: datetime, outcome: Outcome, message: str | None) -> Occurrence:
    return Occurrence(
        deployment=schedule.deployment,
        scheduled_at=when,
        job=schedule.job,
        schedule=schedule.slug,
        outcome=outcome,
        message=message,
    )
