"""An account on a platform of the sandbox, connected and due."""

import pytest

from sandbox.accounts import Account
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.sync.plan import DueAccount
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.sync.syncing import AMAZON, META


@pytest.fixture(params=[META, AMAZON], ids=str)
def platform(request: pytest.FixtureRequest) -> PlatformName:
    """A platform that answers at once and the one that prepares reports. Others differ only in their clients."""
    platform: PlatformName = request.param
    return platform


@pytest.fixture
def grant(world: World, platform: PlatformName) -> Grant:
    return world.add_grant(platform, accounts=1, campaigns=6)


@pytest.fixture
def account(world: World, grant: Grant) -> Account:
    return world.accounts_of(grant)[0]


@pytest.fixture
def due(stage: Stage, grant: Grant) -> DueAccount:
    stage.connect(grant)
    (due,) = stage.due()
    return due
