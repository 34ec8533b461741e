"""What tests of budgets share."""

import pytest
from sqlalchemy import Engine

from tests.unit.budgets.ledger import Ledger


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)
