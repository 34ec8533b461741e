"""The sync of one ad account, part by part: what fails is recorded with its reason, and the other parts go on."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from sivera import values
from sivera.crypto import UndecryptableError
from sivera.errors import AccountInaccessible, ReconnectRequired, SiveraError, Throttled, ThrottleScope
from sivera.grants.discovering import rediscover
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import PlatformClient, ProductNotEnabled
from sivera.reasons import is_worth_a_retry, reason_for
from sivera.sync import part_queries, rules
from sivera.sync.parts import Part, PartKind, parts_of
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.reader import OvertakenError, Reader
from sivera.sync.reading import read_part
from sivera.sync.summary import AccountSync, Outcome, PartSync

logger = logging.getLogger("sivera.sync")

OF_THE_GRANT = (ReconnectRequired, UndecryptableError)
"""With such an error no other part of the account can be read either."""

SHARED = (ThrottleScope.PLATFORM, ThrottleScope.ENDPOINT)
"""A 'slow down' that another account may have caused: the same run tries again once it is over."""


@dataclass(frozen=True)
class SyncDependencies:
    """What the sync of an account needs from outside.

    `client_for` and `tokens_for` give the platform's client and the grant's token source. All times are the database's:
    the clocks of machines differ, and what is compared later must not. `clock` lets tests move them.
    """

    engine: Engine
    client_for: Callable[[values.PlatformName], PlatformClient]
    tokens_for: Callable[[values.PlatformName, int], GrantTokenSource]
    clock: Callable[[datetime], datetime] = lambda now: now


def sync_account(
    deps: SyncDependencies,
    due: DueAccount,
    mode: SyncMode,
    lookback_days: int | None = None,
    *,
    ended: dict[Part, PartSync] | None = None,
    is_last: bool = True,
    even_resting: bool = False,
) -> AccountSync:
    """Copy one account's campaigns and metrics into the database, and record how each part of it ended.

    Args:
        deps: What it needs from outside.
        due: The account.
        mode: How much to read.
        lookback_days: Days of metrics to read again; None means what the mode and platform need.
        ended: The parts that an earlier attempt of the same run has done; this attempt does the rest and adds it.
        is_last: Whether an error that may pass counts now. Otherwise it is raised once the other parts are done.
        even_resting: Take parts that are in the slow lane too.

    Raises:
        AccountInaccessible: The account is no longer in our database.
        Exception: An error that may pass, of an attempt that is not the last.
    """
    ended = {} if ended is None else ended
    reader = _load(deps, due, mode, lookback_days)
    passing: list[Exception] = []
    stop: Exception | None = None
    parts = [part for part in parts_of(reader.client, mode) if part not in ended]
    if not even_resting:
        parts = [part for part in parts if not rules.rests(reader.state(part), reader.as_of)]
    reader.last = parts[-1] if parts else None
    for part in parts:
        if _lacks_product(ended, part):
            continue
        reader, done = _sync_part(deps, reader, part, stop)
        if isinstance(done, PartSync):
            ended[part] = done
        elif is_worth_a_retry(done) and not is_last:
            passing.append(done)
        else:
            stop = done if isinstance(done, OF_THE_GRANT) else stop
            ended[part] = _record(deps, reader, part, done)
    if passing:
        raise passing[0]
    result = AccountSync.of(due, _unless_it_has_no_product(ended))
    for part in [part for part, done in ended.items() if done.again_after is not None]:
        del ended[part]
    if not reader.is_summed_up:
        with Session(deps.engine) as session, session.begin():
            part_queries.sum_up(session, due.id, reader.states)
    return result


def _load(deps: SyncDependencies, due: DueAccount, mode: SyncMode, lookback_days: int | None) -> Reader:
    with Session(deps.engine) as session:
        rows = part_queries.read_target(session, due.id)
    if not rows:
        raise AccountInaccessible(due.platform, f"account {due.id} is no longer in our database")
    first = rows[0]
    return Reader(
        engine=deps.engine,
        due=due,
        account=values.AdAccount.model_validate({name: getattr(first, name) for name in values.AdAccount.model_fields}),
        client=deps.client_for(due.platform),
        tokens=deps.tokens_for(due.platform, first.credential_id),
        credential_id=first.credential_id,
        conversion=first.meta_conversion,
        mode=mode,
        lookback_days=lookback_days,
        as_of=deps.clock(first.now),
        states={
            Part(kind=PartKind(row.kind), product=row.ad_product): part_queries.state_of(row)
            for row in rows
            if row.kind
        },
    )


def _lacks_product(ended: Mapping[Part, PartSync], part: Part) -> bool:
    """Whether the account does not have the ad product of a part."""
    listing = ended.get(Part(kind=PartKind.CAMPAIGNS, product=part.product))
    return listing is not None and listing.outcome is Outcome.NOT_ENABLED


def _sync_part(
    deps: SyncDependencies, reader: Reader, part: Part, stop: Exception | None
) -> tuple[Reader, PartSync | Exception]:
    """Read and store a part. Return the reader for the next part, and what was done or what went wrong."""
    if stop is not None:
        return reader, stop
    used, failures = None, reader.state(part).failures
    try:
        used = reader.tokens.current()
        try:
            result = read_part(reader, part)
        except AccountInaccessible as error:
            # Perhaps only the way to the account has changed.
            if isinstance(error, ProductNotEnabled) or not rediscover(
                deps.engine, reader.client, reader.tokens, reader.credential_id, reader.due.id, reader.account
            ):
                raise
            reader = _load(deps, reader.due, reader.mode, reader.lookback_days)
            result = read_part(reader, part)
    except OvertakenError:
        return reader, PartSync(part=part, outcome=Outcome.PUT_OFF, again_after=0.0)
    except ReconnectRequired as error:
        if used is not None:
            with suppress(ReconnectRequired):  # the renewal has recorded it already
                reader.tokens.reject(used, error)
        return reader, error
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts go on
        return reader, error
    return reader, result.model_copy(update={"recovered": failures >= rules.SLOW_LANE_AFTER})


def _record(deps: SyncDependencies, reader: Reader, part: Part, error: Exception) -> PartSync:
    """Record why a part was not read, and return it in words."""
    if not isinstance(error, SiveraError | OperationalError):
        logger.error("Account %d: %s failed", reader.due.id, part, exc_info=error)
    reason, full = reason_for(error), reader.is_full
    outcome = Outcome.FAILED
    with suppress(SQLAlchemyError), Session(deps.engine) as session, session.begin():  # else only the run has it
        if isinstance(error, ProductNotEnabled):
            outcome = Outcome.NOT_ENABLED
            part_queries.forget_product(session, reader.due.id, part.product)
            for kind in PartKind:
                reader.states.pop(Part(kind=kind, product=part.product), None)
        else:
            state = reader.state(part)
            if isinstance(error, Throttled):
                after = rules.put_off(state, reason, reader.as_of, full=full)
                outcome = Outcome.FAILED if after.failures > state.failures else Outcome.PUT_OFF
            else:
                after = rules.failed(state, reason, reader.as_of, full=full)
            with suppress(OvertakenError):  # a newer sync knows better
                reader.write(session, part, after)
            reason = after.error or reason
    again = error.retry_after if isinstance(error, Throttled) and error.scope in SHARED else None
    return PartSync(
        part=part, outcome=outcome, reason=reason, again_after=again if outcome is Outcome.PUT_OFF else None
    )


def _unless_it_has_no_product(ended: Mapping[Part, PartSync]) -> list[PartSync]:
    """Return the parts that the account has. If it has no product at all, that is its failure."""
    found = [part for part in ended.values() if part.outcome is not Outcome.NOT_ENABLED]
    return found or [part.model_copy(update={"outcome": Outcome.FAILED}) for part in ended.values()]
