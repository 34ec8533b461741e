"""Setting the amount that a team means to spend in a month."""

import re
from decimal import Decimal

from sqlalchemy.orm import Session

from sivera.accounts.queries import get_account
from sivera.budgets import queries
from sivera.budgets.wording import decimals_of
from sivera.errors import ConfigurationError
from sivera.models import TeamBudget
from sivera.teams.queries import find_team
from sivera.values import PlatformName


def set_team_budget(
    session: Session, team: str, amount: str, currency: str, platform: PlatformName | None, account_id: int | None
) -> TeamBudget:
    """Write a team's monthly budget, which replaces the one for the same accounts.

    Raises:
        ConfigurationError: There is no such team or account, or a value is invalid.
    """
    code = currency.upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise ConfigurationError(f"'{currency}' is not a currency: write its three letters (ISO 4217), such as USD")
    wanted = parse_amount(amount, code)
    if platform and account_id:
        raise ConfigurationError("a budget is for a platform or for an account: leave one of them out")
    found = find_team(session, team)
    if account_id:
        account = get_account(session, account_id)
        if account is None or account.team_id != found.id:
            raise ConfigurationError(
                f"team '{team}' has no account {account_id}: `sivera accounts list` shows them all"
            )
        if account.currency != code:
            raise ConfigurationError(
                f"account {account_id} is in {account.currency}: write the budget in that currency"
            )
    return queries.set_team_budget(
        session, team_id=found.id, platform=platform, account_id=account_id, currency=code, amount=wanted
    )


def parse_amount(text: str, currency: str) -> Decimal:
    """Parse an amount above zero with at most the decimals of its currency; ConfigurationError if it is not one."""
    # Twelve digits are plenty, and fit NUMERIC(20, 6).
    amount = Decimal(text) if re.fullmatch(r"\d{1,12}(\.\d+)?", text, re.ASCII) else Decimal(0)
    if not amount:
        raise ConfigurationError(f"'{text}' is not an amount to spend: write a number above 0, such as 5000 or 1234.50")
    places = decimals_of(currency)
    if amount != round(amount, places):
        raise ConfigurationError(f"{currency} has {places} decimals: write the amount with no more of them")
    return amount
