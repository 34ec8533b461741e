"""Amazon's side of the sandbox."""

from starlette.routing import Route

from sivera.sandbox.http import Call, Reply
from sivera.sandbox.world import World
from sivera.values import PlatformName


class AmazonBackend:
    """Amazon's paths, encodings and errors over a world."""

    platform = PlatformName.AMAZON

    def __init__(self, world: World) -> None:
        self.world = world

    def throttled(self, call: Call, seconds: float) -> Reply:
        """Answer that the caller must slow down."""
        return Reply({}, 429)

    def broken(self, call: Call, status: int) -> Reply:
        """Answer that the platform is in trouble."""
        return Reply({}, status)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return []
