"""What a run has to do."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row
from sqlalchemy.orm import Session

from sivera.accounts import queries
from sivera.errors import ConfigurationError
from sivera.sync.options import SyncOptions
from sivera.sync.summary import DueAccount, SyncPlan
from sivera.values import PlatformName


def plan_sync(session: Session, options: SyncOptions, now: datetime) -> SyncPlan:
    """Find the accounts that a run with these options syncs, in order, and those that it leaves out.

    Raises:
        ConfigurationError: The options name a team or an account that does not exist.
    """
    if unknown := queries.unknown_ids(session, options.account_ids):
        raise ConfigurationError(f"there is no account {unknown[0]}: `sivera accounts list` shows them all")
    if missing := queries.unknown_teams(session, options.teams):
        raise ConfigurationError(f"there is no team '{missing[0]}': `sivera credentials list` shows them all")
    wanted = queries.AccountFilter(options.platforms, options.teams, options.account_ids)
    return SyncPlan(
        due=_accounts(queries.due_accounts(session, wanted, now)),
        waiting=_accounts(queries.waiting_accounts(session, wanted)),
        resting=queries.count_resting(session, wanted, now),
    )


def _accounts(rows: Sequence[Row[tuple[int, str, str]]]) -> tuple[DueAccount, ...]:
    return tuple(DueAccount(id=row.id, platform=PlatformName(row.platform), name=row.name) for row in rows)
