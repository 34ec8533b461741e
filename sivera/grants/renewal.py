"""The only way to renew a grant: lease and journal, the call, the write.

    1. One transaction takes the lease and writes the journal row. Its commit proves that the database takes writes,
       just before a token is spent.
    2. The platform is called, outside any transaction.
    3. The answer is written to the spool, because it is the only copy of a replaced refresh token.
    4. One transaction stores the new tokens and completes the journal row. It is refused if the generation has moved on
       or a successor holds the lease. While the database is away, the tokens stay in the spool.

A process that is killed leaves a journal row without an outcome. The next holder of the lease tries the stored token
again. If the platform rejects it, that row tells whether its successor was lost.
"""

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.crypto import Keyring, Place
from sivera.errors import LeftAlone, PlatformError, Unavailable, Unreached
from sivera.grants import renewal_queries as queries
from sivera.grants import rules
from sivera.grants.rules import Outcome
from sivera.grants.spool import Answer, Spool, SpoolError
from sivera.models import PlatformCredential
from sivera.platforms.base import PlatformClient
from sivera.values import GrantTokens, PlatformName, Value

logger = logging.getLogger(__name__)

TOKENS = ("access_token", "refresh_token")
"""The columns of the tokens, named like the fields of `GrantTokens`."""

FOLLOW_SECONDS = 5.0
"""The longest wait for a new token key. With the slowest call (pool, connection, write, read) it fits the lease."""


@dataclass(frozen=True)
class RenewalDependencies:
    """What a renewal needs from outside.

    `run_id` returns the flow run's id for the journal. `notify` is called when a grant needs a human, and when it works
    again.
    """

    engine: Engine
    keyring: Keyring
    spool: Spool
    run_id: Callable[[], UUID | None] = lambda: None
    notify: queries.Notify = lambda *_: None


class StoredGrant(Value):
    """A grant as it was read, with decrypted tokens.

    `ends_at` and `retry_at` are times of this process's monotonic clock, because wall clocks differ and jump.
    """

    id: int
    platform: PlatformName
    generation: int
    failures: int
    tokens: GrantTokens
    ends_at: float
    retry_at: float

    @property
    def access_token(self) -> str:
        """The decrypted access token."""
        return self.tokens.access_token.get_secret_value()


def seal(keyring: Keyring, credential_id: int, column: str, token: SecretStr | None) -> bytes | None:
    """Encrypt a token for its row and column."""
    return None if token is None else keyring.encrypt(token.get_secret_value(), _place(credential_id, column))


def seal_tokens(keyring: Keyring, credential_id: int, tokens: GrantTokens) -> dict[str, bytes | None]:
    """Encrypt the tokens of a grant, by column."""
    return {column: seal(keyring, credential_id, column, getattr(tokens, column)) for column in TOKENS}


def unseal_tokens(keyring: Keyring, row: PlatformCredential) -> dict[str, SecretStr | None]:
    """Decrypt the tokens of a grant, by column. It raises what `Keyring.decrypt` raises."""
    sealed = {column: getattr(row, column) for column in TOKENS}
    return {
        column: None if token is None else SecretStr(keyring.decrypt(token, _place(row.id, column)))
        for column, token in sealed.items()
    }


def _place(credential_id: int, column: str) -> Place:
    return Place(PlatformCredential.__tablename__, column, credential_id)


def new_owner() -> str:
    """Return a unique name for the holder of a lease."""
    return f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"


def renew(deps: RenewalDependencies, client: PlatformClient, grant: StoredGrant) -> bool:
    """Renew a grant and store its new tokens. Return False if someone else is renewing it, or changed it meanwhile.

    Raises:
        ReconnectRequired: Only a human can make it work again. It is marked so, unless it has other tokens by now.
        PlatformError: The platform did not renew it this time.
        SpoolError: Its newest tokens are in the spool and cannot be read.
        SQLAlchemyError: The database failed. If that was after the call, the new tokens are in the spool.
    """
    deps.spool.prove_writable()
    taken = [_take_up(deps, path) for path in deps.spool.waiting(grant.id)]
    if any(taken):
        return Outcome.RENEWED in taken
    with Session(deps.engine) as session, session.begin():
        fingerprint = _fingerprint(grant.tokens)
        attempt = queries.begin(session, grant.id, grant.generation, new_owner(), fingerprint, deps.run_id())
    if attempt is None:
        return False
    called_at = time.monotonic()
    try:
        _follow(deps.keyring, attempt, client.platform)
        called_at = time.monotonic()
        tokens = client.renew(grant.tokens)
    except Exception as error:
        outcome, paused = conclude(deps, grant, attempt, error, _milliseconds_since(called_at))
        if outcome is Outcome.SUPERSEDED:
            return False
        if paused and isinstance(error, Unavailable):
            raise LeftAlone(error.platform, error.message, error.code, was_tried=True) from None
        raise
    answer = Answer(
        credential_id=grant.id,
        generation=grant.generation,
        owner=attempt.owner,
        attempt_id=attempt.id,
        as_of=attempt.started_at,
        duration_ms=_milliseconds_since(called_at),
        tokens=tokens,
    )
    return _keep(deps, answer, client.platform)


def take_up_spool(deps: RenewalDependencies) -> int:
    """Store the spooled tokens in the database, and return how many grants that renewed.

    A file that fails is logged and stays, and the others go on. If its grant has newer tokens, it is set aside.
    OperationalError if the database is still away.
    """
    taken = 0
    for path in deps.spool.waiting():
        try:
            taken += _take_up(deps, path) is Outcome.RENEWED
        except OperationalError:
            raise
        except (SpoolError, SQLAlchemyError) as error:
            why = str(error) if isinstance(error, SpoolError) else type(error).__name__
            logger.error("A renewed token stays in the spool: %s", why)  # noqa: TRY400 - no traceback: it holds values
    return taken


def conclude(
    deps: RenewalDependencies, grant: StoredGrant, attempt: queries.Attempt, error: Exception, duration_ms: int
) -> tuple[Outcome, bool]:
    """Record a failed call and release the lease. Return the outcome, and whether the grant rests for a while."""
    rotates = rules.FACTS[grant.platform].rotates and grant.tokens.refresh_token is not None
    outcome = rules.outcome_of(error, rotates=rotates, in_doubt=attempt.in_doubt)
    code = error.code if isinstance(error, PlatformError) else type(error).__name__
    failures = grant.failures + 1
    pause = rules.pause_after(error, failures) if outcome in rules.TRY_AGAIN else None
    event = None
    with Session(deps.engine) as session, session.begin():
        if outcome in rules.ASK_A_HUMAN:
            status, reason = rules.status_after(outcome, error)
            event = queries.mark(session, grant.id, grant.generation, status, reason, attempt.owner)
            outcome = outcome if event else Outcome.SUPERSEDED
        queries.release(session, grant.id, attempt.owner, failures, pause)
        queries.finish(session, attempt.id, outcome.value, duration_ms, code)
    if event:
        deps.notify(*event)
    return outcome, bool(pause)


def _take_up(deps: RenewalDependencies, path: Path) -> Outcome | None:
    """Store the tokens of a spool file. Return None if the file stays, because a successor's renewal decides."""
    outcome = None
    try:
        with deps.spool.take(deps.keyring, path) as answer:
            outcome = _write(deps, answer) if answer else None
            if answer and outcome:
                deps.spool.remove(answer)
                logger.info("Took up the tokens of grant %s from the spool: %s", answer.credential_id, outcome.value)
    except SpoolError:
        with Session(deps.engine) as session:
            if not queries.is_superseded(session, *deps.spool.attempt_in(path)):
                raise
        logger.warning("The grant has newer tokens than an unreadable file, now %s", deps.spool.set_aside(path).name)
    return outcome


def _follow(keyring: Keyring, attempt: queries.Attempt, platform: PlatformName) -> None:
    # If the call outlived the lease, a successor could spend the same token.
    started_at = time.monotonic()
    keyring.follow(attempt.key_id)
    if time.monotonic() - started_at > FOLLOW_SECONDS:
        raise Unreached(platform, "was not called: loading the token key took too long")


def _keep(deps: RenewalDependencies, answer: Answer, platform: PlatformName) -> bool:
    """Store an answer, which is also in the spool until that is done."""
    with ExitStack() as held:
        try:
            held.enter_context(deps.spool.put(deps.keyring, answer))
        except OSError as error:
            logger.critical("The renewed tokens of grant %s cannot be spooled: %s", answer.credential_id, error)
        outcome = _write(deps, answer)
        if outcome is None:
            raise LeftAlone(platform, "another process took over the renewal; its answer decides")
        deps.spool.remove(answer)
    return outcome is Outcome.RENEWED


def _write(deps: RenewalDependencies, answer: Answer) -> Outcome | None:
    """Store an answer in one transaction. Return None if a successor holds the lease, since its call may yet fail."""
    with Session(deps.engine) as session, session.begin():
        status = queries.store_tokens(session, answer, seal_tokens(deps.keyring, answer.credential_id, answer.tokens))
        if status is None and queries.generation_of(session, answer.credential_id) == answer.generation:
            return None
        outcome = Outcome.SUPERSEDED if status is None else Outcome.RENEWED
        queries.finish(session, answer.attempt_id, outcome.value, answer.duration_ms)
        event = queries.recover(session, answer.credential_id) if status in rules.WAITING else None
    if event:
        deps.notify(*event)
    return outcome


def _fingerprint(tokens: GrantTokens) -> str:
    # Tokens are random, so the hash cannot be reversed.
    spent = tokens.refresh_token or tokens.access_token
    return hashlib.sha256(b"sivera renewal\0" + spent.get_secret_value().encode()).hexdigest()[:16]


def _milliseconds_since(moment: float) -> int:
    return round(1000 * (time.monotonic() - moment))
