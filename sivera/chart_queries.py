"""Questions of the pages that runs leave: how it went lately, and how things stand by the database's clock."""

from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy import ColumnElement, Row, case, func, select
from sqlalchemy.orm import Session

from sivera.models import AdAccount, BudgetAlert, Report


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
