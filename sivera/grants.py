"""Grants: connecting one, and an access token that is valid for the call at hand.

A grant is renewed by one caller at a time, across threads and machines: whoever takes the lease row calls the platform,
outside any transaction, and writes the answer only if the generation is still the one it read. Everyone else waits for
the new generation to appear.
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from sivera.crypto import Keyring, Place
from sivera.errors import ReconnectRequired, Unavailable
from sivera.models import PlatformCredential
from sivera.platforms.base import PlatformClient, StaticToken, utc_now
from sivera.queries import accounts as account_queries
from sivera.queries import grants as queries
from sivera.values import GrantTokens, PlatformName, Value

logger = logging.getLogger(__name__)

EXPIRY_MARGIN = timedelta(minutes=5)
"""A token that ends sooner is renewed before use: longer than any call of ours, retries included."""

LEASE = timedelta(seconds=90)
"""Longer than a renewal's slowest call; a holder that died is succeeded after it."""

POLL_SECONDS = 0.25

STORE_ATTEMPTS = 20
STORE_PAUSE_SECONDS = 1.0
"""Together well within the lease, so that nobody else renews meanwhile with a token that is spent."""

REFRESH_TOKEN_PLATFORMS = frozenset({PlatformName.GOOGLE, PlatformName.AMAZON})
"""Platforms whose grants are held by a refresh token; on the others the access token itself is long-lived."""


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
    """Connect a team's grant: list its ad accounts at the platform, then store it encrypted, all or nothing.

    Connecting the same team, platform and name again replaces the tokens and takes the grant back into use.

    Raises:
        PlatformError: The platform does not take the token; nothing was stored.
    """
    found = client.list_accounts(StaticToken(tokens.access_token, client.platform))
    with Session(engine) as session, session.begin():
        team_id = queries.ensure_team(session, team)
        credential = queries.ensure_credential(session, team_id, client.platform.value, name)
        credential.access_token = _seal(keyring, credential.id, "access_token", tokens.access_token)
        credential.refresh_token = _seal(keyring, credential.id, "refresh_token", tokens.refresh_token)
        credential.expires_at = None if tokens.expires_in is None else utc_now() + tokens.expires_in
        credential.generation += 1
        credential.lease_owner = credential.lease_until = None
        if credential.status != account_queries.ACTIVE:
            credential.status, credential.status_reason, credential.status_since = "active", None, utc_now()
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
        token: The refresh token on platforms whose grants have one (`REFRESH_TOKEN_PLATFORMS`), else the access token.
        name: Tells a team's grants on one platform apart.

    Raises:
        PlatformError: The platform does not take the token; nothing was stored.
    """
    refreshes = client.platform in REFRESH_TOKEN_PLATFORMS
    pasted = GrantTokens(access_token=SecretStr("") if refreshes else token, refresh_token=token if refreshes else None)
    return connect(engine, keyring, client, team=team, tokens=client.renew(pasted), name=name)


class GrantTokenSource:
    """The tokens of one grant, renewed just in time. Safe to share between threads.

    Args:
        engine: The database.
        keyring: Decrypts the stored tokens and encrypts the renewed ones.
        client: Calls the grant's platform.
        credential_id: Which grant.
        now: The time, in UTC.
    """

    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        client: PlatformClient,
        credential_id: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._engine, self._keyring, self._client, self._id, self._now = engine, keyring, client, credential_id, now
        self._owner = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lock = threading.Lock()
        self._held: GrantTokens | None = None
        self._generation = -1

    def current(self) -> str:
        """Return an access token that stays valid for a call.

        Raises:
            ReconnectRequired: Only a human can make the grant work again.
            PlatformError: The platform did not renew it now.
        """
        with self._lock:
            held = self._held or self._read()
            if self._expires_soon(held):
                held = self._renew(held)
            return held.access_token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        """Return a token newer than one that the platform refused; only the first thread that asks renews."""
        with self._lock:
            held = self._held
            if held is None or held.access_token.get_secret_value() == rejected:
                held = self._read()  # another process may have renewed it
            if held.access_token.get_secret_value() == rejected:
                held = self._renew(held)
            return held.access_token.get_secret_value()

    def reject(self, rejected: str, reason: str) -> bool:
        """Say that a human must reconnect the grant, unless it has another token by now than the rejected one.

        Returns whether it was said now.
        """
        with self._lock:
            held = self._read()
            if held.access_token.get_secret_value() != rejected:
                return False
            return self._mark(reason)

    def _mark(self, reason: str) -> bool:
        with Session(self._engine) as session, session.begin():
            return queries.mark_reauthorization_required(session, self._id, self._generation, reason)

    def _read(self) -> GrantTokens:
        with Session(self._engine) as session:
            row = queries.get_credential(session, self._id)
        if row.status != account_queries.ACTIVE:
            raise ReconnectRequired(self._client.platform, row.status_reason or f"the connection is {row.status}")
        self._generation = row.generation
        self._held = _open(self._keyring, row, self._client.platform, self._now())
        return self._held

    def _expires_soon(self, tokens: GrantTokens) -> bool:
        return tokens.expires_in is not None and tokens.expires_in < EXPIRY_MARGIN

    def _renew(self, stale: GrantTokens) -> GrantTokens:
        """Renew the grant, or wait for whoever does; return tokens other than the stale ones."""
        deadline = time.monotonic() + LEASE.total_seconds()
        while time.monotonic() < deadline:
            with Session(self._engine) as session, session.begin():
                leased = queries.take_lease(session, self._id, self._generation, self._owner, LEASE)
            if leased:
                return self._renew_leased(stale)
            time.sleep(POLL_SECONDS)
            fresh = self._read()
            if fresh.access_token != stale.access_token:
                return fresh
        raise Unavailable(self._client.platform, "another process has been renewing this connection for too long")

    def _renew_leased(self, stale: GrantTokens) -> GrantTokens:
        try:
            fresh = self._client.renew(stale)
        except ReconnectRequired as error:
            self._release()
            self._mark(error.message)
            raise
        except Exception:
            self._release()
            raise
        stored = self._store(fresh)
        logger.info("Renewed the %s grant %s", self._client.platform.value, self._id)
        return self._read() if not stored else self._keep(fresh)

    def _store(self, fresh: GrantTokens) -> bool:
        """Write renewed tokens, again and again for a while: the refresh token that they cost may be spent."""
        for attempts_left in reversed(range(STORE_ATTEMPTS)):
            try:
                with Session(self._engine) as session, session.begin():
                    return queries.store_tokens(
                        session,
                        self._id,
                        self._generation,
                        access_token=_seal(self._keyring, self._id, "access_token", fresh.access_token),
                        refresh_token=_seal(self._keyring, self._id, "refresh_token", fresh.refresh_token),
                        expires_at=None if fresh.expires_in is None else self._now() + fresh.expires_in,
                    )
            except OperationalError:
                if not attempts_left:
                    raise
                time.sleep(STORE_PAUSE_SECONDS)
        raise AssertionError  # the last attempt returns or raises

    def _keep(self, fresh: GrantTokens) -> GrantTokens:
        self._generation += 1
        self._held = fresh
        return fresh

    def _release(self) -> None:
        with Session(self._engine) as session, session.begin():
            queries.release_lease(session, self._id, self._owner)


def _seal(keyring: Keyring, credential_id: int, column: str, token: SecretStr | None) -> bytes | None:
    if token is None:
        return None
    return keyring.encrypt(token.get_secret_value(), Place(PlatformCredential.__tablename__, column, credential_id))


def _open(keyring: Keyring, row: PlatformCredential, platform: PlatformName, now: datetime) -> GrantTokens:
    def token(column: str, sealed: bytes | None) -> SecretStr | None:
        if sealed is None:
            return None
        return SecretStr(keyring.decrypt(sealed, Place(PlatformCredential.__tablename__, column, row.id)))

    access = token("access_token", row.access_token)
    if access is None:
        raise ReconnectRequired(platform, "the connection has no access token")
    return GrantTokens(
        access_token=access,
        refresh_token=token("refresh_token", row.refresh_token),
        expires_in=row.expires_at - now if row.expires_at else None,
    )
