"""The `sivera` command, for tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.world import World
from tests.consents import Person
from tests.ops.commands import Sivera, in_folder
from tests.prefect_server import free_port


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the commands do."""
    return World(seed=7)


@pytest.fixture
def sivera(tmp_path: Path) -> Iterator[Sivera]:
    """Runs the command in an empty folder."""
    with in_folder(tmp_path) as run:
        yield run


@pytest.fixture
def person() -> Person:
    """Who sits at the browser of this machine."""
    return Person()


@pytest.fixture
def redirect() -> str:
    """A redirect to a free port of this machine."""
    return f"http://127.0.0.1:{free_port()}/back"
