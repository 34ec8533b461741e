"""Clocks and time zones. Times that are compared later come from the database's clock, not from this machine's."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session


def utc_now() -> datetime:
    """Return this machine's time in UTC."""
    return datetime.now(UTC)


def read_clock(session: Session) -> datetime:
    """Return the database's time in UTC. It moves on within a transaction."""
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now.astimezone(UTC)


def past(
    at: InstrumentedAttribute[datetime | None] | InstrumentedAttribute[datetime], now: ColumnElement[Any] | datetime
) -> ColumnElement[datetime | None]:
    """Return a stored time, or NULL if it is ahead of the database's clock and so cannot be ours."""
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
    # Such as for an empty name, a folder of the time zone database, or a name with a NUL.
    except (KeyError, ValueError, OSError):
        return None
