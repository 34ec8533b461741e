"""Discover which ad accounts a grant reaches now: once a day, and whenever one of them can no longer be read."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from threading import Lock

from sqlalchemy.orm import Session

from sivera import values
from sivera.accounts import queries as account_queries
from sivera.accounts.news import AccountNews, changes_between, facts_of
from sivera.errors import PlatformError, ReconnectRequired
from sivera.grants import queries
from sivera.grants.source import GrantTokenSource
from sivera.values import OddRow, PlatformName, Value

EVERY = timedelta(hours=20)
"""How long after a listing a grant is due again: once a day, in whichever run comes first."""

PATIENCE = timedelta(hours=24)
"""A grant that still cannot be listed this long after it was due counts as a failure."""

AGAIN_AFTER = timedelta(hours=1)
"""The shortest time between two discoveries of a grant because of accounts that cannot be read."""

_LISTING: dict[int, Lock] = {}
"""For each grant, the lock held while its accounts are listed because one of them cannot be read."""


class DueGrant(Value):
    """A grant with ad accounts to discover. `is_overdue` if it should have been listed a day ago."""

    id: int
    platform: PlatformName
    team: str
    name: str
    is_overdue: bool = False


class Discovery(Value):
    """What the discovery of a grant's accounts found."""

    account_ids: tuple[int, ...]
    changes: tuple[AccountNews, ...] = ()
    left_out: tuple[OddRow, ...] = ()


def due_grants(session: Session, platforms: Sequence[PlatformName], teams: Sequence[str]) -> list[DueGrant]:
    """Return the working grants whose accounts were not listed for a day, the least recently tried first."""
    rows = queries.undiscovered_grants(session, EVERY, PATIENCE, platforms, teams)
    return [DueGrant.model_validate(row._asdict()) for row in rows]


def discover(grant: GrantTokenSource) -> Discovery:
    """Find the ad accounts that a grant reaches now, and store what is new about them.

    An account that is no longer listed is reported once and stays as it is. Its own sync tells what is wrong with it.

    Raises:
        PlatformError: The platform did not list them; nothing was changed. If the grant must be connected again, that
            is recorded.
    """
    with Session(grant.engine) as session, session.begin():
        queries.claim_discovery(session, grant.id)
    used = grant.current()
    try:
        listing = grant.client.list_accounts(grant)
    except ReconnectRequired as error:
        with suppress(ReconnectRequired):  # the renewal has recorded it already
            grant.reject(used, error)
        raise
    with Session(grant.engine) as session, session.begin():
        before = {one.external_id: facts_of(one) for one in account_queries.accounts_of(session, grant.id)}
        row = queries.get_credential(session, grant.id)
        carried = account_queries.upsert_accounts(session, row, listing.accounts)
        queries.record_discovery(session, grant.id, listing.data_access_ends)
        found = [(one, what) for one in carried for what in changes_between(before.get(one.external_id), facts_of(one))]
        if not listing.left_out:  # an account that seems absent may be one that was left out
            listed = {account.external_id for account in listing.accounts}
            unlisted = account_queries.mark_unlisted(session, grant.id, listed, listing.refused_regions)
            found += [(one, "no longer listed by its grant") for one in unlisted]
        platform = grant.client.platform
        return Discovery(
            account_ids=tuple(account.id for account in carried),
            changes=tuple(AccountNews(account_id=one.id, platform=platform, name=one.name, what=w) for one, w in found),
            left_out=listing.left_out,
        )


def rediscover(
    grant: GrantTokenSource, account_id: int, known: values.AdAccount
) -> tuple[bool, tuple[AccountNews, ...]]:
    """Discover a grant's accounts because it can no longer read one of them.

    If several accounts of a grant fail at once, the first one asks the platform and the others wait for its result.
    Return whether the account differs from `known`, and what this call found.
    """
    changes: tuple[AccountNews, ...] = ()
    with _LISTING.setdefault(grant.id, Lock()):
        with Session(grant.engine) as session, session.begin():
            is_due = queries.claim_discovery(session, grant.id, AGAIN_AFTER)
        if is_due:
            try:
                changes = discover(grant).changes
            except PlatformError:
                return False, changes  # the account's own error says more
    with Session(grant.engine) as session:
        now = account_queries.get_account(session, account_id)
        return now is not None and facts_of(now) != facts_of(known), changes
