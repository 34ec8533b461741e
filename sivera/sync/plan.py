"""The options of sync-campaigns, which the Prefect UI shows as a form, and the plan of a run."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import Field
from sqlalchemy import Row
from sqlalchemy.orm import Session

from sivera.accounts.news import AccountNews
from sivera.accounts.queries import Lane, accounts_to_sync, find_account
from sivera.teams.queries import check_teams
from sivera.values import PlatformName, Value

LASTING = timedelta(hours=24)
"""A part that was put off for this long, or an account that no run has reached for this long, has failed."""


class SyncMode(StrEnum):
    """How much a run reads."""

    INCREMENTAL = "incremental"
    FULL = "full"


class SyncOptions(Value):
    """Which accounts to sync, and how much to read."""

    mode: SyncMode = Field(
        default=SyncMode.INCREMENTAL,
        description="Incremental reads changes and the last days; full reads everything and finds what is gone.",
    )
    platforms: tuple[PlatformName, ...] = Field(default=(), description="Only these platforms; empty means all.")
    teams: tuple[str, ...] = Field(default=(), description="Only teams of these names; empty means all.")
    account_ids: tuple[int, ...] = Field(
        default=(), description="Only these accounts (our ids), even from the slow lane; empty means all."
    )
    lookback_days: int | None = Field(
        default=None,
        ge=1,
        le=90,
        description="Days of metrics to read again, including today; empty means what the mode and platform call for.",
    )
    batch_size: int = Field(default=100, ge=1, le=1000, description="The most accounts that are mapped at once.")
    deadline_seconds: int = Field(
        default=255,
        ge=10,
        le=255,
        description="Seconds after which the run stops calling platforms; the next run starts with the rest.",
    )

    def words(self) -> tuple[str, ...]:
        """Return the words for these options in the name of a run."""
        return (self.mode, *self.platforms, *self.teams, *(f"account {one}" for one in self.account_ids[:3]))


class DueAccount(Value):
    """An account to sync. `overdue_since` is set if no run has reached it for a day."""

    id: int
    platform: PlatformName
    name: str
    overdue_since: datetime | None = None

    def news(self, what: str) -> AccountNews:
        """Return a message about the account."""
        return AccountNews(account_id=self.id, platform=self.platform, name=self.name, what=what)


class SyncPlan(Value):
    """The work of a run. `waiting` accounts must be reconnected by a person; `resting` ones are in the slow lane."""

    due: tuple[DueAccount, ...]
    waiting: tuple[DueAccount, ...]
    resting: int
    at: datetime


def plan_sync(session: Session, options: SyncOptions, now: datetime) -> SyncPlan:
    """Find the accounts of a run, in order. Raise ConfigurationError for an unknown team or account."""
    for account_id in options.account_ids:
        find_account(session, account_id)
    check_teams(session, options.teams)
    rows = accounts_to_sync(session, now, options.platforms, options.teams, options.account_ids)
    of_lane = {lane: tuple(_account(row, now) for row in rows if row.lane == lane) for lane in Lane}
    return SyncPlan(due=of_lane[Lane.DUE], waiting=of_lane[Lane.WAITING], resting=len(of_lane[Lane.RESTING]), at=now)


def _account(row: Row[Any], now: datetime) -> DueAccount:
    overdue_since = row.waits_since if row.waits_since < now - LASTING else None
    return DueAccount(id=row.id, platform=PlatformName(row.platform), name=row.name, overdue_since=overdue_since)
