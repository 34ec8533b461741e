"""The one way in which a grant is renewed: lease and journal, the call, the write.

    1. One transaction takes the lease and writes the journal row. That it commits proves, just before a token is spent,
       that the database can be written to.
    2. The platform is called, outside of any transaction.
    3. One transaction writes the new tokens and completes the journal row. It is refused where the generation has moved
       on or a successor holds the lease. While the database is away, the tokens are in the spool.

A process that is killed leaves a journal row without an outcome: the next one to take the lease tries the stored token
again, and tells by that row whether a refusal means that its successor was lost.
"""

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.crypto import Keyring, Place
from sivera.errors import PlatformError, Unavailable
from sivera.grants import rules
from sivera.grants.rules import Outcome
from sivera.grants.spool import Answer, Spool
from sivera.models import PlatformCredential
from sivera.platforms.base import PlatformClient
from sivera.queries import renewals as queries
from sivera.values import GrantTokens, PlatformName, Value

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)
"""Longer than a renewal's slowest call and its write; a holder that died is succeeded after it."""

STORE_SECONDS = 20.0
STORE_PAUSE_SECONDS = 0.5


WAITING = ("reauthorization_required", "revoked")
"""The states of a grant that waits for a human. Tokens that arrive late end it; one that is disabled stays so."""


def _no_run() -> UUID | None:
    return None


@dataclass(frozen=True)
class RenewalEdges:
    """What a renewal needs from outside.

    Args:
        engine: The database.
        keyring: Decrypts the stored tokens and encrypts the renewed ones.
        spool: Keeps renewed tokens while the database is away.
        run_id: Gives the id of the flow run that asks, for the journal.
        store_seconds: For how long a write is tried again before it is left to the spool.
    """

    engine: Engine
    keyring: Keyring
    spool: Spool
    run_id: Callable[[], UUID | None] = _no_run
    store_seconds: float = STORE_SECONDS


class StoredGrant(Value):
    """A grant as it was read: its tokens in plain, and what a renewal must find unchanged."""

    id: int
    platform: PlatformName
    generation: int
    failures: int
    tokens: GrantTokens


def seal(keyring: Keyring, credential_id: int, column: str, token: SecretStr | None) -> bytes | None:
    """Encrypt a token for its row and column."""
    if token is None:
        return None
    return keyring.encrypt(token.get_secret_value(), Place(PlatformCredential.__tablename__, column, credential_id))


def unseal(keyring: Keyring, credential_id: int, column: str, sealed: bytes | None) -> SecretStr | None:
    """Decrypt what `seal` gave.

    Raises:
        ConfigurationError: Its key is not in the keyring.
        UndecryptableError: It is damaged.
    """
    if sealed is None:
        return None
    return SecretStr(keyring.decrypt(sealed, Place(PlatformCredential.__tablename__, column, credential_id)))


def renew(edges: RenewalEdges, client: PlatformClient, grant: StoredGrant) -> bool:
    """Renew a grant and store its new tokens.

    Returns whether it was renewed; False where someone else is renewing it, or has renewed or connected it meanwhile.

    Raises:
        ReconnectRequired: Only a human can make it work again; it is marked so, unless it has other tokens by now.
        PlatformError: The platform did not renew it now.
        SQLAlchemyError: The database failed. Where that was after the call, the new tokens are in the spool.
    """
    edges.spool.prove_writable()
    if take_up_spool(edges, grant.id):
        return False
    owner = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
    with Session(edges.engine) as session, session.begin():
        begun = queries.begin(
            session,
            grant.id,
            generation=grant.generation,
            owner=owner,
            lease=LEASE,
            fingerprint=_fingerprint(grant.tokens),
            run_id=edges.run_id(),
        )
    if begun is None:
        return False
    called_at = time.monotonic()
    try:
        edges.keyring.follow(begun.key_id)
        tokens = client.renew(grant.tokens)
    except Exception as error:
        if _conclude(edges, grant, owner, begun, error, _milliseconds_since(called_at)) is Outcome.SUPERSEDED:
            return False
        raise
    answer = Answer(
        credential_id=grant.id,
        generation=grant.generation,
        owner=owner,
        attempt_id=begun.attempt_id,
        as_of=begun.at,
        duration_ms=_milliseconds_since(called_at),
        tokens=tokens,
    )
    return _keep(edges, answer, client.platform)


def take_up_spool(edges: RenewalEdges, credential_id: int | None = None) -> int:
    """Write what the spool holds, of one grant or of all, into the database; return how many grants that renewed."""
    taken = 0
    for answer in edges.spool.waiting(edges.keyring, credential_id):
        outcome = _write(edges, answer)
        if outcome is None:
            continue  # a successor is renewing it: its outcome decides
        edges.spool.remove(answer)
        taken += outcome is Outcome.RENEWED
        logger.info("Took up the renewed tokens of grant %s from the spool: %s", answer.credential_id, outcome.value)
    return taken


def _keep(edges: RenewalEdges, answer: Answer, platform: PlatformName) -> bool:
    """Write an answer, again and again for a while; from the first failure on, the spool has it too."""
    until = time.monotonic() + edges.store_seconds
    spooled = False
    while True:
        failure: SQLAlchemyError | None = None
        try:
            outcome = _write(edges, answer)
        except SQLAlchemyError as error:
            outcome, failure = None, error
        except BaseException:
            _put(edges, answer)
            raise
        if outcome is not None:
            if spooled:
                edges.spool.remove(answer)
            return outcome is Outcome.RENEWED
        spooled = spooled or _put(edges, answer)
        if time.monotonic() > until:
            break
        time.sleep(STORE_PAUSE_SECONDS)
    logger.error("The renewed tokens of grant %s wait in the spool for the database", answer.credential_id)
    if failure is not None:
        raise failure
    raise Unavailable(platform, "another process took over the renewal; its answer decides")


def _put(edges: RenewalEdges, answer: Answer) -> bool:
    try:
        edges.spool.put(edges.keyring, answer)
    except OSError as error:
        logger.critical("The renewed tokens of grant %s cannot be written to disk: %s", answer.credential_id, error)
        return False
    return True


def _write(edges: RenewalEdges, answer: Answer) -> Outcome | None:
    """Write an answer in one transaction; None where a successor holds the lease, and may yet be refused."""
    with Session(edges.engine) as session, session.begin():
        status = queries.store_tokens(
            session,
            answer.credential_id,
            generation=answer.generation,
            owner=answer.owner,
            access_token=seal(edges.keyring, answer.credential_id, "access_token", answer.tokens.access_token),
            refresh_token=seal(edges.keyring, answer.credential_id, "refresh_token", answer.tokens.refresh_token),
            as_of=answer.as_of,
            expires_in=answer.tokens.expires_in,
        )
        if status is None and queries.generation_of(session, answer.credential_id) == answer.generation:
            return None
        outcome = Outcome.SUPERSEDED if status is None else Outcome.RENEWED
        queries.finish(session, answer.attempt_id, outcome.value, duration_ms=answer.duration_ms)
        if status in WAITING:
            queries.recover(session, answer.credential_id)
    return outcome


def _conclude(
    edges: RenewalEdges, grant: StoredGrant, owner: str, begun: queries.Begun, error: Exception, duration_ms: int
) -> Outcome:
    """Write what a failed call means for the grant, and give the lease back; return what the journal says of it."""
    rotates = rules.FACTS[grant.platform].rotates and grant.tokens.refresh_token is not None
    outcome = rules.outcome_of(error, rotates=rotates, in_doubt=begun.in_doubt)
    code = error.code if isinstance(error, PlatformError) else type(error).__name__
    with Session(edges.engine) as session, session.begin():
        if outcome in rules.ASK_A_HUMAN and not mark(session, grant.id, grant.generation, outcome, error):
            outcome = Outcome.SUPERSEDED
        failures = grant.failures + 1
        pause = rules.pause_after(error, failures) if outcome in rules.TRY_AGAIN else None
        if pause is None:
            queries.release(session, grant.id, owner)
        else:
            queries.put_off(session, grant.id, owner, failures, pause)
        queries.finish(session, begun.attempt_id, outcome.value, error_code=code, duration_ms=duration_ms)
    return outcome


def mark(session: Session, credential_id: int, generation: int, outcome: Outcome, error: Exception) -> bool:
    """Say that a human must connect a grant again, unless it has another generation by now; return whether it was said.

    Comparing the generation reads the row first: `invalid_grant` is also what a token gets that somebody else renewed.
    """
    status = WAITING[outcome is Outcome.REVOKED]
    told = error.message if isinstance(error, PlatformError) else type(error).__name__
    reason = rules.ROTATION_LOST_REASON if outcome is Outcome.ROTATION_LOST else told
    return queries.mark(session, credential_id, generation, status, reason)


def _fingerprint(tokens: GrantTokens) -> str:
    """Return what tells two tokens apart and tells nothing else: they are random, so a digest cannot be reversed."""
    spent = tokens.refresh_token or tokens.access_token
    return hashlib.sha256(b"sivera renewal\0" + spent.get_secret_value().encode()).hexdigest()[:16]


def _milliseconds_since(moment: float) -> int:
    return round(1000 * (time.monotonic() - moment))
