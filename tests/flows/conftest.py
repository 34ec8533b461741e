import pytest

from sandbox.world import World


@pytest.fixture
def world() -> World:
    """A world in real time, like the flows."""
    return World(seed=7)
