"""What is said of budgets: the titles and messages of alerts."""

from datetime import UTC, datetime

from sivera.alerts.conditions import plain
from sivera.budgets.money import format_money
from sivera.budgets.pacing import Period
from sivera.budgets.rules import Reading


def describe(reading: Reading) -> str:
    """Name a budget to a person: whose it is, and of which period; no chat takes it for a call to all."""
    whose = f"{reading.platform.value} {reading.account}" if reading.platform else reading.account
    return plain(f"{reading.team}: {whose}, {reading.name} ({reading.period.span.value})")


def opened_title(reading: Reading, threshold: int) -> str:
    """Return the title of an alert that opens."""
    return f"{threshold} % of a budget is spent. {describe(reading)}"


def closed_title(title: str, why: str, still: int | None) -> str:
    """Return the title of an alert that is over: chats show only that, so it says why, and what is still reached."""
    return f"{title}: {why}" + (f"; {still} % is still reached" if still else "")


def spent_message(reading: Reading) -> str:
    """Say how far a budget is spent, and where that leads."""
    least = "At least " if reading.at_least else ""
    spent, limit = (format_money(amount, reading.currency) for amount in (reading.spent, reading.limit))
    said = [f"{least}{spent} of {limit} ({reading.percent} %) in {period_text(reading.period)}."]
    if reading.projection:
        said.append(f"Projected by its end: {projection_text(reading)}.")
    if reading.as_of:
        said.append(f"As of {_minute(reading.as_of)} UTC.")
    if reading.note:
        said.append(f"{plain(reading.note)}.")
    return " ".join(said)


def projection_text(reading: Reading) -> str:
    """Return the projected amount with its interval, or a dash."""
    found = reading.projection
    if found is None:
        return "-"
    low, high = (format_money(amount, reading.currency).partition(" ")[0] for amount in (found.low, found.high))
    return f"{format_money(found.expected, reading.currency)} ({low} to {high})"


def period_text(period: Period) -> str:
    """Return the days of a period."""
    if period.since == period.until and period.since:
        return f"{period.since}"
    since, until = period.since or "its beginning", period.until or "its end, which is open"
    return f"{since} to {until}"


def stale_title(team: str, platform: str, account: str) -> str:
    """Return the title of the warning that an account's figures are too old."""
    return plain(f"Budgets are not watched, the spend data is old. {team}: {platform} {account}")


def _minute(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"
