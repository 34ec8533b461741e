"""TikTok's side of the sandbox: API for Business v1.3, which answers HTTP 200 and puts the verdict in `code`.

TikTok has no archive: an archived campaign of the world is a deleted one here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from starlette.routing import Route

from sandbox import tiktok_json as wire
from sandbox.http import Call, Reply, route
from sandbox.tiktok_login import CONSENT, TikTokLogin
from sandbox.world import WHOLE_CURRENCIES, ZERO, Account, Campaign, Figures, Grant, World
from sivera.values import CampaignStatus, PlatformName

BASE = "/open_api/v1.3"
MAX_ADVERTISERS = 100
MAX_REPORT_DAYS = 30
MAX_REPORT_ADS = 20_000
CUT = {"X-Tt-Ads-Throttle": "Number of ad ids is equal or more than 20k, only return the top 20k id's results"}
UNLISTED_EVERY, UNLISTED_SPEND = 5, Decimal("24.5")
"""One account in five has a GMV Max campaign: it is in no list and no report, only in the advertiser's total."""

GRANTED_QUERY = frozenset({"app_id", "secret"})
INFO_QUERY = frozenset({"advertiser_ids", "fields"})
CAMPAIGN_QUERY = frozenset(
    {"advertiser_id", "fields", "filtering", "page", "page_size", "exclude_field_types_in_response"}
)
REPORT_QUERY = frozenset(
    {"advertiser_id", "service_type", "report_type", "data_level", "dimensions", "metrics", "start_date", "end_date"}
    | {"filtering", "page", "page_size", "order_field", "order_type", "query_mode", "query_lifetime"}
    | {"enable_total_metrics", "multi_adv_report_in_utc_time", "advertiser_ids", "bc_id"}
)
DIMENSIONS = {
    "AUCTION_CAMPAIGN": ["campaign_id", "stat_time_day"],
    "AUCTION_ADVERTISER": ["advertiser_id", "stat_time_day"],
}


class TikTokBackend:
    """TikTok's paths, encodings and errors over a world."""

    platform = PlatformName.TIKTOK

    def __init__(self, world: World) -> None:
        self.world = world
        self._login = TikTokLogin(world)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            route(self, "GET", CONSENT.path, "consent", self._login.consent.show),
            route(self, "POST", CONSENT.path, "consent", self._login.consent.decide),
            route(self, "POST", f"{BASE}/oauth2/access_token/", "token", self._login.redeem),
            route(self, "POST", f"{BASE}/tt_user/oauth2/refresh_token/", "token", self._login.refresh),
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

    # -- permissions ----------------------------------------------------------------------------------------------

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
        wire.check_query(call, GRANTED_QUERY)
        wire.check_app(wire.required(call, "app_id"), wire.required(call, "secret"))
        accounts = self.world.accounts_of(self._grant(call))
        return wire.ok({"list": [{"advertiser_id": a.id, "advertiser_name": a.name} for a in accounts]})

    def _advertisers(self, call: Call) -> Reply:
        grant = self._grant(call)
        wire.check_query(call, INFO_QUERY)
        ids = wire.strings(call, "advertiser_ids")
        if not ids or len(ids) > MAX_ADVERTISERS:
            raise wire.refusal(wire.BAD_PARAMETER, f"advertiser_ids: Length must be between 1 and {MAX_ADVERTISERS}.")
        fields = wire.fields_asked(call, wire.ADVERTISER_FIELDS)
        accounts = [self._reachable(grant, advertiser_id) for advertiser_id in ids]
        for account in accounts:
            if account.info_code:
                message = f"The advertiser {account.id} doesn't exist or has been deleted."
                raise wire.refusal(account.info_code, message)
        described = [account for account in accounts if account.info_code is None]
        return wire.ok({"list": [wire.select(account, wire.ADVERTISER_FIELDS, fields) for account in described]})

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
        wire.check_query(call, CAMPAIGN_QUERY)
        fields = wire.fields_asked(call, wire.CAMPAIGN_FIELDS)
        states = wire.campaign_states(wire.json_of(call, "filtering", dict) or {})
        campaigns = [campaign for campaign in account.campaigns.values() if campaign.state in states]
        page, info = wire.page_of(call, campaigns)
        return wire.listing([wire.select(c, wire.CAMPAIGN_FIELDS, fields) for c in page], info)

    def _report(self, call: Call) -> Reply:
        account = self._open(call)
        wire.check_query(call, REPORT_QUERY)
        for name, value in (("service_type", "AUCTION"), ("report_type", "BASIC")):
            if wire.required(call, name) != value:
                raise wire.refusal(wire.NOT_IN_SANDBOX, f"{name}: the sandbox reports {value} only.")
        level = wire.required(call, "data_level")
        if sorted(wire.strings(call, "dimensions")) != DIMENSIONS.get(level):
            raise wire.refusal(wire.NOT_IN_SANDBOX, f"dimensions: the sandbox reports {DIMENSIONS} only.")
        metrics = wire.strings(call, "metrics")
        wire.check_known("metrics", metrics, wire.METRICS)
        if level == "AUCTION_ADVERTISER" and metrics != ["spend"]:
            raise wire.refusal(wire.NOT_IN_SANDBOX, "metrics: the sandbox totals spend only.")
        first, last = wire.day_of(call, "start_date"), wire.day_of(call, "end_date")
        if not 0 <= (last - first).days < MAX_REPORT_DAYS:
            raise wire.refusal(
                wire.BAD_PARAMETER, f"The max time span is {MAX_REPORT_DAYS} days when use stat_time_day."
            )
        days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
        selects = wire.report_filter(wire.json_of(call, "filtering", list) or [])
        wanted = [campaign for campaign in account.campaigns.values() if selects(campaign)]
        campaigns = _newest(account, wanted)
        if level == "AUCTION_CAMPAIGN":
            found = [_row({"campaign_id": c.id}, day, f, metrics) for c, day, f in self._days(account, campaigns, days)]
        else:
            found = [
                _row({"advertiser_id": account.id}, day, total, metrics) for day, total in self._totals(account, days)
            ]
        rows, info = wire.page_of(call, found, has_gap=True)
        return replace(wire.listing(rows, info), headers=CUT if len(campaigns) < len(wanted) else {})

    def _days(
        self, account: Account, campaigns: Sequence[Campaign], days: Sequence[date]
    ) -> Iterator[tuple[Campaign, date, Figures]]:
        """Yield the campaigns' days with figures, and for active campaigns also those without."""
        today = account.today(self.world.clock.now())
        for campaign in campaigns:
            for day in days:
                figures = self.world.figures(account, campaign, day)
                is_zero_row = campaign.state is CampaignStatus.ACTIVE and campaign.start <= day <= today
                if figures != ZERO or is_zero_row:
                    yield campaign, day, figures

    def _totals(self, account: Account, days: Sequence[date]) -> Iterator[tuple[date, Figures]]:
        """Yield what the account spent a day, also in campaigns that no list and no other report has."""
        for day in days:
            if day <= account.today(self.world.clock.now()):
                yield day, replace(ZERO, spend=self.world.account_spend(account, day) + unlisted_spend(account))


def unlisted_spend(account: Account) -> Decimal:
    """Return what an account spends every day in campaigns that TikTok neither lists nor reports."""
    if account.index % UNLISTED_EVERY != UNLISTED_EVERY - 1:
        return Decimal(0)
    return UNLISTED_SPEND * (1000 if account.currency in WHOLE_CURRENCIES else 1)


def _newest(account: Account, campaigns: Sequence[Campaign]) -> list[Campaign]:
    """Return the campaigns that a report covers: those with the newest ads, as many as fit."""
    kept: list[Campaign] = []
    ads = 0
    for campaign in sorted(campaigns, key=lambda campaign: campaign.created, reverse=True):
        ads += account.ads.get(campaign.id, 1)
        if ads > MAX_REPORT_ADS:
            break
        kept.append(campaign)
    return kept


def _row(of: dict[str, str], day: date, figures: Figures, metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "dimensions": {**of, "stat_time_day": f"{day} 00:00:00"},
        "metrics": wire.select(figures, wire.METRICS, metrics),
    }
