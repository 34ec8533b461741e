"""`sivera budgets` against a real Prefect server and PostgreSQL."""

import pytest

from sandbox.world import World
from sivera.values import PlatformName
from tests.ops.commands import Sivera
from tests.stage import Stage

TEAM = "Northwind Goods"


@pytest.fixture
def account(ready: Stage, world: World) -> int:
    connection = ready.connect(world.add_grant(PlatformName.META), team=TEAM)
    return connection.account_ids[0]


def test_a_budget_is_set_replaced_listed_and_removed(sivera: Sivera, ready: Stage, account: int) -> None:
    currency = ready.rows("SELECT currency FROM ad_accounts")[0].currency
    assert "sivera budgets set" in sivera("budgets", "list").out
    whole = ["budgets", "set", "--team", TEAM, "--currency", currency.lower()]
    assert f"5,000 {currency} a month on all its accounts" in sivera(*whole, "--amount", "5000").out
    assert "9,000" in sivera(*whole, "--amount", "9000").out
    assert "on meta" in sivera(*whole, "--amount", "70", "--platform", "meta").out
    assert f"on account {account}" in sivera(*whole, "--amount", "80", "--account", str(account)).out
    lines = sivera("budgets", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["1", "3", "4"]
    assert "9,000" in lines[1]
    assert "meta" in lines[2]
    assert sivera("budgets", "remove", "1").out.startswith("Removed budget 1;")
    assert "there is no budget 1" in sivera("budgets", "remove", "1").refusal
    assert len(ready.rows("SELECT 1 FROM team_budgets")) == 2


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"--team": "Nobody"}, "there is no team 'Nobody': `sivera teams list` shows them all"),
    ({"--amount": "0"}, "'0' is not an amount to spend"),
    ({"--amount": "nan"}, "'nan' is not an amount to spend"),
    ({"--amount": "1e30"}, "'1e30' is not an amount to spend"),
    ({"--amount": "12,50"}, "'12,50' is not an amount to spend"),
    ({"--amount": "12.345", "--currency": "USD"}, "USD has 2 decimals"),
    ({"--amount": "12.5", "--currency": "JPY"}, "JPY has 0 decimals"),
    ({"--currency": "dollars"}, "'dollars' is not a currency"),
    ({"--account": "999"}, f"team '{TEAM}' has no account 999"),
    ({"--account": "1", "--currency": "XXX"}, "account 1 is in "),
    ({"--account": "1", "--platform": "meta"}, "leave one of them out"),
    ({"--platform": "bing"}, "Invalid value"),
]


def test_a_budget_that_does_not_fit_is_refused(sivera: Sivera, ready: Stage, account: int) -> None:
    assert account == 1
    for changed, said in REFUSED:
        given = {"--team": TEAM, "--amount": "50", "--currency": "USD"} | changed
        assert said in sivera("budgets", "set", *[word for pair in given.items() for word in pair]).refusal
    assert ready.rows("SELECT 1 FROM team_budgets") == []
