"""One check: the facts are read, the rules decide, and alerts are opened and closed, all in one transaction."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.alerts import queries
from sivera.alerts.conditions import Condition, Kind, Links
from sivera.alerts.data_rules import grant_conditions, stale_conditions
from sivera.alerts.job_rules import job_conditions
from sivera.alerts.options import AlertOptions
from sivera.clock import read_clock
from sivera.occurrences.rules import Occurrence
from sivera.values import Value

LOOK_BACK = timedelta(days=8)
"""Scheduled times before that are over, whatever became of them: a job may have been removed since."""

SILENCE = timedelta(minutes=22)
"""So long after the last check that ended well the Prefect server itself says so; no multiple of five minutes."""

SILENT = "check-alerts does not do its work"
"""The title of that: it is the server's words when it begins, and ours when it is over."""


@dataclass(frozen=True)
class AlertDependencies:
    """What a check needs from outside: the database, where the UI is, and the name of its own job."""

    engine: Engine
    links: Links
    job: str


class CheckSummary(Value):
    """What a check did: titles of what it opened and closed, and how many alerts are open after it."""

    opened: tuple[str, ...]
    closed: tuple[str, ...]
    still_open: int

    @property
    def sentence(self) -> str:
        """What a person reads first."""
        return f"{self.still_open} open, {len(self.opened)} of them new, {len(self.closed)} over"


def check_alerts(deps: AlertDependencies, options: AlertOptions, *, is_complete: bool = True) -> CheckSummary:
    """Open an alert for each condition that has none, and close those whose condition is over.

    Args:
        deps: What is needed from outside.
        options: From when on something is worth an alert.
        is_complete: False where not all facts are of now; such a check does not end a silence.
    """
    with Session(deps.engine) as session, session.begin():
        now = read_clock(session)
        last = queries.mark_checked(session, now) if is_complete else None
        already = queries.open_subjects(session)
        found = [*_conditions(session, deps, options, now, already)]
        opened = [one for one in found if queries.open_alert(session, one)]
        if last and now - last > SILENCE:
            # Of its beginning the server has told, since we could not; it ends with this check.
            queries.open_alert(session, _silence(last, deps.links), announced=False)
        closed = queries.close_alerts(session, {(one.kind, one.subject) for one in found})
    return CheckSummary(opened=tuple(one.title for one in opened), closed=tuple(closed), still_open=len(found))


def _conditions(
    session: Session, deps: AlertDependencies, options: AlertOptions, now: datetime, already: set[tuple[str, str]]
) -> Iterator[Condition]:
    # Not of our own job: a check that runs cannot say that it does not.
    times: dict[str, list[Occurrence]] = defaultdict(list)
    for occurrence in queries.read_occurrences(session, now - LOOK_BACK, but=deps.job):
        times[occurrence.deployment].append(occurrence)
    for deployment, occurrences in times.items():
        late = timedelta(minutes=options.late_minutes)
        yield from job_conditions(deployment, occurrences, now, late, deps.links)
    most = options.most_of_platform
    yield from grant_conditions(queries.broken_grants(session), already, most, deps.links)
    stale = queries.stale_accounts(session, timedelta(hours=options.stale_hours))
    yield from stale_conditions(stale, already, most, deps.links)


def _silence(last: datetime, links: Links) -> Condition:
    return Condition(
        kind=Kind.ALERTS_SILENT,
        subject="check-alerts",
        title=SILENT,
        message="It did not end well: people would not have been told of everything. It does again.",
        since=last,
        link=links.run(None),
    )
