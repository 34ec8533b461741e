"""TikTok's side of the sandbox: API for Business v1.3, which answers HTTP 200 and puts the verdict in `code`.

TikTok has no archive: an archived campaign of the world is a deleted one here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sandbox import tiktok_json as wire
from sandbox.consent import CodeRefused, ConsentPages, Dialect
from sandbox.faults import Fault
from sandbox.figures import WHOLE_CURRENCIES, ZERO, Figures
from sandbox.http import Call, Entry, Reply
from sandbox.world import Account, Campaign, Grant, World
from sivera.values import CampaignStatus, PlatformName

BASE = "/open_api/v1.3"
CONSENT = Dialect(
    PlatformName.TIKTOK,
    "/portal/auth",
    lifetime=timedelta(hours=1),
    needs=frozenset({"app_id", "redirect_uri"}),
    client_name="app_id",
    sends=("auth_code", "code"),
)
"""TikTok does not document what it sends for a 'no'; the error of RFC 6749 is our choice."""
MAX_ADVERTISERS = 100
MAX_REPORT_DAYS = 30
MAX_REPORT_ADS = 20_000
CUT = {"X-Tt-Ads-Throttle": "Number of ad ids is equal or more than 20k, only return the top 20k id's results"}
UNLISTED_EVERY, UNLISTED_SPEND = 5, Decimal("24.5")
"""One account in five has a GMV Max campaign: it is in no list and no report, only in the advertiser's total."""

PAGES = ("advertiser_id", "filtering", "page", "page_size")
CAMPAIGN_QUERY = (*PAGES, "fields")
REPORT_QUERY = (
    *PAGES,
    *("service_type", "report_type", "data_level", "dimensions", "metrics", "start_date", "end_date"),
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
        self.consent = ConsentPages(world, CONSENT)
        self.routes: list[Entry] = [
            *self.consent.routes(),
            ("POST", f"{BASE}/oauth2/access_token/", "token", self._redeem),
            ("POST", f"{BASE}/tt_user/oauth2/refresh_token/", "token", self._refresh),
            ("POST", f"{BASE}/tt_user/oauth2/revoke/", "revoke", self._revoke),
            ("POST", f"{BASE}/oauth2/revoke_token/", "revoke", self._revoke),
            ("GET", f"{BASE}/oauth2/advertiser/get/", "validate", self._granted),
            ("GET", f"{BASE}/advertiser/info/", "accounts", self._advertisers),
            ("GET", f"{BASE}/campaign/get/", "campaigns", self._campaigns),
            ("GET", f"{BASE}/report/integrated/get/", "metrics", self._report),
        ]

    def throttled(self, call: Call, fault: Fault) -> Reply:
        """Return 'too many requests'; TikTok never names the wait."""
        return wire.envelope(wire.TOO_FREQUENT, "Too many requests. Please retry in some time.")

    def broken(self, call: Call, status: int) -> Reply:
        """Return TikTok's own error body with the HTTP status of its gateway."""
        return wire.envelope(wire.SYSTEM_ERROR, "Internal service error. Please retry.", status=status)

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return TikTok's code for a route that it does not have."""
        return wire.envelope(wire.NO_ROUTE, "Route not found.", status=404)

    # -- permissions ----------------------------------------------------------------------------------------------

    def _redeem(self, call: Call) -> Reply:
        """Redeem a code for a token that does not expire."""
        body = wire.body_of(call, ("app_id", "secret", "auth_code"))
        wire.check_app(body["app_id"], body["secret"])
        try:
            grant = self.consent.redeem(body["auth_code"], None)
        except CodeRefused:
            raise wire.refusal(wire.AUTH_CODE_ERROR, "Auth code is invalid, expired or used.") from None
        token, _ = self.world.issue_access(grant)
        return wire.ok({"access_token": token, "advertiser_ids": grant.account_ids, "scope": [4, 15200000]})

    def _refresh(self, call: Call) -> Reply:
        """Renew a token of the kind that has a refresh token."""
        body = wire.body_of(call, ("client_id", "client_secret", "grant_type", "refresh_token"))
        wire.check_app(body["client_id"], body["client_secret"])
        if body["grant_type"] != "refresh_token":
            raise wire.refusal(wire.GRANT_TYPE_INVALID, "Invalid grant_type.")
        grant = self.world.grant_of_refresh(self.platform, body["refresh_token"])
        if grant is None:
            raise wire.refusal(wire.REFRESH_TOKEN_INVALID, "The refresh token is invalid.")
        token, seconds = self.world.issue_access(grant)
        return wire.ok({"access_token": token, "expires_in": seconds, "refresh_token": self.world.issue_refresh(grant)})

    def _revoke(self, call: Call) -> Reply:
        id_, secret = ("client_id", "client_secret") if "/tt_user/" in call.url else ("app_id", "secret")
        body = wire.body_of(call, (id_, secret, "access_token"))
        wire.check_app(body[id_], body[secret])
        self.world.revoke_grant(self._grant_of(body["access_token"]).id)
        return wire.ok({})

    def _grant(self, call: Call) -> Grant:
        return self._grant_of(call.headers.get("access-token"))

    def _grant_of(self, text: str | None) -> Grant:
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
        wire.check_query(call, ("app_id", "secret"))
        wire.check_app(wire.required(call, "app_id"), wire.required(call, "secret"))
        accounts = self.world.accounts_of(self._grant(call))
        return wire.ok({"list": [{"advertiser_id": a.id, "advertiser_name": a.name} for a in accounts]})

    def _advertisers(self, call: Call) -> Reply:
        grant = self._grant(call)
        wire.check_query(call, ("advertiser_ids", "fields"))
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
        return wire.listing(call, campaigns, lambda campaign: wire.select(campaign, wire.CAMPAIGN_FIELDS, fields))

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
        rows = self._days(account, campaigns, days) if level == "AUCTION_CAMPAIGN" else self._totals(account, days)

        def encode(row: tuple[dict[str, str], date, Figures]) -> dict[str, Any]:
            of, day, figures = row
            dimensions = {**of, "stat_time_day": f"{day} 00:00:00"}
            return {"dimensions": dimensions, "metrics": wire.select(figures, wire.METRICS, metrics)}

        reply = wire.listing(call, list(rows), encode, has_gap=True)
        return replace(reply, headers=CUT if len(campaigns) < len(wanted) else {})

    def _days(
        self, account: Account, campaigns: Sequence[Campaign], days: Sequence[date]
    ) -> Iterator[tuple[dict[str, str], date, Figures]]:
        """Yield the campaigns' days with figures, and for active campaigns also those without."""
        today = account.today(self.world.clock.now())
        for campaign in campaigns:
            for day in days:
                figures = self.world.figures(account, campaign, day)
                is_zero_row = campaign.state is CampaignStatus.ACTIVE and campaign.start <= day <= today
                if figures != ZERO or is_zero_row:
                    yield {"campaign_id": campaign.id}, day, figures

    def _totals(self, account: Account, days: Sequence[date]) -> Iterator[tuple[dict[str, str], date, Figures]]:
        """Yield what the account spent a day, also in campaigns that no list and no other report has."""
        for day in days:
            if day <= account.today(self.world.clock.now()):
                spend = self.world.account_spend(account, day) + unlisted_spend(account)
                yield {"advertiser_id": account.id}, day, replace(ZERO, spend=spend)


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
