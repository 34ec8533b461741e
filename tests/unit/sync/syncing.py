"""What tests of an account's sync share."""

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
    """Sync until nothing is outstanding: a platform that prepares reports has them collected by the second run."""
    for _ in range(2):
        stage.sync(due, mode)


def one(stage: Stage, query: str, **parameters: object) -> tuple[Any, ...]:
    """The only row of a query."""
    (row,) = stage.rows(query, **parameters)
    return tuple(row)


def active(account: Account) -> Campaign:
    return next(c for c in account.campaigns.values() if c.state is CampaignStatus.ACTIVE)


def listed(account: Account) -> list[Campaign]:
    """What the platform lists: Meta leaves out what was deleted."""
    hides = account.platform is META
    return [one for one in account.campaigns.values() if not (hides and one.state is CampaignStatus.REMOVED)]


HELD = """
    SELECT (SELECT count(missing_since) FROM campaigns),
           (SELECT count(missing_since) FROM campaign_daily_metrics),
           (SELECT count(missing_since) FROM account_daily_totals)"""
