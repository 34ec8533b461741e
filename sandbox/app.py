"""The sandbox as an ASGI application: each platform below its name, and the control endpoint below `/control`."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
from pydantic import ConfigDict, TypeAdapter, validate_call
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sandbox.amazon import AmazonBackend
from sandbox.faults import Fault
from sandbox.google import GoogleBackend
from sandbox.http import Backend, routes_of
from sandbox.meta import MetaBackend
from sandbox.stories import tell_stories
from sandbox.tiktok import TikTokBackend
from sandbox.world import CLIENT_ID, CLIENT_SECRET, World
from sivera.values import PlatformName

BACKENDS: dict[PlatformName, Callable[[World], Backend]] = {
    PlatformName.GOOGLE: GoogleBackend,
    PlatformName.META: MetaBackend,
    PlatformName.AMAZON: AmazonBackend,
    PlatformName.TIKTOK: TikTokBackend,
}
FAULT = TypeAdapter(Fault)
CHECKED = validate_call(config=ConfigDict(extra="forbid"))


def create_app(world: World) -> Starlette:
    """Return the application over a world."""
    control = Control(world)
    return Starlette(
        routes=[
            *(Mount(f"/{name.value}", routes=routes_of(make(world))) for name, make in BACKENDS.items()),
            Route("/control/{action}", control.endpoint, methods=["POST"]),
        ]
    )


class Control:
    """Changes the world over HTTP: `POST /control/<action>` with the arguments as a JSON object."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.actions: dict[str, Callable[..., Any]] = {
            action.__name__: action
            for action in (
                self.add_grant,
                self.tell_stories,
                self.add_fault,
                self.set_latency,
                self.clear_faults,
                self.calls,
            )
        }

    async def endpoint(self, request: Request) -> Response:
        """Answer a control call: 404 for an unknown action, 422 for arguments that do not fit."""
        action = self.actions.get(request.path_params["action"])
        if action is None:
            return _json({"error": f"no such action; there are: {', '.join(sorted(self.actions))}"}, 404)
        try:
            return _json(CHECKED(action)(**json.loads(await request.body() or b"{}")))
        except (ValueError, TypeError, OverflowError) as error:  # those of pydantic and json are ValueErrors
            return _json({"error": str(error)}, 422)

    def add_grant(
        self,
        platform: PlatformName,
        accounts: int = 1,
        campaigns: int = 8,
        rotates: bool = False,
        leeway_seconds: float = 0,
        brand: str = "",
        currency: str = "",
    ) -> dict[str, Any]:
        """Add a grant with new accounts; return its tokens."""
        leeway = timedelta(seconds=leeway_seconds)
        grant = self.world.add_grant(
            platform, accounts, campaigns, rotates=rotates, leeway=leeway, brand=brand, currency=currency
        )
        access, seconds = self.world.issue_access(grant)
        has_refresh = platform in (PlatformName.GOOGLE, PlatformName.AMAZON) or grant.rotates
        return {
            "grant_id": grant.id,
            "access_token": access,
            "expires_in": seconds,
            "refresh_token": self.world.issue_refresh(grant) if has_refresh else None,
            "account_ids": grant.account_ids,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }

    def tell_stories(self) -> None:
        """Let a few things happen that open alerts; see `sandbox.stories`."""
        tell_stories(self.world)

    def add_fault(self, **fault: Any) -> None:
        """Add a fault; the arguments are the fields of `Fault`."""
        if unknown := fault.keys() - Fault.__dataclass_fields__.keys():
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        self.world.faults.add(FAULT.validate_python(fault))

    def set_latency(self, seconds: float) -> None:
        """Delay every answer."""
        self.world.faults.latency_seconds = seconds

    def clear_faults(self) -> None:
        """Remove all faults, quotas and latency."""
        self.world.faults.clear()

    def calls(self) -> dict[str, int]:
        """Return the number of calls by `platform.operation`."""
        return {f"{p.value}.{operation}": n for (p, operation), n in self.world.faults.calls.items()}


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
