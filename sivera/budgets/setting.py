"""Setting what a team means to spend in a month."""

import re
from decimal import Decimal

from sqlalchemy.orm import Session

from sivera.accounts import queries as account_queries
from sivera.budgets import queries
from sivera.budgets.wording import decimals_of
from sivera.errors import ConfigurationError
from sivera.models import Team, TeamBudget
from sivera.teams.queries import find_team
from sivera.values import PlatformName


def set_team_budget(
    session: Session, team: str, amount: str, currency: str, platform: PlatformName | None, account_id: int | None
) -> TeamBudget:
    """Write a team's monthly budget in the session's transaction, in place of the one for the same accounts.

    Raises:
        ConfigurationError: There is no such team or account, or something does not fit.
    """
    code = currency.upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise ConfigurationError(f"'{currency}' is no currency: write its three letters (ISO 4217), such as USD")
    wanted = parse_amount(amount, code)
    if platform and account_id:
        raise ConfigurationError("a budget is for a platform or for an account: leave one of them out")
    found = find_team(session, team)
    if account_id:
        _check_account(session, account_id, found, code)
    return queries.set_team_budget(
        session, team_id=found.id, platform=platform, account_id=account_id, currency=code, amount=wanted
    )


def parse_amount(text: str, currency: str) -> Decimal:
    """Read an amount of money above zero; ConfigurationError if it is none, or has too many decimals."""
    # NUMERIC(20, 6) holds more than anybody spends.
    amount = Decimal(text) if re.fullmatch(r"\d{1,12}(\.\d+)?", text, re.ASCII) else Decimal(0)
    if not amount:
        raise ConfigurationError(f"'{text}' is no amount to spend: write a number above 0, such as 5000 or 1234.50")
    places = decimals_of(currency)
    if amount != round(amount, places):
        raise ConfigurationError(f"{currency} has {places} decimals: write the amount with no more of them")
    return amount


def _check_account(session: Session, account_id: int, team: Team, currency: str) -> None:
    account = account_queries.get_account(session, account_id)
    if account is None or account.team_id != team.id:
        raise ConfigurationError(
            f"team '{team.name}' has no account {account_id}: `sivera accounts list` shows them all"
        )
    if account.currency != currency:
        raise ConfigurationError(f"account {account_id} is in {account.currency}: write the budget in that currency")
