"""Connecting a team's grant: its ad accounts are listed at the platform, then all is stored, or nothing."""

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.crypto import Keyring
from sivera.grants.renewal import seal
from sivera.grants.rules import FACTS
from sivera.platforms.base import PlatformClient, StaticToken
from sivera.queries import accounts as account_queries
from sivera.queries import grants as queries
from sivera.queries.renewals import recover
from sivera.values import GrantTokens, PlatformName, Value


class Connection(Value):
    """What connecting a grant gave: its id, and the accounts it carries (ours and the platform's ids)."""

    credential_id: int
    team: str
    platform: PlatformName
    account_ids: tuple[int, ...]
    external_ids: tuple[str, ...]


def connect(
    engine: Engine,
    keyring: Keyring,
    client: PlatformClient,
    *,
    team: str,
    tokens: GrantTokens,
    name: str = "main",
) -> Connection:
    """Connect a team's grant with tokens that its platform has just given.

    Connecting the same team, platform and name again replaces the tokens and takes the grant back into use: also from a
    renewal that is under way, whose answer is refused then.

    Raises:
        PlatformError: The platform does not take the token; nothing was stored.
    """
    found = client.list_accounts(StaticToken(tokens.access_token, client.platform))
    with Session(engine) as session, session.begin():
        team_id = queries.ensure_team(session, team)
        credential = queries.ensure_credential(session, team_id, client.platform.value, name)
        queries.replace_tokens(
            session,
            credential,
            access_token=seal(keyring, credential.id, "access_token", tokens.access_token),
            refresh_token=seal(keyring, credential.id, "refresh_token", tokens.refresh_token),
            expires_in=tokens.expires_in,
        )
        recover(session, credential.id)
        carried = account_queries.upsert_accounts(session, credential, found)
        return Connection(
            credential_id=credential.id,
            team=team,
            platform=client.platform,
            account_ids=tuple(account.id for account in carried),
            external_ids=tuple(account.external_id for account in carried),
        )


def connect_token(
    engine: Engine, keyring: Keyring, client: PlatformClient, *, team: str, token: SecretStr, name: str = "main"
) -> Connection:
    """Connect a grant of which a person has one token: renew it first, which proves it and tells when it ends.

    Args:
        engine: The database.
        keyring: Encrypts the tokens.
        client: The grant's platform.
        team: Whose grant.
        token: The refresh token on platforms whose grants have one (`FACTS`), else the access token.
        name: Tells a team's grants on one platform apart.

    Raises:
        PlatformError: The platform does not take the token; nothing was stored.
    """
    refreshes = FACTS[client.platform].by_refresh_token
    pasted = GrantTokens(access_token=SecretStr("") if refreshes else token, refresh_token=token if refreshes else None)
    return connect(engine, keyring, client, team=team, tokens=client.renew(pasted), name=name)
