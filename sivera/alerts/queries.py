"""Questions about alerts: the facts that they are decided by, which are open, and how one is opened and closed."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import Session, aliased

from sivera.accounts.queries import ACTIVE
from sivera.alerts.conditions import BrokenGrant, Condition, Kind, StaleAccount
from sivera.alerts.events import CLOSED, OPENED, alert_event
from sivera.grants.rules import WAITING
from sivera.models import (
    AdAccount,
    Alert,
    AlertCheck,
    BudgetAlert,
    JobOccurrence,
    OutboxEvent,
    PlatformCredential,
    Team,
)
from sivera.occurrences.queries import ended_well
from sivera.occurrences.rules import Occurrence
from sivera.platforms.base import REPORTS_LAG
from sivera.values import PlatformName


def mark_checked(session: Session, now: datetime) -> datetime | None:
    """Note that alerts are looked for now, and return when they last were; a second check waits until this one ends."""
    last = session.scalar(select(AlertCheck.checked_at).where(AlertCheck.id == 1).with_for_update())
    session.execute(
        insert(AlertCheck)
        .values(id=1, checked_at=now)
        .on_conflict_do_update(index_elements=["id"], set_={"checked_at": now})
    )
    return last


def read_occurrences(session: Session, since: datetime, but: str) -> Iterator[Occurrence]:
    """Yield what became of each time that matters, of all jobs but one: none before the last that ended well."""
    row, ran = JobOccurrence, aliased(JobOccurrence)
    last = (
        select(ran.deployment, func.max(ran.scheduled_at).label("time"), func.max(ran.ended_at).label("end"))
        .where(ended_well(ran), ran.scheduled_at.between(since, func.now()))
        .group_by(ran.deployment)
        .subquery()
    )
    # After a downtime a run of an earlier time may end after that of a later one.
    matters = or_(last.c.time.is_(None), row.scheduled_at >= last.c.time, row.ended_at >= last.c.end)
    found = session.scalars(
        select(row)
        .outerjoin(last, last.c.deployment == row.deployment)
        .where(row.scheduled_at >= since, row.job != but, matters)
    )
    yield from map(Occurrence.model_validate, found)


def broken_grants(session: Session) -> Sequence[BrokenGrant]:
    """Return the grants that a human has to connect again."""
    names = func.array_agg(aggregate_order_by(AdAccount.name, AdAccount.id)).filter(AdAccount.id.is_not(None))
    found = session.execute(
        select(PlatformCredential, Team.name, names)
        .join(Team, Team.id == PlatformCredential.team_id)
        .outerjoin(AdAccount, and_(AdAccount.credential_id == PlatformCredential.id, AdAccount.status == ACTIVE))
        .where(PlatformCredential.status.in_(WAITING))
        .group_by(PlatformCredential.id, Team.name)
        .order_by(PlatformCredential.id)
    )
    return [
        BrokenGrant(
            id=grant.id,
            team=team,
            platform=PlatformName(grant.platform),
            name=grant.name,
            reason=grant.status_reason,
            since=grant.status_since,
            accounts=tuple(accounts or ()),
        )
        for grant, team, accounts in found
    ]


def stale_accounts(session: Session, after: timedelta) -> Sequence[StaleAccount]:
    """Return the accounts that should be synced and were not for so long, or only without their reports."""
    reported = AdAccount.reports_as_of + REPORTS_LAG
    # A grant that was broken for a day and is connected again: its accounts have their time from then on.
    last = func.greatest(
        func.least(AdAccount.last_synced_at, reported), AdAccount.created_at, PlatformCredential.status_since
    )
    is_synced = AdAccount.last_synced_at >= func.now() - after
    found = session.execute(
        select(
            AdAccount.id,
            Team.name.label("team"),
            AdAccount.platform,
            AdAccount.name,
            func.coalesce(func.least(AdAccount.last_synced_at, AdAccount.reports_as_of), AdAccount.created_at).label(
                "since"
            ),
            AdAccount.last_error.label("error"),
            func.coalesce(AdAccount.next_attempt_at > func.now(), False).label("rests"),
            func.coalesce(is_synced & (reported < AdAccount.last_synced_at), False).label("lacks_reports"),
        )
        .join(PlatformCredential, PlatformCredential.id == AdAccount.credential_id)
        .join(Team, Team.id == AdAccount.team_id)
        .where(AdAccount.status == ACTIVE, PlatformCredential.status == ACTIVE, last < func.now() - after)
        .order_by(AdAccount.id)
    )
    return [StaleAccount.model_validate(row._asdict()) for row in found]


def open_subjects(session: Session) -> set[tuple[str, str]]:
    """Return kind and subject of the alerts that are open."""
    found = session.execute(select(Alert.kind, Alert.subject).where(Alert.closed_at.is_(None)))
    return {(row.kind, row.subject) for row in found}


def list_open(session: Session) -> Sequence[Alert]:
    """Return the alerts that are open, the oldest first."""
    return session.scalars(select(Alert).where(Alert.closed_at.is_(None)).order_by(Alert.since, Alert.id)).all()


def list_open_of_budgets(session: Session) -> Sequence[BudgetAlert]:
    """Return the alerts on budgets that are open, the oldest first."""
    open_ones = select(BudgetAlert).where(BudgetAlert.closed_at.is_(None))
    return session.scalars(open_ones.order_by(BudgetAlert.opened_at, BudgetAlert.id)).all()


def open_alert(session: Session, condition: Condition, *, announced: bool = True) -> bool:
    """Open an alert and leave the event of it to be published; return False where one is open already.

    Args:
        session: In a transaction.
        condition: What it is about.
        announced: False where people know of it by another way.
    """
    row = condition.model_dump() | {"kind": condition.kind.value}
    opened = session.scalars(
        insert(Alert)
        .values(row)
        .on_conflict_do_nothing(index_elements=["kind", "subject"], index_where=Alert.closed_at.is_(None))
        .returning(Alert)
    ).one_or_none()
    if opened is not None and announced:
        _leave_event(session, OPENED, opened)
    return opened is not None


def close_alerts(session: Session, lasting: Collection[tuple[Kind, str]]) -> list[str]:
    """Close the open alerts of our kinds but these, leave the events of it to be published, and return their titles."""
    statement = update(Alert).where(Alert.closed_at.is_(None), Alert.kind.in_([kind.value for kind in Kind]))
    if lasting:
        kept = [(kind.value, subject) for kind, subject in lasting]
        statement = statement.where(tuple_(Alert.kind, Alert.subject).not_in(kept))
    closed = session.scalars(statement.values(closed_at=func.now()).returning(Alert)).all()
    for alert in closed:
        _leave_event(session, CLOSED, alert)
    return [alert.title for alert in closed]


def _leave_event(session: Session, name: str, alert: Alert) -> None:
    said = alert_event(
        name,
        kind=alert.kind,
        subject=alert.subject,
        title=alert.title,
        message=alert.message,
        since=alert.since,
        link=alert.link,
    )
    session.add(OutboxEvent(**said))
