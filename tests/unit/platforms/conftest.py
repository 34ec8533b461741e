"""Rigs on the sandbox that the tests share."""

from collections.abc import Callable, Iterator

import pytest

from sandbox.world import World
from sivera.values import PlatformName
from tests.unit.platforms.rig import Rig

NewRig = Callable[..., Rig]


@pytest.fixture
def new_rig(world: World, sandbox: str) -> Iterator[NewRig]:
    """Return a maker of rigs: a platform, and what `World.add_grant` takes."""
    rigs: list[Rig] = []

    def make(platform: PlatformName, accounts: int = 1, campaigns: int = 12, rotates: bool = False) -> Rig:
        grant = world.add_grant(platform, accounts, campaigns, rotates=rotates)
        rigs.append(Rig(world, platform, f"{sandbox}/{platform.value}", grant))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.client.close()


@pytest.fixture(params=list(PlatformName), ids=lambda platform: platform.value)
def rig(request: pytest.FixtureRequest, new_rig: NewRig) -> Rig:
    """A rig of each platform, with twelve campaigns."""
    return new_rig(request.param)
