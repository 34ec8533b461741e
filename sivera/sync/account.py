"""Sync one ad account, part by part. A part that fails is recorded with its reason, and the others go on."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sivera import values
from sivera.crypto import UndecryptableError
from sivera.database import reading
from sivera.errors import AccountInaccessible, ConfigurationError, ReconnectRequired, Throttled, ThrottleScope
from sivera.grants.discovering import rediscover
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import PlatformClient, ProductNotEnabled
from sivera.reasons import is_explained, is_worth_a_retry, reason_for
from sivera.sync import part_queries, rules
from sivera.sync.parts import Part, PartKind, PartState, parts_of
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.reader import OvertakenError, Reader
from sivera.sync.reading import read_part
from sivera.sync.summary import AccountSync, Outcome, PartSync

logger = logging.getLogger("sivera.sync")

FOR_ALL_PARTS = (ReconnectRequired, UndecryptableError, OvertakenError)
"""After one of these errors no other part of the account can be read."""

SHARED = (ThrottleScope.PLATFORM, ThrottleScope.ENDPOINT)
"""Another account may have caused such a throttle, so the same run tries again once it is over."""


@dataclass(frozen=True)
class SyncDependencies:
    """What the sync of an account needs from outside.

    All stored times come from the database's clock, because machines' clocks differ. `clock` lets tests move them.
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
    """Copy one account's campaigns and metrics into the database, and record how each part ended.

    `lookback_days` replaces the days of metrics that mode and platform call for. `ended` holds the parts that an
    earlier attempt of the same run has finished; this attempt adds its own. An error worth a retry is recorded only if
    the attempt `is_last`. Parts in the slow lane are skipped unless `even_resting`.

    Raises:
        ConfigurationError: The account is no longer in our database.
        Exception: An error worth a retry, once the other parts are done, if the attempt is not the last.
    """
    ended = {} if ended is None else ended
    reader = _load(deps, due, mode, lookback_days)
    retryable: list[Exception] = []
    stop: Exception | None = None
    for part in parts_of(reader.client, mode):
        if part in ended or _can_skip(ended, part):
            continue
        if not even_resting and rules.rests(reader.states[part], reader.as_of, full=reader.is_full):
            ended[part] = _rest(part, reader.states[part])
            continue
        done = stop or _read(deps, reader, part)
        if isinstance(done, PartSync):
            ended[part] = done
        elif is_worth_a_retry(done) and not is_last:
            retryable.append(done)
        else:
            stop = done if isinstance(done, FOR_ALL_PARTS) else None
            ended[part] = _record(reader, part, done)
    if retryable:
        raise retryable[0]
    not_enabled = [part for part, done in ended.items() if done.outcome is Outcome.NOT_ENABLED]
    if not_enabled and len(not_enabled) == len(ended):
        ended = {part: _fail(reader, part, done.reason) for part, done in ended.items()}
    else:
        _expect_nothing(reader, not_enabled)
    expected = [done for done in ended.values() if done.outcome is not Outcome.NOT_ENABLED]
    result = AccountSync.of(due, expected, reader.changes)
    for part in [part for part, done in ended.items() if done.again_after is not None]:
        del ended[part]
    return result


def _load(deps: SyncDependencies, due: DueAccount, mode: SyncMode, lookback_days: int | None) -> Reader:
    with Session(reading(deps.engine)) as session:
        rows = part_queries.read_target(session, due.id)
    if not rows:
        raise ConfigurationError(
            f"account {due.id} is no longer in our database: `sivera accounts list` shows them all"
        )
    first, client = rows[0], deps.client_for(due.platform)
    states = {
        Part(kind=PartKind(row.kind), product=row.ad_product): PartState.model_validate(row, from_attributes=True)
        for row in rows
        if row.kind
    }
    return Reader(
        engine=deps.engine,
        due=due,
        account=values.AdAccount.model_validate(first, from_attributes=True),
        client=client,
        tokens=deps.tokens_for(due.platform, first.credential_id),
        conversion=first.meta_conversion,
        mode=mode,
        lookback_days=lookback_days,
        as_of=deps.clock(first.now),
        states={part: PartState() for part in parts_of(client, mode)} | states,
    )


def _can_skip(ended: Mapping[Part, PartSync], part: Part) -> bool:
    """Whether the account does not have the part's ad product, or the part is totals without new metrics to match."""
    listing = ended.get(Part(kind=PartKind.CAMPAIGNS, product=part.product))
    if listing is not None and listing.outcome is Outcome.NOT_ENABLED:
        return True
    metrics = ended.get(Part(kind=PartKind.METRICS))
    return part.kind is PartKind.TOTALS and (metrics is None or metrics.outcome is not Outcome.SYNCED)


def _rest(part: Part, state: PartState) -> PartSync:
    until = f"{state.next_attempt_at:%Y-%m-%d %H:%M} UTC"
    note = f"skipped until {until}, after {state.failures} failures in a row. {state.error or ''}"
    return PartSync(part=part, outcome=Outcome.RESTING, note=note.rstrip())


def _read(deps: SyncDependencies, reader: Reader, part: Part) -> PartSync | Exception:
    """Read and store a part. Return the result, or the error."""
    used = None
    try:
        used = reader.tokens.current()
        try:
            return read_part(reader, part)
        except ProductNotEnabled:
            raise
        except AccountInaccessible:
            # The grant may only have to reach the account in another way.
            has_changed, changes = rediscover(reader.tokens, reader.due.id, reader.account)
            reader.changes += changes
            if not has_changed:
                raise
            reader.account = _load(deps, reader.due, reader.mode, reader.lookback_days).account
            return read_part(reader, part)
    except Exception as error:  # noqa: BLE001 - the other parts go on after any error
        if isinstance(error, ReconnectRequired) and used is not None:
            with suppress(ReconnectRequired):  # the renewal has recorded it already
                reader.tokens.reject(used, error)
        return error


def _record(reader: Reader, part: Part, error: Exception) -> PartSync:
    """Record why a part was not read."""
    if isinstance(error, OvertakenError):
        return PartSync(part=part, outcome=Outcome.PUT_OFF, again_after=0.0)
    if not is_explained(error):
        logger.error("Account %d: %s failed", reader.due.id, part, exc_info=error)
    reason = reason_for(error)
    if isinstance(error, ProductNotEnabled) and part.kind is PartKind.CAMPAIGNS:
        reader.states.pop(Part(kind=PartKind.METRICS, product=part.product))
        return PartSync(part=part, outcome=Outcome.NOT_ENABLED, reason=reason)
    if not isinstance(error, Throttled):
        return _fail(reader, part, reason)
    state, lasting = rules.put_off(reader.states[part], reason, reader.as_of)
    if lasting:
        return _fail(reader, part, lasting)
    _write(reader, part, state)
    again = error.retry_after if error.scope in SHARED else None
    return PartSync(part=part, outcome=Outcome.PUT_OFF, reason=reason, again_after=again)


def _fail(reader: Reader, part: Part, reason: str) -> PartSync:
    _write(reader, part, rules.failed(reader.states[part], reason, reader.as_of, full=reader.is_full))
    return PartSync(part=part, outcome=Outcome.FAILED, reason=reason)


def _expect_nothing(reader: Reader, not_enabled: Sequence[Part]) -> None:
    """Stop expecting data of the ad products that an account does not have. Data read before stays."""
    products = {part.product for part in not_enabled}
    states = {part: state for part, state in reader.states.items() if part.product not in products}
    for product in products:
        with suppress(SQLAlchemyError), Session(reader.engine) as session, session.begin():
            part_queries.expect_nothing(session, reader.due.id, product, reader.as_of, states)


def _write(reader: Reader, part: Part, state: PartState) -> None:
    # If the database is down, only the run knows the reason. If a newer sync was faster, its state stays.
    with suppress(SQLAlchemyError, OvertakenError), Session(reader.engine) as session, session.begin():
        reader.write(session, part, state)
