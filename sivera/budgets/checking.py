"""The check of a platform's accounts: read, judge and write, some hundreds of accounts at a time.

Each chunk is one transaction: what is read, the alerts, and their events. One run at a time is between the reading and
the writing of alerts, so that two runs at once tell of nothing twice.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, Row
from sqlalchemy.orm import Session

from sivera.accounts import queries as account_queries
from sivera.budgets import alert_queries, queries, rules
from sivera.budgets.alerting import Changes, as_open
from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import Span
from sivera.budgets.readings import Watched, is_stale, platform_readings
from sivera.budgets.rules import AlertKind, OpenAlert, Reading
from sivera.budgets.summary import TEAMS, Checked, CheckFailure, worst_first
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.logs import log
from sivera.models import AdAccount
from sivera.values import PlatformName

logger = logging.getLogger("sivera.budgets")


@dataclass(frozen=True)
class CheckDependencies:
    """What a check needs from outside; `link` leads a person to its run, so many are checked in a transaction."""

    engine: Engine
    link: str = ""
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    accounts_at_once: int = 500
    teams_at_once: int = 50


def check_teams_exist(deps: CheckDependencies, options: BudgetOptions) -> None:
    """Raise ConfigurationError where the options name a team that does not exist."""
    with Session(deps.engine) as session:
        if missing := account_queries.unknown_teams(session, options.teams):
            raise ConfigurationError(f"there is no team '{missing[0]}': `sivera accounts list` shows them all")


def parts_in_order(deps: CheckDependencies, options: BudgetOptions) -> list[str]:
    """Return the platforms to check, and TEAMS, the one first that holds what waits longest for a check."""
    with Session(deps.engine) as session:
        waiting = queries.waiting_since(session, TEAMS)
    parts = [*(platform.value for platform in options.platforms or PlatformName), TEAMS]
    return sorted(parts, key=lambda part: waiting.get(part, datetime.max.replace(tzinfo=UTC)))


def check_platform(deps: CheckDependencies, options: BudgetOptions, platform: PlatformName, until: float) -> Checked:
    """Check the budgets of a platform's accounts, those first that wait longest, until none is left or time is up.

    Args:
        deps: What it needs from outside.
        options: Which teams, which thresholds.
        platform: Whose accounts.
        until: The monotonic time after which no accounts are begun.
    """
    with Session(deps.engine) as session:
        in_turn = queries.accounts_in_turn(session, platform.value, options.teams)
    found = Checked()
    for first in range(0, len(in_turn), deps.accounts_at_once):
        if deps.monotonic() >= until:
            return found + Checked(put_off=True)
        ids = in_turn[first : first + deps.accounts_at_once]
        with Session(deps.engine) as session, session.begin():
            alert_queries.lock_alerts(session)
            found += _check_accounts(session, deps, options, queries.read_accounts(session, ids))
            queries.mark_accounts(session, ids)
    return found


def _check_accounts(
    session: Session,
    deps: CheckDependencies,
    options: BudgetOptions,
    accounts: Sequence[Row[tuple[AdAccount, str, bool, bool]]],
) -> Checked:
    now, changes = deps.now(), Changes(deps.link)
    alerts: dict[int, list[OpenAlert]] = {account.id: [] for account, *_ in accounts}
    for row in alert_queries.open_of_accounts(session, list(alerts)):
        alerts[row.account_id or 0].append(as_open(row))
    watched, stale, failures = [], 0, []
    for account, team, has_budget, is_connected in accounts:
        warnings = [alert for alert in alerts[account.id] if alert.kind is AlertKind.STALE]
        if account.status != account_queries.ACTIVE:
            changes.end(alerts[account.id], "the account is closed")
        elif is_stale(account, now, options.stale_hours):
            # Of a grant that has to be connected again, refresh-tokens and check-alerts tell.
            changes.warn(account, team, warnings, waits=has_budget and is_connected)
            stale += has_budget
        else:
            changes.end(warnings, "the account was synced")
            try:
                watched.append(Watched.at(account, team, now))
            except (KeyError, ValueError):  # ZoneInfoNotFoundError is a KeyError
                failures.append(_unknown_zone(account))
    readings, mixed = _read(session, watched)
    for one in watched:
        _judge(changes, readings[one.account.id], alerts[one.account.id], mixed, options)
    opened, closed = changes.write(session)
    reasons = {one.subject: one.reason for one in failures}
    for account, *_ in accounts:
        _log(account, readings.get(account.id), reasons.get(f"account-{account.id}"))
    return Checked(
        accounts=sum(account.status == account_queries.ACTIVE for account, *_ in accounts),
        budgets=sum(reading.period.span is not Span.DAY for found in readings.values() for reading in found),
        stale=stale,
        opened=opened,
        closed=closed,
        worst=worst_first(tuple(reading for found in readings.values() for reading in found)),
        failures=(*failures, *(CheckFailure(subject=name.rstrip("."), reason=why) for name, why in mixed.items())),
    )


def _log(account: AdAccount, readings: Sequence[Reading] | None, reason: str | None) -> None:
    """Tell of an account; without readings it is closed, its figures are old, or a reason says why."""
    told: dict[str, object] = {
        "outcome": "not judged" if readings is None else "judged",
        "budgets": len(readings or ()),
    }
    told |= {"percent": max(one.percent for one in readings)} if readings else {}
    told |= {"reason": reason} if reason else {}
    level = logging.WARNING if reason else logging.INFO
    log(logger, level, "Account checked", account_id=account.id, platform=account.platform, name=account.name, **told)


def _unknown_zone(account: AdAccount) -> CheckFailure:
    return CheckFailure(
        subject=f"account-{account.id}",
        reason=f"nobody knows its time zone '{account.timezone}': connect its grant again, which reads it anew",
    )


def _read(session: Session, watched: Sequence[Watched]) -> tuple[dict[int, list[Reading]], dict[str, str]]:
    """Return how far budgets are spent by their accounts, and why some cannot be told, by the beginning of subjects."""
    by_id = {one.account.id: one for one in watched}
    readings: dict[int, list[Reading]] = {account_id: [] for account_id in by_id}
    mixed = {}
    for row in queries.read_spend(session, [one.since() for one in watched]):
        if row.is_mixed:
            mixed[f"account-{row.account_id}.{row.budget}."] = (
                f"its figures are in other currencies than its budget ({row.currency}), which are never added"
            )
        else:
            readings[row.account_id] += platform_readings(by_id[row.account_id], row)
    return readings, mixed


def _judge(
    changes: Changes,
    readings: Sequence[Reading],
    alerts: Sequence[OpenAlert],
    mixed: Mapping[str, str],
    options: BudgetOptions,
) -> None:
    found = {reading.subject: reading for reading in readings}
    open_of = rules.by_subject([alert for alert in alerts if alert.kind is AlertKind.BUDGET])
    for subject in sorted(found.keys() | open_of.keys()):
        if not subject.startswith(tuple(mixed)):
            changes.judge(found.get(subject), open_of.get(subject, []), options)
