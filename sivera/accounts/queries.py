"""Questions about ad accounts: which are due, how fresh they are, and which days were read."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import orjson
from sqlalchemy import (
    ColumnElement,
    Interval,
    Row,
    Subquery,
    and_,
    case,
    false,
    func,
    literal_column,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from sivera import values
from sivera.clock import past
from sivera.errors import ConfigurationError
from sivera.grants.rules import WAITING
from sivera.models import AccountDailyTotal, AdAccount, PlatformCredential, SyncPart, Team
from sivera.values import PlatformName

ACTIVE = "active"

SLOW_LANE_LONGEST = timedelta(hours=24)
"""The longest rest of an account or a part. A stored time further ahead is invalid."""

DESCRIBED = tuple(values.AdAccount.model_fields)
"""The columns with a platform's description of an account."""

IS_UNATTRIBUTED = AccountDailyTotal.unattributed > func.greatest(
    literal_column("0.01"), AccountDailyTotal.spend * literal_column("0.005")
)
"""Whether a day has spend that belongs to no campaign: more than a cent and half a percent of the account's spend.

Platforms round, and sum up an account at another moment than its campaigns, so a smaller difference means nothing.
"""


class Lane(StrEnum):
    """What a run does with an active account whose grant is not disconnected."""

    DUE = "due"
    WAITING = "waiting"
    """Its grant waits for a human."""
    RESTING = "resting"
    """It is in the slow lane."""


def rests(now: ColumnElement[datetime] | datetime) -> ColumnElement[bool]:
    """Return whether an account is in the slow lane."""
    return and_(AdAccount.next_attempt_at > now, AdAccount.next_attempt_at <= now + SLOW_LANE_LONGEST)


def accounts_to_sync(
    session: Session,
    now: datetime,
    platforms: Sequence[PlatformName] = (),
    teams: Sequence[str] = (),
    account_ids: Sequence[int] = (),
) -> Sequence[Row[tuple[int, str, str, str, datetime]]]:
    """Return id, platform, name and lane of a run's accounts, and since when each has been waiting to be synced.

    The least recently synced come first, with platforms taking turns. Accounts selected by id do not rest.
    """
    grant = PlatformCredential
    oldest = (past(AdAccount.last_synced_at, now).asc().nulls_first(), AdAccount.id)
    tried_at, rested_at = past(AdAccount.last_attempt_at, now), past(AdAccount.next_attempt_at, now)
    ready_at = func.greatest(AdAccount.created_at, past(grant.status_since, now))
    lane = case(
        (grant.status.in_(WAITING), Lane.WAITING),
        (false() if account_ids else rests(now), Lane.RESTING),
        else_=Lane.DUE,
    )
    turn = func.row_number().over(partition_by=(AdAccount.platform, lane), order_by=oldest)
    return session.execute(
        select(AdAccount.id, AdAccount.platform, AdAccount.name, lane.label("lane"))
        .add_columns(func.greatest(ready_at, tried_at, rested_at).label("waits_since"))
        .join(grant, grant.id == AdAccount.credential_id)
        .join(Team, Team.id == AdAccount.team_id)
        .where(
            AdAccount.status == ACTIVE,
            grant.status.in_((ACTIVE, *WAITING)),
            AdAccount.platform.in_(platforms) if platforms else true(),
            Team.name.in_(teams) if teams else true(),
            AdAccount.id.in_(account_ids) if account_ids else true(),
        )
        .order_by(turn, *oldest)
    ).all()


def get_account(session: Session, account_id: int) -> AdAccount | None:
    """Return an account, if it exists."""
    return session.get(AdAccount, account_id)


def find_account(session: Session, account_id: int) -> AdAccount:
    """Return an account; ConfigurationError if it does not exist."""
    if found := get_account(session, account_id):
        return found
    raise ConfigurationError(f"there is no account {account_id}: `sivera accounts list` shows them all")


def accounts_of(session: Session, credential_id: int) -> Sequence[AdAccount]:
    """Return the accounts of a grant, by id."""
    return session.scalars(
        select(AdAccount)
        .where(AdAccount.credential_id == credential_id)
        .order_by(AdAccount.id)
        .execution_options(populate_existing=True)
    ).all()


_UPSERT = text(f"""
    INSERT INTO ad_accounts AS known (team_id, platform, credential_id, {", ".join(DESCRIBED)})
    SELECT :team, :platform, :grant, {", ".join(DESCRIBED)}
    FROM json_populate_recordset(CAST(NULL AS ad_accounts), CAST(:rows AS json))
    ON CONFLICT (team_id, platform, external_id) DO UPDATE SET credential_id = :grant, unlisted_since = NULL,
        {", ".join(f"{name} = excluded.{name}" for name in DESCRIBED)}
    WHERE known.credential_id = :grant
        OR known.credential_id IN (SELECT id FROM platform_credentials WHERE status <> 'active')""")  # noqa: S608 - constants


def upsert_accounts(
    session: Session, credential: PlatformCredential, accounts: Sequence[values.AdAccount]
) -> Sequence[AdAccount]:
    """Store the accounts that a grant reaches, and return those it carries. Their sync state stays.

    An account that another working grant of the team carries stays with that grant, and is not returned.
    """
    given = {"team": credential.team_id, "platform": credential.platform, "grant": credential.id}
    rows = orjson.dumps([account.model_dump() for account in accounts]).decode()
    session.execute(_UPSERT, given | {"rows": rows})
    return accounts_of(session, credential.id)


def mark_unlisted(
    session: Session, credential_id: int, listed: Collection[str], unread_regions: Collection[str]
) -> Sequence[AdAccount]:
    """Mark a grant's accounts that are not `listed`, and return those that were not marked yet.

    Accounts in `unread_regions` stay as they are.
    """
    found = [
        one
        for one in accounts_of(session, credential_id)
        if one.external_id not in listed and one.region not in unread_regions and not one.unlisted_since
    ]
    for one in found:
        one.unlisted_since = func.now()
    session.flush()
    return found


def leave_slow_lane(session: Session, credential_id: int) -> None:
    """Take all accounts of a grant and their parts out of the slow lane."""
    mine = AdAccount.credential_id == credential_id
    session.execute(update(AdAccount).where(mine).values(next_attempt_at=None, consecutive_failures=0))
    parts = update(SyncPart).where(SyncPart.account_id.in_(select(AdAccount.id).where(mine)))
    session.execute(parts.values(next_attempt_at=None, failures=0))


def list_accounts(session: Session) -> Sequence[Row[tuple[AdAccount, str, str, str | None]]]:
    """Return every account with its team's name, and its grant's status and the reason for it."""
    return session.execute(
        select(AdAccount, Team.name, PlatformCredential.status, PlatformCredential.status_reason)
        .join(Team, Team.id == AdAccount.team_id)
        .join(PlatformCredential, PlatformCredential.id == AdAccount.credential_id)
        .order_by(Team.name, AdAccount.platform, AdAccount.id)
    ).all()


def count_ahead(session: Session) -> int:
    """Count the accounts with a time of a sync that is ahead of the database's clock."""
    of_parts = func.greatest(SyncPart.as_of, SyncPart.figures_as_of, SyncPart.last_ok_at, SyncPart.last_full_at)
    times = func.greatest(AdAccount.last_attempt_at, AdAccount.last_synced_at, AdAccount.last_full_sync_at, of_parts)
    statement = select(func.count(AdAccount.id.distinct())).outerjoin(SyncPart, SyncPart.account_id == AdAccount.id)
    return session.scalar(statement.where(times > func.clock_timestamp())) or 0


def accounts_by_age(session: Session, bounds: Sequence[timedelta]) -> Sequence[Row[tuple[str, int | None, int]]]:
    """Count the active accounts by platform and the number of bounds that their last sync's age has reached.

    The number is None for accounts that were never synced.
    """
    now = func.statement_timestamp()
    age = now - past(AdAccount.last_synced_at, now)
    reached = func.width_bucket(age, array(bounds, type_=Interval))
    return session.execute(
        select(AdAccount.platform, reached.label("reached"), func.count())
        .join(PlatformCredential, PlatformCredential.id == AdAccount.credential_id)
        .where(AdAccount.status == ACTIVE, PlatformCredential.status == ACTIVE)
        .group_by(AdAccount.platform, "reached")
    ).all()


def coverage() -> Subquery:
    """Return the days for which an account's figures were read, by `account_id`.

    On a platform with ad products these are the days read for all of them. `lacks_product` if one was never read.
    """
    is_read = SyncPart.covered_since.is_not(None)
    return (
        select(
            SyncPart.account_id,
            func.max(SyncPart.covered_since).label("since"),
            func.min(SyncPart.covered_until).label("until"),
            (~func.bool_and(is_read)).label("lacks_product"),
        )
        .where(SyncPart.kind == "metrics", SyncPart.not_enabled_since.is_(None))
        .group_by(SyncPart.account_id)
        .subquery("coverage")
    )
