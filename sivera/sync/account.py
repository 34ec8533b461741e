"""The sync of one ad account: fetch over HTTP, then store in one transaction with its cursor.

Cursor and data are written together. A process that is killed leaves either the old state or the new one, and a second
run of the same sync finds nothing to change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera import values
from sivera.accounts import queries
from sivera.clock import utc_now
from sivera.errors import AccountInaccessible, ConfigurationError, ReconnectRequired, Throttled, ThrottleScope
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import PlatformClient
from sivera.reasons import reason_for
from sivera.sync import queries as sync_queries
from sivera.sync import rules
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.summary import AccountSync, Outcome


@dataclass(frozen=True)
class SyncDependencies:
    """What the sync of an account needs from outside.

    `client_for` and `tokens_for` give the platform's client and the grant's token source.
    """

    engine: Engine
    client_for: Callable[[values.PlatformName], PlatformClient]
    tokens_for: Callable[[values.PlatformName, int], GrantTokenSource]
    now: Callable[[], datetime] = utc_now


@dataclass(frozen=True)
class Target:
    """An account as it stood when its sync began."""

    due: DueAccount
    credential_id: int
    account: values.AdAccount
    cursor: datetime | None
    outstanding: tuple[values.ReportRequest, ...]


@dataclass(frozen=True)
class Fetched:
    """What the platform said, and when the fetch began."""

    as_of: datetime
    listing: values.CampaignListing
    metrics: values.MetricsReading


def sync_account(
    deps: SyncDependencies, due: DueAccount, mode: SyncMode, lookback_days: int | None = None
) -> AccountSync:
    """Copy one account's campaigns and metrics into the database.

    Returns what it did, or that the platform wants no calls now. It records when the grant needs a human.

    Raises:
        SiveraError: The account failed, and nothing of it was written.
    """
    target = _load(deps.engine, due)
    tokens = deps.tokens_for(due.platform, target.credential_id)
    used = None
    try:
        used = tokens.current()
        fetched = _fetch(deps, target, tokens, mode, lookback_days)
    except Throttled as error:
        with Session(deps.engine) as session, session.begin():
            queries.record_put_off(session, due.id, reason_for(error), deps.now())
        return AccountSync(account=due, outcome=Outcome.PUT_OFF, again=error.scope is ThrottleScope.PLATFORM)
    except ReconnectRequired as error:
        if used is not None:
            tokens.reject(used, error)
        raise
    with Session(deps.engine) as session, session.begin():
        return store(session, target, mode, fetched, deps.now())


def record_failure(engine: Engine, due: DueAccount, error: Exception, now: datetime) -> str:
    """Record why an account failed, and when it is tried again. Return the reason in words."""
    reason = reason_for(error)
    held = error.missing if isinstance(error, rules.RemovalsHeldError) else None
    with Session(engine) as session, session.begin():
        queries.record_failure(session, due.id, reason, now, lambda n: rules.next_attempt(n, now), held)
    return reason


def _load(engine: Engine, due: DueAccount) -> Target:
    with Session(engine) as session:
        rows = queries.sync_target(session, due.id)
    if not rows:
        raise AccountInaccessible(due.platform, f"account {due.id} is no longer in our database")
    first = rows[0]
    return Target(
        due=due,
        credential_id=first.credential_id,
        account=values.AdAccount(
            external_id=first.external_id,
            name=first.name,
            currency=first.currency,
            timezone=first.timezone,
            manager_id=first.manager_id,
            region=first.region,
        ),
        cursor=first.campaigns_cursor,
        outstanding=tuple(
            values.ReportRequest(
                report_id=row.report_id,
                ad_product=row.ad_product,
                window=values.DateWindow(since=row.since, until=row.until),
                requested_at=row.requested_at,
            )
            for row in rows
            if row.report_id is not None
        ),
    )


def _fetch(
    deps: SyncDependencies, target: Target, tokens: GrantTokenSource, mode: SyncMode, lookback_days: int | None
) -> Fetched:
    client, account = deps.client_for(target.due.platform), target.account
    as_of = deps.now()
    since = target.cursor if mode is SyncMode.INCREMENTAL else None
    today = as_of.astimezone(_zone(target)).date()
    window = rules.metrics_window(target.due.platform, mode, lookback_days, today)
    return Fetched(
        as_of=as_of,
        listing=client.list_campaigns(tokens, account, since),
        metrics=client.read_metrics(tokens, account, window, target.outstanding),
    )


def _zone(target: Target) -> ZoneInfo:
    try:
        return ZoneInfo(target.account.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigurationError(
            f"account {target.due.id} has the time zone '{target.account.timezone}', which is unknown: connect its "
            "grant again, which reads the time zone again, or correct it in ad_accounts"
        ) from None


def store(session: Session, target: Target, mode: SyncMode, fetched: Fetched, now: datetime) -> AccountSync:
    """Write what was fetched, and move the cursor, in the session's transaction.

    Raises:
        RemovalsHeldError: The listing lacks more campaigns than may vanish without a human's confirmation.
    """
    due = target.due
    state = queries.lock_sync_state(session, due.id)
    if state is None or (state.synced_as_of is not None and state.synced_as_of > fetched.as_of):
        # A sync that began later was faster: our data is older than the stored data.
        return AccountSync(account=due, outcome=Outcome.PUT_OFF, again=True)
    campaigns = fetched.listing.campaigns
    added, changed, removed = sync_queries.upsert_campaigns(session, due.id, campaigns, now)
    unchanged = len(campaigns) - added - changed - removed
    full = mode is SyncMode.FULL and fetched.listing.complete
    if full:
        listed = [campaign.external_id for campaign in campaigns]
        approved = (state.removals_held or 0) if state.removals_approved else 0
        removed += _remove_missing(session, due.id, listed, now, approved)
    metric_rows = sum(sync_queries.replace_window(session, due.id, batch, now) for batch in fetched.metrics.batches)
    if target.outstanding or fetched.metrics.outstanding:
        queries.replace_outstanding_reports(session, due.id, fetched.metrics.outstanding)
    _record_reports(session, target, fetched.metrics)
    queries.mark_synced(session, due.id, as_of=fetched.as_of, now=now, full=full)
    return AccountSync(
        account=due,
        outcome=Outcome.SYNCED,
        added=added,
        changed=changed,
        unchanged=unchanged,
        removed=removed,
        metric_rows=metric_rows,
        recovered=state.consecutive_failures >= rules.SLOW_LANE_AFTER,
    )


def _record_reports(session: Session, target: Target, metrics: values.MetricsReading) -> None:
    """Record how old the reported figures are, so that nobody takes a sync without them for fresh."""
    asked = {request.ad_product: request.requested_at for request in metrics.outstanding}
    if arrived := rules.reports_as_of(metrics.batches, _zone(target)):
        sync_queries.note_reports(session, target.due.id, arrived)
    if first := {product: at for product, at in asked.items() if product not in arrived}:
        sync_queries.expect_reports(session, target.due.id, first)
    if metrics.not_enabled:
        sync_queries.forget_reports(session, target.due.id, metrics.not_enabled)


def _remove_missing(session: Session, account_id: int, listed: list[str], now: datetime, approved: int) -> int:
    missing: int
    missing, total = sync_queries.count_missing(session, account_id, listed)
    if missing > approved and rules.too_many_removals(missing, total):
        raise rules.RemovalsHeldError(account_id, missing, total)
    if missing:
        sync_queries.mark_missing_removed(session, account_id, listed, now)
    return missing
