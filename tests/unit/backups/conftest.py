"""A database to back up, and an empty one to restore it into."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sivera.crypto import Keyring
from sivera.database import engine_on
from tests.unit.backups.vault import Vault, another, beside


@pytest.fixture
def vault(engine: Engine, keyring: Keyring, tmp_path: Path) -> Vault:
    """A migrated database of the superuser's, and a folder for its backups."""
    (tmp_path / "backups").mkdir()
    return Vault(engine, keyring, tmp_path / "backups")


@pytest.fixture
def target(postgres: str) -> Iterator[Vault]:
    """An empty database."""
    with beside(postgres, "test_target") as url, engine_on(url) as engine:
        yield Vault(engine, another("k9"), Path())
