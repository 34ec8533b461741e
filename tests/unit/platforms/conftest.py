"""A client at work in the sandbox."""

from collections.abc import Callable, Iterator

import pytest

from sandbox.world import World
from sivera.values import PlatformName
from tests.unit.platforms.desk import Desk

NewDesk = Callable[..., Desk]


@pytest.fixture
def new_desk(world: World, sandbox: str) -> Iterator[NewDesk]:
    """Return a maker of desks: a platform, and what `World.add_grant` takes."""
    desks: list[Desk] = []

    def make(platform: PlatformName, accounts: int = 1, campaigns: int = 12, rotates: bool = False) -> Desk:
        grant = world.add_grant(platform, accounts, campaigns, rotates=rotates)
        desks.append(Desk(world, platform, f"{sandbox}/{platform.value}", grant))
        return desks[-1]

    yield make
    for desk in desks:
        desk.client.close()


@pytest.fixture(params=list(PlatformName), ids=lambda platform: platform.value)
def desk(request: pytest.FixtureRequest, new_desk: NewDesk) -> Desk:
    """A desk of each platform, with twelve campaigns."""
    return new_desk(request.param)
