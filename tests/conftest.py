"""What all tests share: a sandbox world over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from sivera.sandbox.server import serve
from sivera.sandbox.world import World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""When it is in tests, unless they move the clock."""


@pytest.fixture
def world() -> World:
    """A sandbox world whose clock stands still."""
    return World(seed=7, now=NOW)


@pytest.fixture
def sandbox(world: World) -> Iterator[str]:
    """The base URL of the sandbox that serves `world`."""
    with serve(world) as url:
        yield url
