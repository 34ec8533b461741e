"""Opening and closing alerts, for both check-alerts and check-budgets."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from sivera.alerts.conditions import Condition, Kind, plain
from sivera.alerts.options import Channel
from sivera.models import Alert

OPENED, CLOSED = "sivera.alert.opened", "sivera.alert.closed"


class AlertEvent(NamedTuple):
    """An event that an operator's automations can react to. `name` is OPENED or CLOSED."""

    name: str
    resource: str
    payload: dict[str, Any]


def write_changes(
    session: Session,
    open_now: Iterable[Alert],
    found: Iterable[Condition],
    now: datetime,
    reasons: Mapping[str, str] | None = None,
) -> list[AlertEvent]:
    """Open an alert for each new condition, update the alerts of known ones, and close all others.

    The transaction must have called `queries.lock_alerts` before it read the open alerts. `open_now` has the alerts
    that this check is responsible for, and `found` all their current conditions. `reasons` maps the subject of an alert
    to the reason for closing it.

    Returns an event for each alert that opened, rose or closed.
    """
    over = {(alert.kind, alert.subject): alert for alert in open_now}
    events = []
    for one in found:
        known = over.pop((one.kind.value, one.subject), None)
        # The watchdog of the Prefect server has already sent a message about this.
        receipts = dict.fromkeys(Channel, now.isoformat()) if one.kind is Kind.ALERTS_SILENT else {}
        fixed = one.model_dump(include={"kind", "subject", "since", "team_id", "account_id"})
        alert = known or Alert(**fixed, opened_at=now, open_receipts=receipts, close_receipts={})
        is_news = known is None or (one.level or 0) > (known.level or 0)
        alert.title, alert.message, alert.link = one.title, one.text, one.link
        alert.level, alert.details = one.level, dict(one.details)
        if is_news:
            alert.raised_at = now
            session.add(alert)
            events.append(_event(OPENED, alert))
    for alert in over.values():
        alert.closed_at, alert.closed_because = now, (reasons or {}).get(alert.subject)
        events.append(_event(CLOSED, alert))
    session.flush()
    return events


def _event(name: str, alert: Alert) -> AlertEvent:
    payload = alert.details | {
        "kind": alert.kind,
        "subject": alert.subject,
        "title": plain(alert.title),  # an automation may send it to a chat
        "message": plain(alert.closed_because or alert.message),
        "since": alert.since.astimezone(UTC).isoformat(timespec="seconds"),
        "link": alert.link,
    }
    payload |= {} if alert.level is None else {"threshold": alert.level}
    return AlertEvent(name, f"sivera.alert.{alert.kind}.{alert.subject}", payload)
