"""Disconnect a grant: revoke it at its platform and forget its tokens. Its figures stay.

The platform comes first. If it does not answer, nothing changes, because revoking needs the tokens.
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
    """What the platform did about a disconnected grant."""

    REVOKED = "revoked"
    ENDED = "ended"
    """It no longer accepts the tokens, so there is nothing to revoke."""
    LEFT = "left"
    """It has no call for revoking, or was not asked: a user must remove our access there."""


class NotDisconnectedError(SiveraError):
    """The grant was not disconnected, and is unchanged."""


def disconnect(deps: RenewalDependencies, client: PlatformClient | None, credential_id: int) -> Ending:
    """Revoke a grant at its platform and forget its tokens. Without a client, the platform is not asked.

    Raises:
        NotDisconnectedError: The platform did not revoke it, its tokens cannot be read, or it is being renewed or was
            connected again; nothing was changed.
    """
    owner = new_owner()
    try:
        ending = _revoke(deps, client, credential_id, owner)
        with Session(deps.engine) as session, session.begin():
            is_done = queries.forget_tokens(session, credential_id, owner, REASON)
    except NotDisconnectedError:
        raise
    except SiveraError as error:
        raise NotDisconnectedError(
            f"grant {credential_id} was not revoked, and stays as it was ({str(error).rstrip('.')}): "
            "disconnect it once that is over, or pass --without-revoking to forget its tokens all the same"
        ) from None
    finally:
        with Session(deps.engine) as session, session.begin():
            queries.release(session, credential_id, owner, 0, None)
    if not is_done:
        raise NotDisconnectedError(f"grant {credential_id} has just been connected again, and stays connected")
    deps.spool.forget(credential_id)
    return ending


def _revoke(deps: RenewalDependencies, client: PlatformClient | None, credential_id: int, owner: str) -> Ending:
    """Take the lease and revoke the grant; NotDisconnectedError if someone else holds the lease."""
    if client is not None:
        # An expired access token may not be enough to revoke, so it is renewed first. If that fails, we still try.
        with suppress(ReconnectRequired):
            GrantTokenSource(deps, client, credential_id).current()
    with Session(deps.engine, expire_on_commit=False) as session, session.begin():
        held = queries.hold(session, credential_id, owner)
    if held is None:
        raise NotDisconnectedError(f"grant {credential_id} is being renewed right now: disconnect it in two minutes")
    if not isinstance(client, Revokes):
        return Ending.LEFT
    tokens = unseal_tokens(deps.keyring, held)
    access = tokens["access_token"] or SecretStr("")
    try:
        client.revoke(GrantTokens(access_token=access, refresh_token=tokens["refresh_token"]))
    except (TokenRejected, ReconnectRequired):
        return Ending.ENDED
    return Ending.REVOKED
