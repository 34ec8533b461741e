"""Questions of the pages that runs leave: how it went lately, and how things stand by the database's clock."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import Interval, Numeric

from sivera.accounts.queries import ACTIVE
from sivera.models import AdAccount, PlatformCredential, Report, SyncRun


class SyncCounts(NamedTuple):
    """A run of sync-campaigns: when it began, and its accounts by how they ended."""

    id: str
    started_at: datetime
    synced: int
    failed: int
    put_off: int
    waiting: int


def recent_syncs(session: Session, limit: int) -> list[SyncCounts]:
    """Return the last runs of sync-campaigns, the oldest first."""
    counts = (SyncRun.summary[name].as_integer().label(name) for name in ("synced", "failed", "put_off", "waiting"))
    statement = select(SyncRun.id, SyncRun.started_at, *counts).order_by(SyncRun.started_at.desc()).limit(limit)
    return [SyncCounts(str(row[0]), *row[1:]) for row in reversed(session.execute(statement).all())]


def accounts_by_age(session: Session, bounds: Sequence[timedelta]) -> Sequence[Row[tuple[str, int | None, int]]]:
    """Return platform, place among the bounds and number of the accounts that should be synced, by the last sync's age.

    The place is how many of the bounds the age has reached; None where an account was never synced.
    """
    place = _place(func.now() - AdAccount.last_synced_at, bounds)
    return session.execute(
        select(AdAccount.platform, place, func.count())
        .join(PlatformCredential, PlatformCredential.id == AdAccount.credential_id)
        .where(AdAccount.status == ACTIVE, PlatformCredential.status == ACTIVE)
        .group_by(AdAccount.platform, place)
    ).all()


def grants_by_life(session: Session, bounds: Sequence[timedelta]) -> Sequence[Row[tuple[str, str, int | None, int]]]:
    """Return platform, kind, place among the bounds and number of the grants, by how long they still live.

    The kind is the status of a grant that does not work, else 'renewable' (held by a refresh token), 'endless' or
    'ending'; only the last has a place: how many of the bounds its remaining life has reached.
    """
    kind: ColumnElement[str] = case(
        (PlatformCredential.status != ACTIVE, PlatformCredential.status),
        (PlatformCredential.refresh_token.is_not(None), "renewable"),
        (PlatformCredential.expires_at.is_(None), "endless"),
        else_="ending",
    )
    place = case((kind == "ending", _place(PlatformCredential.expires_at - func.now(), bounds)))
    found = select(PlatformCredential.platform, kind.label("kind"), place.label("place")).subquery()
    return session.execute(
        select(found.c.platform, found.c.kind, found.c.place, func.count()).group_by(
            found.c.platform, found.c.kind, found.c.place
        )
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


def _place(length: ColumnElement[Any], bounds: Sequence[timedelta]) -> ColumnElement[int | None]:
    seconds = cast(literal([bound.total_seconds() for bound in bounds], ARRAY(Numeric)), ARRAY(Numeric))
    return func.width_bucket(func.extract("epoch", cast(length, Interval)), seconds)
