"""Questions about the alerts on budgets, and their writing together with their events."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, insert, select, text
from sqlalchemy.orm import Session

from sivera.models import BudgetAlert, OutboxEvent

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('sivera budget alerts'))")

_CLOSE = text("""
    UPDATE budget_alerts AS alert SET closed_at = now(), closed_because = over.why
    FROM unnest(CAST(:ids AS bigint[]), CAST(:reasons AS text[])) AS over (id, why) WHERE alert.id = over.id
""")


def lock_alerts(session: Session) -> None:
    """Wait until no other run reads alerts to write them, and keep others waiting until the transaction ends."""
    session.execute(_LOCK)


def open_of_accounts(session: Session, account_ids: Sequence[int]) -> Sequence[BudgetAlert]:
    """Return the open alerts of these accounts."""
    return _open(session, BudgetAlert.account_id.in_(account_ids))


def open_of_teams(session: Session, team_ids: Sequence[int]) -> Sequence[BudgetAlert]:
    """Return the open alerts on budgets that these teams set."""
    return _open(session, BudgetAlert.account_id.is_(None), BudgetAlert.team_id.in_(team_ids))


def _open(session: Session, *wanted: ColumnElement[bool]) -> Sequence[BudgetAlert]:
    return session.scalars(
        select(BudgetAlert).where(BudgetAlert.closed_at.is_(None), *wanted).order_by(BudgetAlert.id)
    ).all()


def open_alerts(session: Session, alerts: Sequence[BudgetAlert]) -> None:
    """Write alerts; they know their ids and the time then."""
    session.add_all(alerts)
    session.flush()


def close_alerts(session: Session, reasons: Mapping[int, str]) -> None:
    """Close alerts by their ids, each with its reason."""
    if reasons:
        session.execute(_CLOSE, {"ids": list(reasons), "reasons": list(reasons.values())})


def announce(session: Session, events: Sequence[Mapping[str, Any]]) -> None:
    """Leave events in the outbox, in this order; each has a `name`, a `resource` and a `payload`."""
    if events:
        session.execute(insert(OutboxEvent), [dict(event) for event in events])
