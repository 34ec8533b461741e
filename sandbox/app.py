"""The sandbox as an ASGI application: each platform below its name, and the control endpoint below `/control`."""

from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import ConfigDict, Field, validate_call
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sandbox.amazon import AmazonBackend
from sandbox.faults import Fault, FaultKind, Quota
from sandbox.google import GoogleBackend
from sandbox.http import Backend
from sandbox.meta import MetaBackend
from sandbox.tiktok import TikTokBackend
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Campaign, Figures, Grant, World
from sivera.values import BudgetKind, CampaignStatus, PlatformName

BACKENDS: dict[PlatformName, Callable[[World], Backend]] = {
    PlatformName.GOOGLE: GoogleBackend,
    PlatformName.META: MetaBackend,
    PlatformName.AMAZON: AmazonBackend,
    PlatformName.TIKTOK: TikTokBackend,
}


def create_app(world: World) -> Starlette:
    """Return the application over a world."""
    control = Control(world)
    return Starlette(
        routes=[
            *(Mount(f"/{name.value}", routes=make(world).routes()) for name, make in BACKENDS.items()),
            Route("/control/{action}", control.endpoint, methods=["POST"]),
        ]
    )


class Control:
    """Changes the world over HTTP: `POST /control/<action>` with the arguments as a JSON object."""

    def __init__(self, world: World) -> None:
        self.world = world
        checked = validate_call(config=ConfigDict(extra="forbid"))
        self.actions: dict[str, Callable[..., Any]] = {
            action.__name__: checked(action)
            for action in (
                self.add_grant,
                self.tokens,
                self.add_campaign,
                self.change_campaign,
                self.archive_campaign,
                self.remove_campaign,
                self.hard_delete_campaign,
                self.restate,
                self.revoke_grant,
                self.expire_access,
                self.close_account,
                self.add_fault,
                self.set_quota,
                self.set_latency,
                self.set_report_seconds,
                self.clear_faults,
                self.set_clock,
                self.advance_clock,
                self.calls,
            )
        }

    async def endpoint(self, request: Request) -> Response:
        """Answer a control call: 404 for an unknown action, 422 for arguments that do not fit."""
        action = self.actions.get(request.path_params["action"])
        if action is None:
            return _json({"error": f"no such action; there are: {', '.join(sorted(self.actions))}"}, 404)
        try:
            result = action(**orjson.loads(await request.body() or b"{}"))
        except KeyError as error:
            return _json({"error": f"there is no {error}"}, 422)
        except (ValueError, TypeError, OverflowError) as error:  # pydantic's and orjson's errors are ValueErrors
            return _json({"error": str(error)}, 422)
        return _json(asdict(result) if is_dataclass(result) and not isinstance(result, type) else result)

    def add_grant(
        self,
        platform: PlatformName,
        accounts: int = 1,
        campaigns: int = 8,
        rotates: bool = False,
        leeway_seconds: float = 0,
    ) -> dict[str, Any]:
        """Add a grant with so many accounts; return its tokens."""
        leeway = timedelta(seconds=leeway_seconds)
        return self._tokens(self.world.add_grant(platform, accounts, campaigns, rotates=rotates, leeway=leeway))

    def tokens(self, grant_id: int) -> dict[str, Any]:
        """Give out tokens of a grant, as after a login; a revoked one works again."""
        return self._tokens(self.world.log_in(grant_id))

    def add_campaign(self, platform: PlatformName, account_id: str, name: str | None = None) -> Campaign:
        """Add a campaign."""
        return self.world.add_campaign(platform, account_id, **({"name": name} if name else {}))

    def change_campaign(
        self,
        platform: PlatformName,
        account_id: str,
        campaign_id: str,
        name: str | None = None,
        state: CampaignStatus | None = None,
        budget_kind: BudgetKind | None = None,
        budget: Decimal | None = None,
    ) -> Campaign:
        """Change the fields that are given."""
        given = {"name": name, "state": state, "budget_kind": budget_kind, "budget": budget}
        changes = {key: value for key, value in given.items() if value is not None}
        return self.world.change_campaign(platform, account_id, campaign_id, **changes)

    def archive_campaign(self, platform: PlatformName, account_id: str, campaign_id: str) -> None:
        """Archive a campaign."""
        self.world.archive_campaign(platform, account_id, campaign_id)

    def remove_campaign(self, platform: PlatformName, account_id: str, campaign_id: str) -> None:
        """Delete a campaign as a user does."""
        self.world.remove_campaign(platform, account_id, campaign_id)

    def hard_delete_campaign(self, platform: PlatformName, account_id: str, campaign_id: str) -> None:
        """Make a campaign vanish."""
        self.world.hard_delete_campaign(platform, account_id, campaign_id)

    def restate(
        self,
        campaign_id: str,
        day: date,
        impressions: int,
        clicks: int,
        spend: Decimal,
        conversions: Decimal = Decimal(0),
        conversion_value: Decimal = Decimal(0),
    ) -> None:
        """Replace a day's figures."""
        self.world.restate(campaign_id, day, Figures(impressions, clicks, spend, conversions, conversion_value))

    def revoke_grant(self, grant_id: int) -> None:
        """Revoke a grant."""
        self.world.revoke_grant(grant_id)

    def expire_access(self, grant_id: int) -> None:
        """Expire the access tokens of a grant."""
        self.world.expire_access(grant_id)

    def close_account(self, platform: PlatformName, account_id: str) -> None:
        """Close an account."""
        self.world.account(platform, account_id).closed = True

    def add_fault(
        self,
        kind: FaultKind,
        platform: PlatformName | None = None,
        operation: str | None = None,
        match: str | None = None,
        times: int | None = None,
        status: int = 503,
        seconds: float = 30.0,
    ) -> None:
        """Put a fault in force."""
        self.world.faults.add(Fault(kind, platform, operation, match, times, status, seconds))

    def set_quota(
        self, platform: PlatformName, calls: Annotated[int, Field(ge=1)], seconds: Annotated[float, Field(gt=0)]
    ) -> None:
        """Allow so many calls in so many seconds."""
        self.world.faults.quotas[platform] = Quota(calls, seconds)

    def set_latency(self, seconds: float) -> None:
        """Answer every call so much later."""
        self.world.faults.latency_seconds = seconds

    def set_report_seconds(self, seconds: Annotated[float, Field(ge=0)]) -> None:
        """Take so long over each of Amazon's reports."""
        self.world.report_seconds = seconds

    def clear_faults(self) -> None:
        """Lift all faults, quotas and latency."""
        self.world.faults.clear()

    def set_clock(self, when: datetime) -> None:
        """Stop the clock at a time."""
        self.world.clock.set(when)

    def advance_clock(self, seconds: float) -> None:
        """Move the clock on."""
        self.world.clock.advance(timedelta(seconds=seconds))

    def calls(self) -> dict[str, int]:
        """Return how often each call was made, by `platform.operation`."""
        return {f"{p.value}.{operation}": n for (p, operation), n in self.world.faults.calls.items()}

    def _tokens(self, grant: Grant) -> dict[str, Any]:
        access, seconds = self.world.issue_access(grant)
        has_refresh = grant.platform in (PlatformName.GOOGLE, PlatformName.AMAZON) or grant.rotates
        return {
            "grant_id": grant.id,
            "access_token": access,
            "expires_in": seconds,
            "refresh_token": self.world.issue_refresh(grant) if has_refresh else None,
            "account_ids": grant.account_ids,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body, default=str), status, media_type="application/json")
