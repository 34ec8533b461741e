"""What `ops.commands.budgets` does once the way to the Prefect server is set: it imports prefect."""

from sqlalchemy.orm import Session

from ops.commands.session import open_database
from ops.commands.tables import print_table, say
from sivera.budgets import queries
from sivera.budgets.money import format_money
from sivera.budgets.setting import set_team_budget
from sivera.errors import ConfigurationError
from sivera.values import PlatformName


def set_budget(team: str, amount: str, currency: str, platform: PlatformName | None, account: int | None) -> None:
    """Set a team's monthly budget.

    Raises:
        ConfigurationError: There is no such team or account, or amount and currency do not fit; nothing was changed.
    """
    with open_database() as engine, Session(engine) as session, session.begin():
        written = set_team_budget(session, team, amount, currency, platform, account)
    what = f"account {account}" if account else platform.value if platform else "all its accounts"
    money = format_money(written.amount, written.currency)
    say(f"Budget {written.id}: {team} means to spend {money} a month on {what}.")


def list_budgets() -> None:
    """Print all budgets that teams set."""
    with open_database() as engine, Session(engine) as session:
        found = queries.list_team_budgets(session)
        counted = {budget.id: 0 for budget, *_ in found}
        currencies = {budget.id: budget.currency for budget, *_ in found}
        for budget_id, account in queries.accounts_of_team_budgets(session, list(counted)):
            counted[budget_id] += account.currency == currencies[budget_id]
    print_table(
        ("id", "team", "for", "amount a month", "accounts"),
        [
            (
                str(budget.id),
                team,
                f"{budget.account_id} ({account})" if account else budget.platform or "all",
                format_money(budget.amount, budget.currency),
                str(counted[budget.id]),
            )
            for budget, team, account in found
        ],
        notes=[
            f"Budget {budget.id}: no account of it is in {budget.currency}, so nothing is counted."
            for budget, *_ in found
            if not counted[budget.id]
        ],
        empty="No team has set a budget. Set one: sivera budgets set --help",
    )


def remove_budget(budget_id: int) -> None:
    """Remove a team's budget.

    Raises:
        ConfigurationError: There is no such budget.
    """
    with open_database() as engine, Session(engine) as session, session.begin():
        removed = queries.remove_team_budget(session, budget_id)
    if not removed:
        raise ConfigurationError(f"there is no budget {budget_id}: `sivera budgets list` shows them all")
    say(f"Removed budget {budget_id}; its open alerts close with the next run of check-budgets.")
