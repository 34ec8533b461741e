"""Disconnecting a grant: its platform is asked to revoke it, its tokens are forgotten, and its figures stay.

The platform comes first: if it does not answer, nothing is changed, since only the tokens can end what they allow.
"""

from contextlib import suppress
from enum import StrEnum

from pydantic import SecretStr
from sqlalchemy.orm import Session

from sivera.errors import ReconnectRequired, SiveraError, TokenRejected
from sivera.grants import renewal_queries as queries
from sivera.grants.renewal import RenewalDependencies, new_owner, unseal_tokens
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import PlatformClient, Revokes
from sivera.values import GrantTokens

REASON = "it was disconnected with `sivera credentials disconnect`"


class Ending(StrEnum):
    """What a platform did about a grant that we let go."""

    REVOKED = "revoked"
    ENDED = "ended"
    """It takes the tokens no more: there is nothing to revoke."""
    LEFT = "left"
    """It has no call for that, or was not asked: a user has to take our access away."""


class NotDisconnectedError(SiveraError):
    """A grant was not disconnected; it is as it was before."""


def disconnect(deps: RenewalDependencies, client: PlatformClient | None, credential_id: int) -> Ending:
    """Revoke a grant at its platform, and forget its tokens. Without a client, the platform is not asked.

    Raises:
        NotDisconnectedError: The platform did not revoke it, its tokens cannot be read, or somebody renews or connects
            it; nothing was changed.
    """
    owner = new_owner()
    is_done = False
    try:
        ending = _revoke(deps, client, credential_id, owner)
        if ending is not None:
            with Session(deps.engine) as session, session.begin():
                is_done = queries.forget_tokens(session, credential_id, owner, REASON)
    except SiveraError as error:
        raise NotDisconnectedError(
            f"grant {credential_id} was not revoked, and stays as it was ({str(error).rstrip('.')}): "
            "disconnect it once that is over, or give --without-revoking to forget its tokens all the same"
        ) from None
    finally:
        with Session(deps.engine) as session, session.begin():
            queries.release(session, credential_id, owner, 0, None)
    if ending is None:
        raise NotDisconnectedError(f"grant {credential_id} is being renewed just now: disconnect it in two minutes")
    if not is_done:
        raise NotDisconnectedError(f"grant {credential_id} was connected again meanwhile, and stays connected")
    deps.spool.forget(credential_id)
    return ending


def _revoke(deps: RenewalDependencies, client: PlatformClient | None, credential_id: int, owner: str) -> Ending | None:
    """Take the lease, and revoke. Return None if somebody else has the lease."""
    if client is not None:
        with suppress(ReconnectRequired):  # then what is stored may still be revoked
            GrantTokenSource(deps, client, credential_id).current()  # an access token that has ended may not
    with Session(deps.engine, expire_on_commit=False) as session, session.begin():
        held = queries.hold(session, credential_id, owner)
    if held is None:
        return None
    if not isinstance(client, Revokes):
        return Ending.LEFT
    tokens = unseal_tokens(deps.keyring, held)
    access = tokens["access_token"] or SecretStr("")
    try:
        client.revoke(GrantTokens(access_token=access, refresh_token=tokens["refresh_token"]))
    except (TokenRejected, ReconnectRequired):
        return Ending.ENDED
    return Ending.REVOKED
