"""Amounts of money as texts, with the decimals that reports have too; amounts of two currencies are never added."""

from decimal import ROUND_HALF_EVEN, Decimal

from babel.numbers import get_currency_precision


def decimals_of(currency: str) -> int:
    """Return how many decimals a currency is written with (CLDR, by Babel)."""
    return int(get_currency_precision(currency))


def format_money(amount: Decimal, currency: str) -> str:
    """Return an amount with its currency, as `1,234.50 USD` or `1,234 KRW`."""
    places = decimals_of(currency)
    return f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,.{places}f} {currency}"
