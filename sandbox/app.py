"""The sandbox as an ASGI application: each platform under its name, and the control endpoint under `/control`."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import ConfigDict, validate_call
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from sandbox.amazon import AmazonBackend
from sandbox.faults import Fault
from sandbox.google import GoogleBackend
from sandbox.http import Backend, routes_of
from sandbox.meta import MetaBackend
from sandbox.stories import tell_stories
from sandbox.tiktok import TikTokBackend
from sandbox.world import World
from sivera.values import PlatformName

BACKENDS: dict[PlatformName, Callable[[World], Backend]] = {
    PlatformName.GOOGLE: GoogleBackend,
    PlatformName.META: MetaBackend,
    PlatformName.AMAZON: AmazonBackend,
    PlatformName.TIKTOK: TikTokBackend,
}
CHECKED = validate_call(config=ConfigDict(extra="forbid"))


def create_app(world: World) -> Starlette:
    """Return the application that serves a world."""
    actions = control_actions(world)

    async def control(request: Request) -> JSONResponse:
        action = actions.get(request.path_params["action"])
        if action is None:
            return JSONResponse({"error": f"no such action; the actions are: {', '.join(sorted(actions))}"}, 404)
        try:
            return JSONResponse(CHECKED(action)(**json.loads(await request.body() or b"{}")))
        except (ValueError, TypeError) as error:  # pydantic and json raise ValueErrors
            return JSONResponse({"error": str(error)}, 422)

    return Starlette(
        routes=[
            *(Mount(f"/{name.value}", routes=routes_of(make(world))) for name, make in BACKENDS.items()),
            Route("/control/{action}", control, methods=["POST"]),
        ]
    )


def control_actions(world: World) -> dict[str, Callable[..., Any]]:
    """Return what `POST /control/<action>` does to a world; the arguments are a JSON object."""

    def add_grant(
        platform: PlatformName,
        accounts: int = 1,
        campaigns: int = 8,
        rotates: bool = False,
        brand: str = "",
        currency: str = "",
    ) -> dict[str, Any]:
        grant = world.add_grant(platform, accounts, campaigns, rotates=rotates, brand=brand, currency=currency)
        access, seconds, refresh = world.issue_tokens(grant)
        return {"grant_id": grant.id, "access_token": access, "expires_in": seconds, "refresh_token": refresh}

    def set_latency(seconds: float) -> None:
        world.faults.latency_seconds = seconds

    return {
        "add_grant": add_grant,
        "tell_stories": lambda: tell_stories(world),
        "add_fault": lambda **fault: world.faults.add(Fault(**fault)),
        "clear_faults": world.faults.clear,
        "set_latency": set_latency,
        "forget_reports": world.forget_reports,
        "calls": lambda: {f"{platform}.{operation}": n for (platform, operation), n in world.faults.calls.items()},
    }
