"""What is new about an ad account, for a person to read."""

from collections.abc import Iterator, Mapping

from sivera import values
from sivera.models import AdAccount
from sivera.values import PlatformName, Value

WATCHED = {"name": "name", "currency": "currency", "timezone": "time zone", "manager_id": "manager account"}
"""The facts about an account that may change, with their names in a sentence."""


class AccountNews(Value):
    """What a person should know about an ad account: what changed, why its sync failed, or what it lacks."""

    account_id: int
    platform: PlatformName
    name: str
    what: str


def facts_of(account: AdAccount | values.AdAccount) -> dict[str, str | None]:
    """Return the facts about an account that a discovery compares."""
    return {name: getattr(account, name) for name in (*WATCHED, "status", "region")}


def changes_between(before: Mapping[str, str | None] | None, now: Mapping[str, str | None]) -> Iterator[str]:
    """Yield what has changed about an account, in words; it had no facts `before` if it is new."""
    if before is None:
        yield "new"
        return
    if before["status"] != now["status"]:
        yield "closed" if now["status"] == "closed" else "open again"
    for name, what in WATCHED.items():
        if before[name] != now[name]:
            yield f"its {what} was {before[name] or 'none'} and is {now[name] or 'none'}"
