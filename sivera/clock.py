"""This machine's clock, the database's, which decides wherever times are compared later, and time zones."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session


def utc_now() -> datetime:
    """Return this machine's time, in UTC."""
    return datetime.now(UTC)


def read_clock(session: Session) -> datetime:
    """Return the database's time, in UTC whatever the session's zone is. It moves on within a transaction."""
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now.astimezone(UTC)


def past(
    at: InstrumentedAttribute[datetime | None] | InstrumentedAttribute[datetime], now: ColumnElement[Any] | datetime
) -> ColumnElement[datetime | None]:
    """Return a stored time, or NULL if it is ahead of the database's clock: then it is no time of ours."""
    return case((at <= now, at))


def past_or(
    at: InstrumentedAttribute[datetime | None],
    now: datetime | ColumnElement[Any],
    other: InstrumentedAttribute[datetime],
) -> ColumnElement[datetime | None]:
    """Return a stored time, or another one if it is ahead of the database's clock."""
    return case((at > now, other), else_=at)


def find_zone(name: str) -> ZoneInfo | None:
    """Return a time zone; None if this machine does not know the name."""
    try:
        return ZoneInfo(name)
    # An empty name, a folder of the database, a name with a NUL, and more.
    except (KeyError, ValueError, OSError):
        return None
