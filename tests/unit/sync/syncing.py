"""Helpers for tests of an account's sync."""

from decimal import Decimal
from typing import Any

import pytest

from sandbox.accounts import Account, Campaign
from sandbox.figures import Figures
from sivera.sync.plan import DueAccount, SyncMode
from sivera.values import CampaignStatus, PlatformName
from tests.stage import Stage

FIGURES = Figures(1234, 56, Decimal("78.00"), Decimal(9), Decimal("1011.00"))

GOOGLE, META, AMAZON, TIKTOK = PlatformName


def on(*platforms: PlatformName) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("platform", platforms, indirect=True, ids=str)


def sync_twice(stage: Stage, due: DueAccount, mode: SyncMode = SyncMode.FULL) -> None:
    """Sync twice, so that reports that the first sync requested are collected by the second."""
    for _ in range(2):
        stage.sync(due, mode)


def one(stage: Stage, query: str, **parameters: object) -> tuple[Any, ...]:
    """Return the only row of a query."""
    (row,) = stage.rows(query, **parameters)
    return tuple(row)


def active(account: Account) -> Campaign:
    return next(c for c in account.campaigns.values() if c.state is CampaignStatus.ACTIVE)


def listed(account: Account) -> list[Campaign]:
    """Return the campaigns that the platform lists. Meta leaves out deleted ones."""
    hidden = CampaignStatus.REMOVED if account.platform is META else None
    return [one for one in account.campaigns.values() if one.state is not hidden]
