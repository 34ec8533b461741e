"""A database to back up, and an empty one to restore it into."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from sivera.backups.manifest import Manifest
from sivera.crypto import Keyring
from sivera.database import engine_on
from tests.unit.backups.databases import Database, empty_database, other_keyring


@pytest.fixture
def source(engine: Engine, keyring: Keyring, tmp_path: Path) -> Database:
    """A database with rows, and a folder for its backups."""
    (tmp_path / "backups").mkdir()
    return Database(engine, keyring, tmp_path / "backups").filled()


@pytest.fixture
def made(source: Database) -> Manifest:
    """A backup of `source`."""
    return source.make_backup()


@pytest.fixture
def target(postgres: str) -> Iterator[Database]:
    """An empty database."""
    with empty_database(postgres, "test_target") as url, engine_on(url) as engine:
        yield Database(engine, other_keyring("k9"), Path())
