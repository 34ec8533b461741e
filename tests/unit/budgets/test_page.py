"""The pictures of check-budgets: what is in the database, whatever thresholds there have been."""

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.budgets.options import BudgetOptions
from sivera.budgets.page import budgets_charts
from tests.unit.budgets.ledger import Ledger
from tests.unit.budgets.test_checking import FIRST

THRESHOLDS = tuple(range(10, 110, 10))


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine)


def test_more_thresholds_than_there_are_colours_are_drawn(ledger: Ledger) -> None:
    for threshold in THRESHOLDS:
        account = ledger.account()
        campaign = ledger.campaign(account, "100")
        ledger.spend(account, campaign, str(3040 * threshold // 100 + 1), FIRST)
    ledger.check(BudgetOptions(thresholds=THRESHOLDS))
    assert {threshold for _, threshold in ledger.open()} == set(THRESHOLDS)
    with Session(ledger.engine) as session:
        reached, opened = budgets_charts(session)
    assert "![Budgets by the highest threshold" in reached
    assert "![Alerts on budgets" in opened
