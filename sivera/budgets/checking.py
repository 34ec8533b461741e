"""The check of budgets: read, judge and write, some hundreds of accounts at a time.

Each chunk is one transaction. It locks the alerts, so two simultaneous runs never open the same one.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.alerts.changes import OPENED, AlertEvent, write_changes
from sivera.alerts.queries import lock_alerts
from sivera.budgets import queries
from sivera.budgets.judging import Judged, judge_accounts, judge_teams
from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import Span
from sivera.budgets.rules import alert_level
from sivera.budgets.summary import TEAMS, Checked, worst_first
from sivera.budgets.wording import budget_condition
from sivera.clock import read_clock

AT_ONCE = 500
"""Accounts or teams in one transaction."""

NOT_SPENT = "Its period is over, or none of it is being spent any more."


def check_part(
    engine: Engine,
    options: BudgetOptions,
    part: str,
    until: float,
    *,
    link: str = "",
    send_events: Callable[[Sequence[AlertEvent]], None] = lambda _: None,
    now: Callable[[Session], datetime] = read_clock,
) -> Checked:
    """Check a platform's accounts, or the teams' own budgets (the part TEAMS), until the monotonic time `until`.

    `link` leads to the run. `send_events` is called after each transaction.
    """
    with Session(engine) as session:
        if part == TEAMS:
            ids, judge = queries.team_ids(session, options.teams), judge_teams
        else:
            ids, judge = queries.account_ids(session, part, options.teams), judge_accounts
    found = Checked()
    for first in range(0, len(ids), AT_ONCE):
        if time.monotonic() >= until:
            return found + Checked(put_off=True)
        with Session(engine) as session, session.begin():
            lock_alerts(session)
            judged = judge(session, now(session), options, ids[first : first + AT_ONCE])
            events = _write(session, judged, options, link)
        send_events(events)
        opened = sum(event.name == OPENED for event in events)
        found += judged.found + Checked(
            budgets=sum(one.period.span is not Span.DAY for one in judged.readings),
            opened=opened,
            closed=len(events) - opened,
            worst=worst_first(judged.readings),
        )
    return found


def _write(session: Session, judged: Judged, options: BudgetOptions, link: str) -> list[AlertEvent]:
    now = read_clock(session)
    before = {alert.subject: alert.level for alert in judged.alerts}
    reasons = dict.fromkeys(before, NOT_SPENT)
    conditions = []
    for one in judged.readings:
        reasons[one.subject] = f"{one.percent} % of the budget is spent."
        if level := alert_level(one, before.get(one.subject), options.thresholds, options.hysteresis):
            conditions.append(budget_condition(one, level, link, now))
    return write_changes(session, judged.alerts, conditions, now, reasons)
