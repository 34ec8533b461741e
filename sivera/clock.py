"""The two clocks: this machine's, and the database's, which decides wherever times are compared later."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def utc_now() -> datetime:
    """Return this machine's time, in UTC."""
    return datetime.now(UTC)


def read_clock(session: Session) -> datetime:
    """Return the database's time, in UTC whatever the session's zone is. It moves on within a transaction."""
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now.astimezone(UTC)
