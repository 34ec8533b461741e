"""The fixture of tests of reports."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.unit.reports.books import Books


@pytest.fixture
def books(engine: Engine, tmp_path: Path) -> Books:
    """Return empty books."""
    return Books(engine, tmp_path / "reports")
