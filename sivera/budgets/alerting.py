"""Opening and closing alerts in a transaction, each change of a budget with one event; old figures have none."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from sivera.alerts.events import CLOSED, OPENED, alert_event
from sivera.budgets import alert_queries as queries
from sivera.budgets import rules, wording
from sivera.budgets.options import BudgetOptions
from sivera.budgets.rules import AlertKind, Closing, OpenAlert, Reading
from sivera.models import BudgetAlert

STALE_THRESHOLD = 0


@dataclass
class Changes:
    """What changes in one transaction; `link` is where a person sees more."""

    link: str
    openings: list[tuple[BudgetAlert, str, dict[str, Any]]] = field(default_factory=list)
    """Alert, message, and what else its event says."""
    closings: list[tuple[Closing, str, dict[str, Any]]] = field(default_factory=list)

    def judge(self, reading: Reading | None, alerts: Sequence[OpenAlert], options: BudgetOptions) -> None:
        """Add what follows for a budget from how far it is spent; None where nothing is spent of it any more.

        `alerts` are those of its subject that are open.
        """
        over = rules.closings(reading, alerts, options.hysteresis)
        ended = {one.alert.id for one in over}
        staying = [alert for alert in alerts if alert.id not in ended]
        for one in over:
            still = max((alert.threshold for alert in staying), default=None)
            said = f"Over: {one.why}." + (f" {wording.spent_message(reading)}" if reading else "")
            title = wording.closed_title(one.alert.title, one.why, still)
            self.closings.append((one, said, _numbers(reading) | {"stillReached": still, "title": title}))
        if reading:
            before = max((alert.threshold for alert in staying), default=None)
            for threshold in rules.openings(reading, staying, options.thresholds):
                more = _numbers(reading) | {"escalatedFrom": before}
                self.openings.append((_row(reading, threshold), wording.spent_message(reading), more))

    def warn(self, account: Any, team: str, alerts: Sequence[OpenAlert], *, waits: bool) -> None:
        """Add the warning that an account's figures are too old, where it is not open; take it back where none waits.

        `waits` says that the account has a budget, and a grant by which it should be synced.
        """
        if not waits:
            self.end(alerts, "it has no budget any more, or its grant has to be connected again")
        elif not alerts:
            row = BudgetAlert(
                kind=AlertKind.STALE.value,
                subject=stale_subject(account.id),
                title=wording.stale_title(team, account.platform, account.name),
                team_id=account.team_id,
                account_id=account.id,
                threshold=STALE_THRESHOLD,
            )
            self.openings.append((row, "", {}))

    def end(self, alerts: Iterable[OpenAlert], why: str) -> None:
        """Add that alerts are over for another reason than their budget."""
        for alert in alerts:
            title = wording.closed_title(alert.title, why, None)
            self.closings.append((Closing(alert=alert, why=why), f"Over: {why}.", {"title": title}))

    def write(self, session: Session) -> tuple[int, int]:
        """Write it all with its events; return of how many budgets something opened, and something closed.

        Where several thresholds of a budget open or close at once, the event tells of the highest. Warnings of old
        figures have none: check-alerts tells people of data that is not synced, once for a platform.
        """
        queries.close_alerts(session, {one.alert.id: one.why for one, *_ in self.closings})
        queries.open_alerts(session, [row for row, *_ in self.openings])
        closed = {
            one.alert.key: self._event(CLOSED, one.alert, message, more)
            for one, message, more in sorted(self.closings, key=lambda each: each[0].alert.threshold)
            if one.alert.kind is AlertKind.BUDGET
        }
        opened = {
            (row.kind, row.subject): self._event(OPENED, as_open(row), message, more)
            for row, message, more in sorted(self.openings, key=lambda each: each[0].threshold)
            if row.kind == AlertKind.BUDGET
        }
        queries.announce(session, [*closed.values(), *opened.values()])
        return len(opened), len(closed)

    def _event(self, name: str, alert: OpenAlert, message: str, more: Mapping[str, Any]) -> dict[str, Any]:
        return alert_event(
            name,
            kind=alert.kind.value,
            subject=alert.subject,
            title=alert.title,
            message=message,
            since=alert.opened_at,
            link=self.link,
            more={"threshold": alert.threshold, **more},
        )


def stale_subject(account_id: int) -> str:
    """Return the subject of the warning that an account's figures are too old."""
    return f"account-{account_id}"


def as_open(row: BudgetAlert) -> OpenAlert:
    """Return the value of an alert's row."""
    return OpenAlert(
        id=row.id,
        kind=AlertKind(row.kind),
        subject=row.subject,
        title=row.title,
        threshold=row.threshold,
        since=row.period_since,
        until=row.period_until,
        opened_at=row.opened_at,
    )


def _row(reading: Reading, threshold: int) -> BudgetAlert:
    return BudgetAlert(
        kind=AlertKind.BUDGET.value,
        subject=reading.subject,
        title=wording.opened_title(reading, threshold),
        team_id=reading.team_id,
        account_id=reading.account_id,
        threshold=threshold,
        period_since=reading.period.since,
        period_until=reading.period.until,
        currency=reading.currency,
        amount=reading.limit,
        spent=reading.spent,
    )


def _numbers(reading: Reading | None) -> dict[str, Any]:
    if reading is None:
        return {}
    return {
        "team": reading.team,
        "account": reading.account_id,
        "platform": reading.platform.value if reading.platform else None,
        "percent": reading.percent,
        "spent": str(reading.spent),
        "budget": str(reading.limit),
        "currency": reading.currency,
        "periodSince": reading.period.since.isoformat() if reading.period.since else None,
        "periodUntil": reading.period.until.isoformat() if reading.period.until else None,
        "projected": str(reading.projection.expected) if reading.projection else None,
    }
