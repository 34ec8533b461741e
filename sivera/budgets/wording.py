"""How budgets, amounts and the alerts on budgets are worded."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from sivera.alerts.conditions import REMEDIES, Condition, Kind, short
from sivera.budgets.pacing import Period
from sivera.budgets.rules import Reading

NOT_REPORTED = "its platform reports no figures for it: look up its spending on the platform"
MIXED = (
    "its figures are not all in the currency of the budget ({currency}), and currencies are never added: look up its "
    "spending on the platform until a period has one currency again"
)
FOREIGN = "none of its accounts is in its currency ({currency}): set a budget in theirs, and remove this one"


def decimals_of(currency: str) -> int:
    """Return how many decimals a currency is written with, which is the number that reports use (CLDR, by Babel)."""
    from babel.numbers import get_currency_precision  # noqa: PLC0415 - most runs write no amounts

    return int(get_currency_precision(currency))


def format_money(amount: Decimal, currency: str) -> str:
    """Return an amount with its currency, as `1,234.50 USD` or `1,234 KRW`."""
    places = decimals_of(currency)
    return f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,.{places}f} {currency}"


def describe(reading: Reading, name: Callable[[str], str] = str) -> str:
    """Name a budget with its team, account and period. `name` can shorten each name."""
    account = name(reading.account)
    account = f"{reading.platform.value} {account}" if reading.platform else account
    return f"{name(reading.team)}: {account}, {name(reading.name)} ({reading.period.span.value})"


def budget_condition(reading: Reading, level: int, link: str, now: datetime) -> Condition:
    """Return the condition of a budget that has reached a threshold."""
    period, projection = reading.period, reading.projection
    return Condition(
        kind=Kind.BUDGET,
        subject=reading.subject,
        title=f"{level} % of a budget is spent. {describe(reading, short)}",
        message=spent_message(reading),
        remedy=REMEDIES[Kind.BUDGET],
        since=now,
        link=link,
        level=level,
        team_id=reading.team_id,
        account_id=reading.account_id,
        details={
            "team": reading.team,
            "account": reading.account_id,
            "platform": reading.platform,
            "percent": reading.percent,
            "spent": str(reading.spent),
            "budget": str(reading.limit),
            "currency": reading.currency,
            "periodSince": period.since and period.since.isoformat(),
            "periodUntil": period.until and period.until.isoformat(),
            "projected": projection and str(projection.expected),
        },
    )


def spent_message(reading: Reading) -> str:
    """Say how much of a budget is spent, and how much to expect by the end of its period."""
    said = [f"{spent_text(reading)} of {limit_text(reading)} ({reading.percent} %) in {period_text(reading.period)}."]
    if reading.projection:
        said.append(f"Projected by its end: {projection_text(reading)}.")
    if reading.as_of:
        said.append(f"As of {reading.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC.")
    if reading.note:
        said.append(f"{reading.note}.")
    text = " ".join(said)
    return f"{text[:1].upper()}{text[1:]}"


def spent_text(reading: Reading) -> str:
    """Return the known spending."""
    return f"{'at least ' if reading.at_least else ''}{format_money(reading.spent, reading.currency)}"


def limit_text(reading: Reading) -> str:
    """Return the budget for the period."""
    return format_money(reading.limit, reading.currency)


def projection_text(reading: Reading) -> str:
    """Return the projection with its interval, or a dash."""
    found = reading.projection
    if found is None:
        return "-"
    low, high = (format_money(amount, reading.currency).partition(" ")[0] for amount in (found.low, found.high))
    return f"{format_money(found.expected, reading.currency)} ({low} to {high})"


def period_text(period: Period) -> str:
    """Return the days of a period."""
    if period.since == period.until and period.since:
        return f"{period.since}"
    since, until = period.since or "an unknown start", period.until or "an open end"
    return f"{since} to {until}"
