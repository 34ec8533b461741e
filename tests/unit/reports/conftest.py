"""What tests of reports share."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.unit.reports.books import Books


@pytest.fixture
def books(engine: Engine, tmp_path: Path) -> Books:
    """Empty books."""
    return Books(engine, tmp_path / "reports")
