"""Amounts of money as texts; amounts of two currencies are never added."""

from decimal import ROUND_HALF_EVEN, Decimal

WHOLE = frozenset(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    )
)
THOUSANDTHS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
"""The currencies of ISO 4217 that do not have two decimals."""


def decimals_of(currency: str) -> int:
    """Return how many decimals a currency has (ISO 4217)."""
    if currency in WHOLE:
        return 0
    return 3 if currency in THOUSANDTHS else 2


def format_money(amount: Decimal, currency: str) -> str:
    """Return an amount with its currency, as `1,234.50 USD` or `1,234 KRW`."""
    places = decimals_of(currency)
    return f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,.{places}f} {currency}"
