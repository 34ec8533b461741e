"""`sivera budgets`: what teams mean to spend in a month, from the terminal.

May not import prefect at its top; see `ops.cli`.
"""

from cyclopts import App

from ops.commands.session import Id, Name
from ops.stack.prefect_server import use_running_stack
from sivera.values import PlatformName

budgets = App(name="budgets", help="What teams mean to spend in a month.")


@budgets.command(name="set")
def set_budget(
    *, team: Name, amount: str, currency: str, platform: PlatformName | None = None, account: Id | None = None
) -> None:
    """Set what a team means to spend in each calendar month; check-budgets tells how far it is spent.

    It is for all accounts of the team in the currency, or only for those of a platform, or for one. Given again for the
    same, it replaces the amount.

    Args:
        team: The team, as `sivera accounts list` shows it.
        amount: The amount a month, such as 5000 or 1234.50.
        currency: The currency, such as USD; accounts in others are not counted.
        platform: Only for the team's accounts on this platform.
        account: Only for this account; our id, as `sivera accounts list` shows it.
    """
    use_running_stack()
    from ops.commands import budget_actions  # noqa: PLC0415

    budget_actions.set_budget(team, amount, currency, platform, account)


@budgets.command(name="list")
def list_budgets() -> None:
    """List the budgets that teams set: whose, for which accounts, and how much a month."""
    use_running_stack()
    from ops.commands import budget_actions  # noqa: PLC0415

    budget_actions.list_budgets()


@budgets.command(name="remove")
def remove_budget(id: Id, /) -> None:  # noqa: A002 - its name
    """Remove a team's budget; its open alerts close with the next run of check-budgets.

    Args:
        id: Our id of the budget, as `sivera budgets list` shows it.
    """
    use_running_stack()
    from ops.commands import budget_actions  # noqa: PLC0415

    budget_actions.remove_budget(id)
