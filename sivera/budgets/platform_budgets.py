"""The check of a platform's budgets: what each account has spent of them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE
from sivera.alerts.queries import open_of_accounts
from sivera.budgets import queries
from sivera.budgets.options import BudgetOptions
from sivera.budgets.pacing import PACING, Period, Span, period_limit, period_of, running_days
from sivera.budgets.projection import Bounds, project
from sivera.budgets.rules import Reading
from sivera.budgets.summary import Checked, CheckFailure, worst_first
from sivera.budgets.watched import Watched, is_stale
from sivera.logs import log
from sivera.models import AdAccount, Alert
from sivera.values import BudgetKind

logger = logging.getLogger("sivera.budgets")

NOTHING = Decimal(0)


@dataclass(frozen=True)
class Judged:
    """What is known of some budgets, and their open alerts. One of which nothing is known is left out of both."""

    checked: Checked
    readings: Sequence[Reading]
    alerts: Sequence[Alert]


def in_turn(session: Session, platform: str, options: BudgetOptions) -> Sequence[int]:
    """Return the ids of a platform's accounts, those first that have waited longest for a check."""
    return queries.accounts_in_turn(session, platform, options.teams)


def judge(session: Session, now: datetime, options: BudgetOptions, ids: Sequence[int]) -> Judged:
    """Judge the platforms' budgets of some accounts."""
    watched: list[Watched] = []
    closed, reasons, stale = set(), {}, 0
    accounts = queries.read_accounts(session, ids)
    for account, team, has_budget in accounts:
        if account.status != ACTIVE:
            closed.add(account.id)
        elif is_stale(account, now, options.stale_hours):
            stale += has_budget
        else:
            try:
                watched.append(Watched.at(account, team, now))
            except (KeyError, ValueError):  # ZoneInfoNotFoundError is a KeyError
                reasons[f"account-{account.id}"] = (
                    f"its time zone '{account.timezone}' is unknown: connect its grant again, which reads it again"
                )
    readings, mixed = _read(session, watched)
    for account, *_ in accounts:
        _log(account, readings.get(account.id), reasons.get(f"account-{account.id}"))
    known = closed | readings.keys()
    alerts = [
        alert
        for alert in open_of_accounts(session, ids)
        if alert.account_id in known and not alert.subject.startswith(tuple(mixed))
    ]
    found = [reading for of_account in readings.values() for reading in of_account]
    failures = reasons | {subject.rstrip("."): why for subject, why in mixed.items()}
    checked = Checked(
        accounts=len(accounts) - len(closed),
        budgets=sum(reading.period.span is not Span.DAY for reading in found),
        stale=stale,
        worst=worst_first(found),
        failures=tuple(CheckFailure(subject=subject, reason=why) for subject, why in failures.items()),
    )
    return Judged(checked, found, alerts)


def _log(account: AdAccount, readings: Sequence[Reading] | None, reason: str | None) -> None:
    """Log what was found. Without readings the account is closed, its figures are old, or a reason says why."""
    said: dict[str, object] = {
        "outcome": "not judged" if readings is None else "judged",
        "budgets": len(readings or ()),
    }
    said |= {"percent": max(one.percent for one in readings)} if readings else {}
    said |= {"reason": reason} if reason else {}
    level = logging.WARNING if reason else logging.INFO
    log(logger, level, "Account checked", account_id=account.id, platform=account.platform, name=account.name, **said)


def _read(session: Session, watched: Sequence[Watched]) -> tuple[dict[int, list[Reading]], dict[str, str]]:
    """Return the readings by account, and the budgets that cannot be judged: why, by the start of their subjects."""
    by_id = {one.account.id: one for one in watched}
    readings: dict[int, list[Reading]] = {account_id: [] for account_id in by_id}
    mixed = {}
    for row in queries.read_spend(session, [one.since() for one in watched]):
        if row.is_mixed:
            mixed[f"account-{row.account_id}.{row.budget}."] = (
                f"its figures are in other currencies than its budget ({row.currency}), and are never added"
            )
        else:
            readings[row.account_id] += _readings(by_id[row.account_id], row)
    return readings, mixed


def _readings(watched: Watched, row: Row[Any]) -> Iterator[Reading]:
    """Yield how much of a platform's budget is spent: in its period, and for a daily one also today."""
    days = dict(zip(row.days, row.spends, strict=True))
    if row.budget_kind == BudgetKind.LIFETIME:
        period = Period(span=Span.LIFETIME, since=row.first_day, until=row.last_day)
        yield _over_period(watched, row, days, _reading(watched, row, period, row.amount, row.spent), None)
        return
    pacing, period = PACING[watched.platform], watched.period
    most_a_day = None if pacing.day_factor is None else row.amount * pacing.day_factor
    limit = period_limit(pacing, row.amount, period, row.first_day, row.last_day)
    if limit > 0:
        so_far = period.model_copy(update={"until": watched.today})
        pace = row.amount * running_days(so_far, row.first_day, row.last_day)
        reading = _reading(watched, row, period, limit, row.spent, pace)
        yield _over_period(watched, row, days, reading, most_a_day)
    today = days.get(watched.today, NOTHING)
    if most_a_day and today:
        yield _reading(watched, row, period_of(Span.DAY, watched.today), most_a_day, today, most_a_day)


def _over_period(
    watched: Watched, row: Row[Any], days: Mapping[date, Decimal], reading: Reading, most_a_day: Decimal | None
) -> Reading:
    """Return the reading with what is unknown of its period, and its projection."""
    period = reading.period
    begins = max((day for day in (period.since, row.first_day) if day), default=date.min)
    ends = min((day for day in (period.until, row.last_day) if day), default=None)
    is_cut = begins < watched.known_from
    # If no campaign runs on a budget, nothing more of it is spent.
    bounds = Bounds(day=most_a_day if row.is_active else NOTHING, period=reading.limit)
    projection = project(row.spent, days, watched.partial, period.model_copy(update={"until": ends}), bounds)
    note = f"What was spent before {watched.known_from} is not known" if is_cut else ""
    return reading.model_copy(update={"at_least": is_cut, "note": note, "projection": projection})


def _reading(
    watched: Watched, row: Row[Any], period: Period, limit: Decimal, spent: Decimal, pace: Decimal | None = None
) -> Reading:
    account = watched.account
    name = f"shared by {row.campaigns} campaigns" if row.budget_kind == BudgetKind.SHARED else row.name
    return Reading(
        subject=f"account-{account.id}.{row.budget}.{period.key}",
        team_id=account.team_id,
        account_id=account.id,
        platform=watched.platform,
        team=watched.team,
        account=account.name,
        name=name,
        budget=row.budget_kind,
        period=period,
        currency=row.currency,
        limit=limit,
        spent=spent,
        pace=pace,
        as_of=account.metrics_as_of,
    )
