"""SQL about alerts: the facts behind them, which are open, and which channel accepted which message."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Text, and_, case, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, array
from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE
from sivera.alerts.conditions import BadGrant, Kind, StaleAccount
from sivera.alerts.options import Channel
from sivera.clock import past, past_or
from sivera.grants.rules import WAITING
from sivera.models import AdAccount, Alert, PlatformCredential, Team
from sivera.platforms.base import REPORTS_LAG

FULL_AFTER = timedelta(hours=48)
"""Full syncs run daily. Without one for this long, removed campaigns and late changes go unnoticed."""

END_IS_NEWS = timedelta(days=7)
"""How long to keep sending the end of an alert to a channel that refuses it."""


def bad_grants(session: Session, within: timedelta) -> Sequence[BadGrant]:
    """Return the grants that a human has to reconnect, and those that lose access to data within this time.

    An access token without a refresh token counts only on its last day: until then it may still be renewed.
    """
    grant = PlatformCredential
    names = func.array_agg(aggregate_order_by(AdAccount.name, AdAccount.id)).filter(AdAccount.id.is_not(None))
    is_last_day = and_(grant.refresh_token.is_(None), grant.expires_at < func.now() + timedelta(days=1))
    token_ends = case((is_last_day, grant.expires_at))
    ends = case((grant.status == ACTIVE, func.least(grant.data_access_ends_at, token_ends)))
    found = session.execute(
        select(grant.id, Team.name, grant.platform, grant.name, grant.status_reason, grant.status_since)
        .add_columns(func.coalesce(names, array([], type_=Text)), ends)
        .join(Team, Team.id == grant.team_id)
        .outerjoin(AdAccount, and_(AdAccount.credential_id == grant.id, AdAccount.status == ACTIVE))
        .where(or_(grant.status.in_(WAITING), ends < func.now() + within))
        .group_by(grant.id, Team.name)
        .order_by(grant.id)
    )
    return [BadGrant._make(row) for row in found]


def stale_accounts(session: Session, after: timedelta) -> Sequence[StaleAccount]:
    """Return the accounts without a sync or new reports for this long, and those without a full sync for days."""
    # now() is the start of the transaction. While it waited for another check, accounts may have been synced.
    now = func.statement_timestamp()
    synced_at = past(AdAccount.last_synced_at, now)
    reports_as_of = past_or(AdAccount.reports_as_of, now, AdAccount.created_at)
    reported = reports_as_of + REPORTS_LAG
    synced = func.coalesce(synced_at, AdAccount.created_at)
    # After a broken grant is connected again, its accounts get the full time to be synced.
    counted_from = func.greatest(AdAccount.created_at, past(PlatformCredential.status_since, now))
    is_late = func.greatest(func.least(synced, reported), counted_from) < now - after
    full_at = func.greatest(past(AdAccount.last_full_sync_at, now), counted_from)
    is_synced = synced_at >= now - after
    found = session.execute(
        select(
            AdAccount.id,
            Team.name,
            AdAccount.platform,
            AdAccount.name,
            case((is_late, func.least(synced, reports_as_of)), else_=full_at),
            AdAccount.last_error,
            case((~is_late, "full"), (is_synced & (reported < synced_at), "reports"), else_="sync"),
        )
        .join(PlatformCredential, PlatformCredential.id == AdAccount.credential_id)
        .join(Team, Team.id == AdAccount.team_id)
        .where(AdAccount.status == ACTIVE, PlatformCredential.status == ACTIVE)
        .where(or_(is_late, full_at < now - FULL_AFTER))
        .order_by(AdAccount.id)
    )
    return [StaleAccount._make(row) for row in found]


def lock_alerts(session: Session) -> None:
    """Lock all alerts until the transaction ends; wait for another transaction that holds the lock."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('sivera alerts'))"))


def list_open(session: Session, kinds: Collection[Kind] = tuple(Kind)) -> Sequence[Alert]:
    """Return the open alerts of these kinds, the oldest first."""
    return _open(session, Alert.kind.in_([kind.value for kind in kinds]))


def open_of_accounts(session: Session, account_ids: Collection[int]) -> Sequence[Alert]:
    """Return the open alerts on budgets of these accounts."""
    return _open(session, Alert.account_id.in_(account_ids))


def open_of_teams(session: Session, team_ids: Collection[int]) -> Sequence[Alert]:
    """Return the open alerts on budgets that these teams set."""
    return _open(session, Alert.account_id.is_(None), Alert.team_id.in_(team_ids))


def _open(session: Session, *wanted: ColumnElement[bool]) -> Sequence[Alert]:
    statement = select(Alert).where(Alert.closed_at.is_(None), *wanted)
    return session.scalars(statement.order_by(Alert.since, Alert.id)).all()


def alerts_to_send(session: Session, now: datetime) -> Sequence[Alert]:
    """Return the alerts that a channel may still lack a message about, oldest first but budgets last."""
    statement = select(Alert).where(or_(Alert.closed_at.is_(None), Alert.closed_at > now - END_IS_NEWS))
    return session.scalars(statement.order_by(Alert.kind == Kind.BUDGET.value, Alert.raised_at, Alert.id)).all()


def write_receipt(session: Session, alert_id: int, channel: Channel, *, is_over: bool) -> None:
    """Record that a channel accepted the message that an alert opened, or that it is over."""
    column = Alert.close_receipts if is_over else Alert.open_receipts
    receipt = func.jsonb_build_object(channel.value, func.clock_timestamp())
    session.execute(update(Alert).where(Alert.id == alert_id).values({column: column.op("||")(receipt)}))
