"""The check of budgets: read, judge and write, some hundreds of accounts at a time.

Each chunk is one transaction. One run at a time is between reading and writing alerts, so that two runs at once never
open the same one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.accounts import queries as account_queries
from sivera.alerts.changes import OPENED, AlertEvent, write_changes
from sivera.alerts.conditions import Condition
from sivera.alerts.queries import lock_alerts
from sivera.budgets import platform_budgets, queries, team_budgets
from sivera.budgets.options import BudgetOptions
from sivera.budgets.platform_budgets import Judged
from sivera.budgets.rules import alert_level
from sivera.budgets.summary import TEAMS, Checked
from sivera.budgets.wording import budget_condition
from sivera.clock import read_clock, utc_now
from sivera.errors import ConfigurationError
from sivera.values import PlatformName

NOT_SPENT = "Its period is over, or nothing is spent of it any more."


@dataclass(frozen=True)
class CheckDependencies:
    """What a check needs from outside. `link` leads to its run; `send_events` is called after each transaction."""

    engine: Engine
    link: str = ""
    send_events: Callable[[Sequence[AlertEvent]], None] = lambda _: None
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    accounts_at_once: int = 500
    teams_at_once: int = 50


def check_teams_exist(deps: CheckDependencies, options: BudgetOptions) -> None:
    """Raise ConfigurationError if the options name a team that does not exist."""
    with Session(deps.engine) as session:
        if missing := account_queries.unknown_teams(session, options.teams):
            raise ConfigurationError(f"there is no team '{missing[0]}': `sivera accounts list` shows them all")


def parts_in_order(deps: CheckDependencies, options: BudgetOptions) -> list[str]:
    """Return the platforms to check, and TEAMS; the one that has waited longest for a check comes first."""
    with Session(deps.engine) as session:
        waiting = queries.waiting_since(session, TEAMS)
    parts = [*(platform.value for platform in options.platforms or PlatformName), TEAMS]
    return sorted(parts, key=lambda part: waiting.get(part, datetime.max.replace(tzinfo=UTC)))


def check_part(deps: CheckDependencies, options: BudgetOptions, part: str, until: float) -> Checked:
    """Check a platform's accounts or the teams' own budgets, until none is left or time is up.

    Those that have waited longest come first.

    Args:
        deps: What it needs from outside.
        options: Which teams, which thresholds.
        part: A platform, or TEAMS.
        until: The monotonic time after which nothing more is started.
    """
    is_teams = part == TEAMS
    in_turn = team_budgets.in_turn if is_teams else platform_budgets.in_turn
    judge = team_budgets.judge if is_teams else platform_budgets.judge
    mark = queries.mark_teams if is_teams else queries.mark_accounts
    size = deps.teams_at_once if is_teams else deps.accounts_at_once
    with Session(deps.engine) as session:
        ids = in_turn(session, part, options)
    found = Checked()
    for first in range(0, len(ids), size):
        if deps.monotonic() >= until:
            return found + Checked(put_off=True)
        some = ids[first : first + size]
        with Session(deps.engine) as session, session.begin():
            lock_alerts(session)
            judged = judge(session, deps.now(), options, some)
            events = _write(session, judged, options, deps.link)
            mark(session, some)
        deps.send_events(events)
        opened = sum(event.name == OPENED for event in events)
        found += judged.checked + Checked(opened=opened, closed=len(events) - opened)
    return found


def _write(session: Session, judged: Judged, options: BudgetOptions, link: str) -> list[AlertEvent]:
    now = read_clock(session)
    reasons = {alert.subject: NOT_SPENT for alert in judged.alerts}
    reasons |= {one.subject: f"{one.percent} % of the budget is spent." for one in judged.readings}
    return write_changes(session, judged.alerts, _conditions(judged, options, link, now), now, reasons)


def _conditions(judged: Judged, options: BudgetOptions, link: str, now: datetime) -> Iterator[Condition]:
    before = {alert.subject: alert.level for alert in judged.alerts}
    for one in judged.readings:
        level = alert_level(one, before.get(one.subject), options.thresholds, options.hysteresis)
        if level:
            yield budget_condition(one, level, link, now)
