"""`sivera budgets`: the monthly budgets of teams. It works without Prefect."""

from cyclopts import App

from ops.commands.session import Id, Name, open_session
from ops.commands.tables import print_table, say
from sivera.budgets import queries
from sivera.budgets.setting import set_team_budget
from sivera.budgets.wording import format_money
from sivera.errors import ConfigurationError
from sivera.models import TeamBudget
from sivera.values import PlatformName

budgets = App(name="budgets")


@budgets.command(name="set")
def set_budget(
    *, team: Name, amount: str, currency: str, platform: PlatformName | None = None, account: Id | None = None
) -> None:
    """Set how much a team plans to spend in each calendar month; check-budgets compares it with the actual spending.

    It covers all of the team's accounts in the currency, those on one platform, or one account. Setting it again for
    the same accounts replaces the amount.

    Args:
        team: The team, as `sivera accounts list` shows it.
        amount: The amount per month, such as 5000 or 1234.50.
        currency: The currency, such as USD; accounts in other currencies do not count.
        platform: Only for the team's accounts on this platform.
        account: Only for this account; our id, as `sivera accounts list` shows it.
    """
    with open_session() as session, session.begin():
        written = set_team_budget(session, team, amount, currency, platform, account)
        money = format_money(written.amount, written.currency)
        what = f"account {account}" if account else platform.value if platform else "all its accounts"
        said = f"Budget {written.id}: {team} plans to spend {money} a month on {what}."
    say(said)


@budgets.command(name="list")
def list_budgets() -> None:
    """List the budgets of teams: their accounts, and the amount per month."""
    with open_session() as session:
        found = queries.list_team_budgets(session)
        counted = {budget.id: 0 for budget, *_ in found}
        currencies = {budget.id: budget.currency for budget, *_ in found}
        for budget_id, account, _ in queries.accounts_of_team_budgets(session, list(counted)):
            counted[budget_id] += account.currency == currencies[budget_id]
    print_table(
        ("id", "team", "for", "amount a month", "accounts"),
        [
            (budget.id, team, _scope(budget, account), format_money(budget.amount, budget.currency), counted[budget.id])
            for budget, team, account in found
        ],
        "No budgets are set. Set one: sivera budgets set --help",
        [
            f"Budget {budget.id}: none of its accounts uses {budget.currency}, so nothing is counted."
            for budget, *_ in found
            if not counted[budget.id]
        ],
    )


def _scope(budget: TeamBudget, account: str | None) -> str:
    return f"{budget.account_id} ({account})" if account else budget.platform or "all"


@budgets.command(name="remove")
def remove_budget(id: Id, /) -> None:  # noqa: A002 - its name
    """Remove a team's budget; its open alerts close with the next run of check-budgets.

    Args:
        id: Our id of the budget, as `sivera budgets list` shows it.
    """
    with open_session() as session, session.begin():
        removed = queries.remove_team_budget(session, id)
    if not removed:
        raise ConfigurationError(f"there is no budget {id}: `sivera budgets list` shows them all")
    say(f"Removed budget {id}; its open alerts close with the next run of check-budgets.")
