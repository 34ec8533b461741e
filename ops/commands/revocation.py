"""How commands that give up grants describe what the platform does, before and after."""

from sivera.grants.disconnecting import Ending
from sivera.grants.rules import FACTS
from sivera.platforms.base import PlatformClient, Revokes
from sivera.values import PlatformName


def revocation_plan(platform: PlatformName, client: PlatformClient | None) -> str:
    """Say whether the platform will end our access. Without a client, it is not asked."""
    if isinstance(client, Revokes):
        return f"{platform.value} is asked to end our access; other grants of the same user may end with it"
    why = "has no call to end our access" if client else "is not asked to end our access"
    return f"{platform.value} {why}: its user has to, at {FACTS[platform].consents}"


def revocation_result(platform: PlatformName, ending: Ending) -> str:
    """Say what the platform did, and what its user still has to do."""
    match ending:
        case Ending.REVOKED:
            return f"{platform.value} has ended our access."
        case Ending.ENDED:
            return f"{platform.value} had ended our access already."
        case Ending.LEFT:
            return f"Left to do: its user removes our application at {FACTS[platform].consents}"
