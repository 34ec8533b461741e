"""Questions about how the database and what is in it are doing. Times are the database's own."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row, column, func, select, table, union
from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE
from sivera.models import AdAccount, OutboxEvent, PlatformCredential


def database_size(session: Session) -> int:
    """Return the size of this database, in bytes."""
    size: int = session.scalars(select(func.pg_database_size(func.current_database()))).one()
    return size


def data_directory(session: Session) -> str | None:
    """Return where the server keeps its data, or None where it is over the network or we may not know."""
    # A server that a socket leads to is on this machine. SHOW fails for a user who may not know; the view has no row.
    directory: str | None = session.scalar(
        select(column("setting"))
        .select_from(table("pg_settings"))
        .where(column("name") == "data_directory", func.inet_server_addr().is_(None))
    )
    return directory


def platforms_in_use(session: Session) -> set[str]:
    """Return the platforms of which there is a grant or an account."""
    return set(session.scalars(union(select(PlatformCredential.platform), select(AdAccount.platform))))


def ending_grants(session: Session, within: timedelta) -> Sequence[int]:
    """Return the ids of the grants whose token ends within that time, or has ended, and that have no refresh token."""
    return session.scalars(
        select(PlatformCredential.id)
        .where(
            PlatformCredential.status == ACTIVE,
            PlatformCredential.refresh_token.is_(None),
            PlatformCredential.expires_at < func.now() + within,
        )
        .order_by(PlatformCredential.id)
    ).all()


def inactive_grants(session: Session) -> Sequence[Row[tuple[int, str]]]:
    """Return id and status of the grants that do not work."""
    return session.execute(
        select(PlatformCredential.id, PlatformCredential.status)
        .where(PlatformCredential.status != ACTIVE)
        .order_by(PlatformCredential.id)
    ).all()


def unpublished_events(session: Session, after: timedelta) -> Row[tuple[int, datetime]]:
    """Return how many events have waited for longer than that to be published, and since when the oldest has."""
    return session.execute(
        select(func.count(), func.min(OutboxEvent.created_at)).where(
            OutboxEvent.published_at.is_(None), OutboxEvent.created_at < func.now() - after
        )
    ).one()
