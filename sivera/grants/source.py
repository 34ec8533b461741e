"""The access token of a grant, renewed just in time for the caller's next call."""

import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.orm import Session

from sivera.accounts.queries import ACTIVE
from sivera.crypto import UndecryptableError
from sivera.errors import LeftAlone, ReconnectRequired, Throttled, Unavailable
from sivera.grants import queries, renewal, rules
from sivera.grants.renewal import RenewalDependencies, StoredGrant, unseal_tokens
from sivera.grants.renewal_queries import mark
from sivera.platforms.base import PlatformClient
from sivera.values import GrantTokens

POLL_SECONDS = 0.25

PAUSED = "failed to renew this connection several times; the next attempt is in some minutes"


class GrantTokenSource:
    """The tokens of one grant. Threads may share it."""

    def __init__(
        self,
        deps: RenewalDependencies,
        client: PlatformClient,
        credential_id: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine, self.client, self.id = deps.engine, client, credential_id
        self._deps, self._monotonic = deps, monotonic
        self._lock = threading.Lock()
        self._held: StoredGrant | None = None

    def current(self) -> str:
        """Return an access token that stays valid for a call.

        Raises:
            ReconnectRequired: Only a human can make the grant work again.
            PlatformError: The platform did not renew it this time.
        """
        with self._lock:
            held = self._held or self._read()
            if not self._lasts(held, rules.EXPIRY_MARGIN):
                held = self._read()  # another process may have renewed it
            if self._lasts(held, rules.EXPIRY_MARGIN):
                return held.access_token
            try:
                self._renew(held)
            except (Unavailable, Throttled):
                if not self._lasts(held, rules.CALL_MARGIN):
                    raise
                return held.access_token
            return self._read().access_token

    def renewed(self, rejected: str) -> str:
        """Return a newer token than one that the platform rejected. Of several threads, only the first one renews."""
        with self._lock:
            held = self._held
            if held is None or held.access_token == rejected:
                held = self._read()  # another process may have renewed it
            if held.access_token == rejected:
                self._renew(held)
                held = self._read()
            return held.access_token

    def reject(self, rejected: str, error: ReconnectRequired) -> bool:
        """Record that a human must reconnect the grant, unless it has another token by now. Return whether it did."""
        with self._lock:
            held = self._read()
            if held.access_token != rejected:
                return False
            status, reason = rules.status_after(rules.outcome_of(error, rotates=False, in_doubt=False), error)
            with Session(self.engine) as session, session.begin():
                event = mark(session, self.id, held.generation, status, reason)
        if event:
            self._deps.notify(*event)
        return event is not None

    def renew(self, generation: int) -> bool:
        """Renew the grant if it still has this generation. Return whether this call did; raise as `current` does."""
        with self._lock:
            held = self._read()
            return held.generation == generation and self._renew(held)

    def _read(self) -> StoredGrant:
        asked_at = self._monotonic()
        with Session(self.engine) as session:
            found = queries.read_credential(session, self.id)
        if found is None:
            raise ReconnectRequired(self.client.platform, "the connection was deleted")
        row, ends_in, retry_in = found
        if row.status != ACTIVE:
            raise ReconnectRequired(self.client.platform, row.status_reason or f"the connection is {row.status}")
        tokens = unseal_tokens(self._deps.keyring, row)
        if tokens["access_token"] is None:
            raise UndecryptableError(f"grant {row.id} has no access token")
        rests = None if retry_in is None or retry_in > rules.LONGEST_REST else retry_in
        self._held = StoredGrant(
            id=row.id,
            platform=self.client.platform,
            generation=row.generation,
            failures=row.failures,
            tokens=GrantTokens.model_validate(tokens),
            ends_at=math.inf if ends_in is None else asked_at + ends_in.total_seconds(),
            retry_at=-math.inf if rests is None else asked_at + rests.total_seconds(),
        )
        return self._held

    def _lasts(self, held: StoredGrant, margin: timedelta) -> bool:
        return held.ends_at - self._monotonic() >= margin.total_seconds()

    def _renew(self, stale: StoredGrant) -> bool:
        """Renew the grant, or wait until another process has. Return whether this process renewed it."""
        self._held = None  # out of date from here on
        deadline = self._monotonic() + rules.LEASE.total_seconds()
        while True:
            self.client.breaker.check(self.client.platform)  # stops waiting for another process when the run is over
            if stale.retry_at > self._monotonic():
                raise LeftAlone(self.client.platform, PAUSED)
            if renewal.renew(self._deps, self.client, stale):
                return True
            fresh = self._read()
            if fresh.generation != stale.generation:
                return False
            stale = fresh
            if self._monotonic() > deadline:
                raise LeftAlone(self.client.platform, "another process has been renewing this connection for too long")
            time.sleep(POLL_SECONDS)
