"""Questions of the pages that runs leave: how it went lately, and how things stand by the database's clock."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, case, func, select
from sqlalchemy.orm import Session

from sivera.models import AdAccount, Backup, BudgetAlert, CleanupRun, Report


def recent_cleanups(session: Session, limit: int) -> Sequence[Row[tuple[Any, datetime, str, int]]]:
    """Return run, its start, kind and rows deleted of the last runs of cleanup-expired-tokens that were to delete."""
    begun = func.min(CleanupRun.started_at)
    runs = (
        select(CleanupRun.run_id, begun.label("begun"))
        .where(~CleanupRun.dry_run)
        .group_by(CleanupRun.run_id)
        .order_by(begun.desc())
        .limit(limit)
        .subquery()
    )
    return session.execute(
        select(CleanupRun.run_id, runs.c.begun, CleanupRun.kind, CleanupRun.deleted)
        .join(runs, runs.c.run_id == CleanupRun.run_id)
        .order_by(runs.c.begun, CleanupRun.kind)
    ).all()


def reports_by_outcome(session: Session, days: int) -> Sequence[Row[tuple[date, str, int]]]:
    """Return day, outcome and number of the reports on the last days that have one, by the day.

    The outcome is of a report's newest version: 'incomplete' where it lacks an account, else 'restated' or
    'first version'.
    """
    last = select(func.max(Report.day)).scalar_subquery()
    newest = (
        select(Report.day, Report.version, func.jsonb_array_length(Report.summary["missing"]).label("count_missing"))
        .where(Report.day > last - days)
        .distinct(Report.team_id, Report.day)
        .order_by(Report.team_id, Report.day, Report.version.desc())
        .subquery()
    )
    outcome: ColumnElement[str] = case(
        (newest.c.count_missing > 0, "incomplete"),
        (newest.c.version > 1, "restated"),
        else_="first version",
    ).label("outcome")
    return session.execute(
        select(newest.c.day, outcome, func.count()).group_by(newest.c.day, outcome).order_by(newest.c.day)
    ).all()


def thresholds_reached(session: Session) -> Sequence[Row[tuple[int, str | None, int]]]:
    """Return threshold, platform (None: the budget is a team's own) and number of the budgets that have reached it.

    Of each budget only the highest threshold counts of which an alert is open.
    """
    highest = (
        select(func.max(BudgetAlert.threshold).label("threshold"), BudgetAlert.account_id)
        .where(BudgetAlert.closed_at.is_(None), BudgetAlert.threshold > 0)
        .group_by(BudgetAlert.subject, BudgetAlert.account_id)
        .subquery()
    )
    return session.execute(
        select(highest.c.threshold, AdAccount.platform, func.count())
        .outerjoin(AdAccount, AdAccount.id == highest.c.account_id)
        .group_by(highest.c.threshold, AdAccount.platform)
    ).all()


def budget_alerts_by_day(session: Session, back: timedelta) -> Sequence[Row[tuple[date, int, int]]]:
    """Return day in UTC, threshold and number of the alerts on budgets that opened so lately, by the day."""
    day = func.date(func.timezone("UTC", BudgetAlert.opened_at)).label("day")
    return session.execute(
        select(day, BudgetAlert.threshold, func.count())
        .where(BudgetAlert.opened_at > func.now() - back, BudgetAlert.threshold > 0)
        .group_by(day, BudgetAlert.threshold)
        .order_by(day, BudgetAlert.threshold)
    ).all()


class BackupFigures(NamedTuple):
    """A run of backup-data that has ended; there is no size where there is no backup."""

    id: int
    started_at: datetime
    outcome: str
    size: int | None
    seconds: float


def recent_backups(session: Session, limit: int) -> list[BackupFigures]:
    """Return the last runs of backup-data that have ended, the oldest first."""
    seconds = func.extract("epoch", Backup.finished_at - Backup.started_at).label("seconds")
    statement = select(Backup.id, Backup.started_at, Backup.outcome, Backup.size, seconds)
    found = session.execute(
        statement.where(Backup.finished_at.is_not(None)).order_by(Backup.started_at.desc()).limit(limit)
    ).all()
    return [BackupFigures(row.id, row.started_at, row.outcome, row.size, float(row.seconds)) for row in reversed(found)]
