"""Connect a team's grant: list its ad accounts at the platform, then store everything in one transaction."""

from functools import partial

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.accounts import queries as account_queries
from sivera.crypto import Keyring
from sivera.errors import PlatformError, SiveraError
from sivera.grants import queries
from sivera.grants.renewal import seal_tokens
from sivera.grants.renewal_queries import Notify, recover
from sivera.grants.rules import FACTS
from sivera.platforms.base import PlatformClient, StaticToken
from sivera.values import AccountListing, GrantTokens, OddRow, PlatformName, Value


class AccountsNotListed(SiveraError):
    """The grant is stored, but its ad accounts could not be listed."""


class Connection(Value):
    """A connected grant, and our ids of the ad accounts that it carries.

    `reached` counts the accounts that the platform listed. `left_out` are those that could not be read.
    """

    platform: PlatformName
    team: str
    name: str
    credential_id: int
    account_ids: tuple[int, ...]
    reached: int
    left_out: tuple[OddRow, ...]


def connect(
    engine: Engine,
    keyring: Keyring,
    client: PlatformClient,
    *,
    team: str,
    tokens: GrantTokens,
    name: str = "main",
    notify: Notify = lambda *_: None,
    found: AccountListing | None = None,
) -> Connection:
    """Connect a team's grant with tokens that its platform has just issued.

    If the team already has a grant of this platform and name, its tokens are replaced and it works again; `notify` is
    then called. The answer of a renewal in progress is discarded. Without `found`, the ad accounts are listed here.

    Raises:
        PlatformError: The platform rejects the token; nothing was stored.
    """
    if found is None:
        found = client.list_accounts(StaticToken(tokens.access_token, client.platform))
    with Session(engine) as session, session.begin():
        credential = queries.ensure_credential(session, queries.ensure_team(session, team), client.platform, name)
        sealed = seal_tokens(keyring, credential.id, tokens)
        queries.replace_tokens(session, credential, sealed, tokens.expires_in)
        event = recover(session, credential.id)
        carried = account_queries.upsert_accounts(session, credential, found.accounts)
        account_queries.leave_slow_lane(session, credential.id)
        if found.accounts:  # without any, the next run lists them again
            queries.record_discovery(session, credential.id, found.data_access_ends)
        connection = Connection(
            platform=client.platform,
            team=team,
            name=name,
            credential_id=credential.id,
            account_ids=tuple(account.id for account in carried),
            reached=len(found.accounts),
            left_out=found.left_out,
        )
    if event:
        notify(*event)
    return connection


def connect_token(
    engine: Engine,
    keyring: Keyring,
    client: PlatformClient,
    *,
    team: str,
    token: SecretStr,
    name: str = "main",
    notify: Notify = lambda *_: None,
) -> Connection:
    """Connect a grant with the one token that a person has: the refresh token if the platform has one (`FACTS`).

    The token is renewed first, which proves that it works and tells when it ends.

    Raises:
        PlatformError: The platform rejects the token; nothing was stored.
        AccountsNotListed: The platform replaced the token and then failed: the grant is stored without ad accounts.
    """
    refreshes = FACTS[client.platform].by_refresh_token
    pasted = GrantTokens(access_token=SecretStr("") if refreshes else token, refresh_token=token if refreshes else None)
    with Session(engine) as session, session.begin():
        queries.prove_writable(session)  # before a token is spent
    tokens = client.renew(pasted)
    store = partial(connect, engine, keyring, client, team=team, tokens=tokens, name=name, notify=notify)
    try:
        return store()
    except PlatformError as error:
        if tokens.refresh_token == pasted.refresh_token:
            raise
        # The person's token is spent, and this is the only copy of its successor.
        id_ = store(found=AccountListing(accounts=())).credential_id
        raise AccountsNotListed(
            f"Connected grant {id_}, because the platform has replaced its token, but its ad accounts could not be "
            f"listed ({error}). Run: sivera credentials discover {id_}"
        ) from None
