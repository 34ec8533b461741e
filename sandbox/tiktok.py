"""TikTok's side of the sandbox: API for Business v1.3, which answers HTTP 200 and puts the verdict in `code`.

TikTok has no archive: an archived campaign of the world is a deleted one here.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from starlette.routing import Route

from sandbox import tiktok_json as wire
from sandbox.http import Call, Reply, route
from sandbox.world import ZERO, Account, Campaign, Figures, Grant, World
from sivera.values import CampaignStatus, PlatformName

BASE = "/open_api/v1.3"
MAX_ADVERTISERS = 100
MAX_REPORT_DAYS = 30
REFRESH_TOKEN_SECONDS = 31_536_000


class TikTokBackend:
    """TikTok's paths, encodings and errors over a world."""

    platform = PlatformName.TIKTOK

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            route(self, "POST", f"{BASE}/tt_user/oauth2/refresh_token/", "token", self._refresh),
            route(self, "GET", f"{BASE}/oauth2/advertiser/get/", "validate", self._granted),
            route(self, "GET", f"{BASE}/advertiser/info/", "accounts", self._advertisers),
            route(self, "GET", f"{BASE}/campaign/get/", "campaigns", self._campaigns),
            route(self, "GET", f"{BASE}/report/integrated/get/", "metrics", self._report),
        ]

    def throttled(self, call: Call, seconds: float) -> Reply:
        """Return 'too many requests'; TikTok never names the wait."""
        return wire.envelope(wire.TOO_FREQUENT, "Too many requests. Please retry in some time.")

    def broken(self, call: Call, status: int) -> Reply:
        """Return TikTok's own error body with the HTTP status of its gateway."""
        return wire.envelope(wire.SYSTEM_ERROR, "Internal service error. Please retry.", status=status)

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return TikTok's code for a route that it does not have."""
        return wire.envelope(wire.NO_ROUTE, "Route not found.", status=404)

    def empty_page(self, call: Call) -> Reply:
        """Return a page without a list, of a listing that never ends."""
        page, size = int(call.query.get("page", "1")), int(call.query.get("page_size", "10"))
        info = {"page": page, "page_size": size, "total_number": (page + 1) * size, "total_page": page + 1}
        return wire.ok({"page_info": info})

    # -- tokens ---------------------------------------------------------------------------------------------------

    def _refresh(self, call: Call) -> Reply:
        body = wire.body_of(call, ("client_id", "client_secret", "grant_type", "refresh_token"))
        wire.check_app(body["client_id"], body["client_secret"])
        if body["grant_type"] != "refresh_token":
            raise wire.refusal(wire.GRANT_TYPE_INVALID, "Invalid grant_type.")
        grant = self.world.grant_of_refresh(self.platform, body["refresh_token"])
        if grant is None:
            raise wire.refusal(wire.REFRESH_TOKEN_INVALID, "The refresh token is invalid.")
        token, seconds = self.world.issue_access(grant)
        return wire.ok(
            {
                "access_token": token,
                "expires_in": seconds,
                "refresh_token": self.world.issue_refresh(grant),
                "refresh_token_expires_in": REFRESH_TOKEN_SECONDS,
                "open_id": f"open-{grant.id}",
                "scope": "user.info.basic",
                "token_type": "Bearer",
            }
        )

    def _grant(self, call: Call) -> Grant:
        text = call.headers.get("access-token")
        if not text:
            raise wire.refusal(wire.TOKEN_EMPTY, "Access token is empty.")
        grant = self.world.grant_of_access(self.platform, text)
        if grant is not None:
            return grant
        token = self.world.read_access(self.platform, text)
        known = self.world.grants.get(token.grant_id) if token else None
        if known is not None and known.expires and not known.revoked:
            raise wire.refusal(wire.TOKEN_EXPIRED, "Access token has expired.")
        raise wire.refusal(wire.TOKEN_INVALID, "Access token is incorrect or has been revoked.")

    # -- accounts -------------------------------------------------------------------------------------------------

    def _granted(self, call: Call) -> Reply:
        wire.check_app(wire.required(call, "app_id"), wire.required(call, "secret"))
        accounts = self.world.accounts_of(self._grant(call))
        return wire.ok({"list": [{"advertiser_id": a.id, "advertiser_name": a.name} for a in accounts]})

    def _advertisers(self, call: Call) -> Reply:
        grant = self._grant(call)
        ids = wire.strings(call, "advertiser_ids")
        if not ids or len(ids) > MAX_ADVERTISERS:
            raise wire.refusal(wire.BAD_PARAMETER, f"advertiser_ids: Length must be between 1 and {MAX_ADVERTISERS}.")
        fields = wire.fields_asked(call, wire.ADVERTISER_FIELDS)
        accounts = [self._reachable(grant, advertiser_id) for advertiser_id in ids]
        return wire.ok({"list": [wire.select(account, wire.ADVERTISER_FIELDS, fields) for account in accounts]})

    def _reachable(self, grant: Grant, advertiser_id: str) -> Account:
        account = self.world.accounts[self.platform].get(advertiser_id)
        # First the usual case: a list of thousands of accounts is slow to search.
        if account is None or (account.grant_id != grant.id and advertiser_id not in grant.account_ids):
            raise wire.refusal(wire.NO_PERMISSION, f"No permission to operate advertiser {advertiser_id}.")
        return account

    def _open(self, call: Call) -> Account:
        account = self._reachable(self._grant(call), wire.required(call, "advertiser_id"))
        if account.closed:
            raise wire.refusal(wire.NO_ADVERTISER, "The advertiser doesn't exist or has been deleted.")
        return account

    # -- campaigns and figures ------------------------------------------------------------------------------------

    def _campaigns(self, call: Call) -> Reply:
        account = self._open(call)
        fields = wire.fields_asked(call, wire.CAMPAIGN_FIELDS)
        states = wire.campaign_states(wire.json_of(call, "filtering", dict) or {})
        campaigns = [campaign for campaign in account.campaigns.values() if campaign.state in states]
        page, info = wire.page_of(call, campaigns)
        return wire.ok({"list": [wire.select(c, wire.CAMPAIGN_FIELDS, fields) for c in page], "page_info": info})

    def _report(self, call: Call) -> Reply:
        account = self._open(call)
        for name, value in (("service_type", "AUCTION"), ("report_type", "BASIC"), ("data_level", "AUCTION_CAMPAIGN")):
            if wire.required(call, name) != value:
                raise wire.refusal(wire.NOT_IN_SANDBOX, f"{name}: the sandbox reports {value} only.")
        if sorted(wire.strings(call, "dimensions")) != ["campaign_id", "stat_time_day"]:
            raise wire.refusal(
                wire.NOT_IN_SANDBOX, "dimensions: the sandbox reports by campaign_id and stat_time_day only."
            )
        metrics = wire.strings(call, "metrics")
        wire.check_known("metrics", metrics, wire.METRICS)
        first, last = wire.day_of(call, "start_date"), wire.day_of(call, "end_date")
        if not 0 <= (last - first).days < MAX_REPORT_DAYS:
            raise wire.refusal(
                wire.BAD_PARAMETER, f"The max time span is {MAX_REPORT_DAYS} days when use stat_time_day."
            )
        states = wire.report_states(wire.json_of(call, "filtering", list) or [])
        rows, info = wire.page_of(call, list(self._rows(account, states, first, last)))
        return wire.ok({"list": [_report_row(*row, metrics) for row in rows], "page_info": info})

    def _rows(
        self, account: Account, states: frozenset[CampaignStatus], first: date, last: date
    ) -> Iterator[tuple[Campaign, date, Figures]]:
        for campaign in account.campaigns.values():
            if campaign.state not in states:
                continue
            for offset in range((last - first).days + 1):
                day = first + timedelta(days=offset)
                if (figures := self.world.figures(account, campaign, day)) != ZERO:
                    yield campaign, day, figures


def _report_row(campaign: Campaign, day: date, figures: Figures, metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "dimensions": {"campaign_id": campaign.id, "stat_time_day": f"{day} 00:00:00"},
        "metrics": wire.select(figures, wire.METRICS, metrics),
    }
