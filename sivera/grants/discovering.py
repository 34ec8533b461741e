"""Discovering which ad accounts a grant reaches now, once a day and whenever one can no longer be read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from threading import Lock

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera import values
from sivera.accounts import queries as account_queries
from sivera.errors import PlatformError, ReconnectRequired
from sivera.grants import queries
from sivera.grants.source import GrantTokenSource
from sivera.models import AdAccount
from sivera.platforms.base import PlatformClient
from sivera.values import OddRow, PlatformName, Value

EVERY = timedelta(hours=20)
"""A grant is due again after this time: once a day, in whichever run comes first."""

PATIENCE = timedelta(hours=24)
"""A grant that was due for so long, and still cannot be listed, is a failure."""

AGAIN_AFTER = timedelta(hours=1)
"""A grant with an account that cannot be read is discovered again, but not by each of its accounts."""

_ASKING: dict[int, Lock] = {}
"""Held while the accounts of a grant are asked for because one cannot be read."""

WATCHED = {"name": "name", "currency": "currency", "timezone": "time zone", "manager_id": "manager account"}
"""What may change about an account, in words."""


UNLISTED = "no longer listed by its grant"


class DueGrant(Value):
    """A grant with ad accounts to discover; one that `is_overdue` should have been listed a day ago."""

    id: int
    platform: PlatformName
    team: str
    name: str
    is_overdue: bool = False


class AccountNews(Value):
    """What a person should know of an ad account: what has changed, why its sync failed, or what it lacks."""

    account_id: int
    platform: PlatformName
    name: str
    what: str


class Discovery(Value):
    """What discovering the accounts of a grant has found."""

    account_ids: tuple[int, ...]
    changes: tuple[AccountNews, ...] = ()
    left_out: tuple[OddRow, ...] = ()


def due_grants(session: Session, platforms: Sequence[PlatformName], teams: Sequence[str]) -> list[DueGrant]:
    """Return the working grants with accounts that were not listed for a day, those first that wait longest."""
    rows = queries.undiscovered_grants(session, EVERY, PATIENCE, [one.value for one in platforms], teams)
    return [DueGrant.model_validate(row._asdict()) for row in rows]


def discover(engine: Engine, client: PlatformClient, tokens: GrantTokenSource, credential_id: int) -> Discovery:
    """Find the ad accounts that a grant reaches now, and store what is new about them.

    An account that the platform no longer lists stays as it is, and is named once: its sync says what is wrong with it.

    Raises:
        PlatformError: The platform does not list them; nothing was changed. If a human must connect the grant again,
            that is recorded.
    """
    with Session(engine) as session, session.begin():
        queries.claim_discovery(session, credential_id)
    used = tokens.current()
    try:
        listing = client.list_accounts(tokens)
    except ReconnectRequired as error:
        with suppress(ReconnectRequired):  # the renewal has recorded it already
            tokens.reject(used, error)
        raise
    with Session(engine) as session, session.begin():
        grant = queries.get_credential(session, credential_id)
        before = {one.external_id: _facts(one) for one in account_queries.accounts_of(session, credential_id)}
        carried = account_queries.upsert_accounts(session, grant, listing.accounts)
        queries.record_discovery(session, credential_id, listing.data_access_ends)
        news = [(one, what) for one in carried for what in _changes(before.get(one.external_id), _facts(one))]
        if not listing.left_out:  # else what is absent may only have been left out
            listed = {account.external_id for account in listing.accounts}
            unlisted = account_queries.mark_unlisted(session, credential_id, listed, listing.refused_regions)
            news += [(one, UNLISTED) for one in unlisted]
        return Discovery(
            account_ids=tuple(account.id for account in carried),
            changes=tuple(
                AccountNews(account_id=one.id, platform=client.platform, name=one.name, what=what) for one, what in news
            ),
            left_out=listing.left_out,
        )


def rediscover(
    engine: Engine,
    client: PlatformClient,
    tokens: GrantTokenSource,
    credential_id: int,
    account_id: int,
    known: values.AdAccount,
) -> tuple[bool, tuple[AccountNews, ...]]:
    """Discover the accounts of a grant that can no longer read one; of several at once the first asks, others wait.

    Return whether that one is not as `known`, and what this call found.
    """
    changes: tuple[AccountNews, ...] = ()
    with _ASKING.setdefault(credential_id, Lock()):
        with Session(engine) as session, session.begin():
            is_due = queries.claim_discovery(session, credential_id, AGAIN_AFTER)
        if is_due:
            try:
                changes = discover(engine, client, tokens, credential_id).changes
            except PlatformError:
                return False, changes  # the account's own error says more
    with Session(engine) as session:
        now = account_queries.get_account(session, account_id)
        return now is not None and _facts(now) != _facts(known), changes


def _facts(account: AdAccount | values.AdAccount) -> dict[str, str | None]:
    return {name: getattr(account, name) for name in (*WATCHED, "status", "region")}


def _changes(before: Mapping[str, str | None] | None, now: Mapping[str, str | None]) -> Iterator[str]:
    if before is None:
        yield "new"
        return
    if before["status"] != now["status"]:
        yield "closed" if now["status"] == "closed" else "open again"
    for name, what in WATCHED.items():
        if before[name] != now[name]:
            yield f"its {what} was {before[name] or 'none'} and is {now[name] or 'none'}"
