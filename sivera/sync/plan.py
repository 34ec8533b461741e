"""What a run of sync-campaigns is asked for (the Prefect UI shows it as a form), and what it has to do."""

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

OVERDUE_AFTER = timedelta(hours=24)
"""An account that no run reaches for so long has failed: what is put off for a day is."""


class SyncMode(StrEnum):
    """How much a run reads."""

    INCREMENTAL = "incremental"
    FULL = "full"


class SyncOptions(Value):
    """Which accounts to sync, and how much of them."""

    mode: SyncMode = Field(
        default=SyncMode.INCREMENTAL,
        description="Incremental reads what changed and the last days; full reads everything and finds what vanished.",
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
        description="Days of metrics to read again, today included; empty means what the mode and platform need.",
    )
    batch_size: int = Field(default=100, ge=1, le=1000, description="The most accounts that are mapped at once.")
    deadline_seconds: int = Field(
        default=255,
        ge=10,
        le=255,
        description="Seconds after which the run calls no platform any more; the rest comes first next time.",
    )

    def words(self) -> tuple[str, ...]:
        """The words in a run's name that tell these options apart from others."""
        return (self.mode, *self.platforms, *self.teams, *(f"account {one}" for one in self.account_ids[:3]))


class DueAccount(Value):
    """An account to sync: our id, and what a person recognises it by.

    If no run has reached it for a day, `overdue_since` says since when.
    """

    id: int
    platform: PlatformName
    name: str
    overdue_since: datetime | None = None

    def news(self, what: str) -> AccountNews:
        """Say something about it to a person."""
        return AccountNews(account_id=self.id, platform=self.platform, name=self.name, what=what)


class SyncPlan(Value):
    """The work of a run, and when it was planned.

    `waiting` accounts need a human to reconnect them; `resting` ones are in the slow lane.
    """

    due: tuple[DueAccount, ...]
    waiting: tuple[DueAccount, ...]
    resting: int
    at: datetime


def plan_sync(session: Session, options: SyncOptions, now: datetime) -> SyncPlan:
    """Find the accounts of a run, in order; ConfigurationError if a team or an account is unknown."""
    for account_id in options.account_ids:
        find_account(session, account_id)
    check_teams(session, options.teams)
    rows = accounts_to_sync(session, now, options.platforms, options.teams, options.account_ids)
    of_lane = {lane: tuple(_account(row, now) for row in rows if row.lane == lane) for lane in Lane}
    return SyncPlan(due=of_lane[Lane.DUE], waiting=of_lane[Lane.WAITING], resting=len(of_lane[Lane.RESTING]), at=now)


def _account(row: Row[Any], now: datetime) -> DueAccount:
    overdue_since = row.waits_since if row.waits_since < now - OVERDUE_AFTER else None
    return DueAccount(id=row.id, platform=PlatformName(row.platform), name=row.name, overdue_since=overdue_since)
