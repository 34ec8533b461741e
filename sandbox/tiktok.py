"""TikTok in the sandbox: API for Business v1.3, which answers HTTP 200 and puts the result in `code`.

TikTok has no archive: archived campaigns of the world are deleted here.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from sandbox import tiktok_json as wire
from sandbox.accounts import Account, Campaign
from sandbox.consent import CodeRefused, ConsentPages, Dialect
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.faults import Fault
from sandbox.figures import Figures
from sandbox.http import Call, Entry, Reply
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.values import PlatformName

BASE = "/open_api/v1.3"
CONSENT = Dialect(
    PlatformName.TIKTOK,
    "/portal/auth",
    lifetime=timedelta(hours=1),
    needs=frozenset({"app_id", "redirect_uri"}),
    client_name="app_id",
    sends=("auth_code", "code"),
)
"""TikTok does not document its answer to a denial; the error of RFC 6749 is our choice."""
MAX_REPORT_DAYS = 30
MAX_REPORT_ADS = 20_000
CUT = {"X-Tt-Ads-Throttle": "Number of ad ids is equal or more than 20k, only return the top 20k id's results"}


class TikTokBackend:
    """TikTok's paths, encodings and errors for a world."""

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
        """Return 'too many requests'; TikTok never gives the wait."""
        return wire.envelope(wire.TOO_FREQUENT, "Too many requests. Please retry in some time.")

    def broken(self, call: Call, status: int) -> Reply:
        """Return TikTok's error body with the HTTP status of its gateway."""
        return wire.envelope(wire.SYSTEM_ERROR, "Internal service error. Please retry.", status=status)

    def invalid(self, call: Call, words: str) -> Reply:
        """Return TikTok's error for invalid parameters."""
        return wire.envelope(wire.BAD_PARAMETER, words)

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return TikTok's error for an unknown route."""
        return wire.envelope(wire.NO_ROUTE, "Route not found.", status=404)

    # -- permissions ----------------------------------------------------------------------------------------------

    def _redeem(self, call: Call) -> Reply:
        """Redeem a code for a token that does not expire."""
        body = call.sent(wire.Redemption)
        _check(body)
        try:
            grant = self.consent.redeem(body.auth_code, None)
        except CodeRefused:
            raise wire.refusal(wire.AUTH_CODE_ERROR, "Auth code is invalid, expired or used.") from None
        token, _ = self.world.issue_access(grant)
        return wire.ok({"access_token": token, "advertiser_ids": grant.account_ids, "scope": [4, 15200000]})

    def _refresh(self, call: Call) -> Reply:
        """Renew a token that has a refresh token."""
        body = call.sent(wire.Renewal)
        _check(body)
        grant = self.world.grant_of_refresh(self.platform, body.refresh_token)
        if grant is None:
            raise wire.refusal(wire.REFRESH_TOKEN_INVALID, "The refresh token is invalid.")
        token, seconds = self.world.issue_access(grant)
        return wire.ok({"access_token": token, "expires_in": seconds, "refresh_token": self.world.issue_refresh(grant)})

    def _revoke(self, call: Call) -> Reply:
        body = call.sent(wire.Revocation)
        _check(body)
        self.world.revoke_grant(self._grant_of(body.access_token).id)
        return wire.ok({})

    def _grant(self, call: Call) -> Grant:
        return self._grant_of(call.headers.get("access-token"))

    def _grant_of(self, text: str | None) -> Grant:
        if not text:
            raise wire.refusal(wire.TOKEN_EMPTY, "Access token is empty.")
        found = self.world.check_access(self.platform, text)
        if isinstance(found, Grant):
            return found
        if found == "expired":
            raise wire.refusal(wire.TOKEN_EXPIRED, "Access token has expired.")
        raise wire.refusal(wire.TOKEN_INVALID, "Access token is incorrect or has been revoked.")

    # -- accounts -------------------------------------------------------------------------------------------------

    def _granted(self, call: Call) -> Reply:
        _check(call.asked(wire.App))
        accounts = self.world.accounts_of(self._grant(call))
        return wire.ok({"list": [{"advertiser_id": a.id, "advertiser_name": a.name} for a in accounts]})

    def _advertisers(self, call: Call) -> Reply:
        grant, asked = self._grant(call), call.asked(wire.AdvertisersQuery)
        accounts = [self._reachable(grant, advertiser_id) for advertiser_id in asked.advertiser_ids]
        for account in accounts:
            if account.info_code:
                message = f"The advertiser {account.id} doesn't exist or has been deleted."
                raise wire.refusal(account.info_code, message)
        described = [account for account in accounts if account.info_code is None]
        return wire.ok({"list": [wire.select(account, wire.ADVERTISER_FIELDS, asked.fields) for account in described]})

    def _reachable(self, grant: Grant, advertiser_id: str) -> Account:
        account = self.world.accounts[self.platform].get(advertiser_id)
        # The usual case first: a list of thousands of accounts is slow to search.
        if account is None or (account.grant_id != grant.id and advertiser_id not in grant.account_ids):
            raise wire.refusal(wire.NO_PERMISSION, f"No permission to operate advertiser {advertiser_id}.")
        return account

    def _open(self, grant: Grant, advertiser_id: str) -> Account:
        account = self._reachable(grant, advertiser_id)
        if account.closed:
            raise wire.refusal(wire.NO_ADVERTISER, "The advertiser doesn't exist or has been deleted.")
        return account

    # -- campaigns and figures ------------------------------------------------------------------------------------

    def _campaigns(self, call: Call) -> Reply:
        grant, asked = self._grant(call), call.asked(wire.CampaignsQuery)
        account = self._open(grant, asked.advertiser_id)
        hidden = frozenset() if asked.filtering.secondary_status == "CAMPAIGN_STATUS_ALL" else wire.DELETED
        campaigns = [campaign for campaign in account.campaigns.values() if campaign.state not in hidden]
        return wire.listing(call, asked, campaigns, lambda c: wire.select(c, wire.CAMPAIGN_FIELDS, asked.fields))

    def _report(self, call: Call) -> Reply:
        grant, asked = self._grant(call), call.asked(wire.ReportQuery)
        account = self._open(grant, asked.advertiser_id)
        is_total = asked.data_level == "AUCTION_ADVERTISER"
        if is_total != (asked.dimensions[0] == "advertiser_id") or (is_total and asked.metrics != ("spend",)):
            raise ValueError("dimensions, metrics: the sandbox does not report them at this data_level.")
        count = (asked.end_date - asked.start_date).days + 1
        if not 1 <= count <= MAX_REPORT_DAYS:
            raise ValueError(f"The max time span is {MAX_REPORT_DAYS} days when use stat_time_day.")
        takes = asked.takes()
        wanted = [campaign for campaign in account.campaigns.values() if takes(campaign)]
        campaigns, window = _newest(account, wanted), (asked.start_date, asked.end_date)
        rows: list[tuple[Account | Campaign, date, Figures]]
        if is_total:
            rows = [(account, day, figures) for day, figures in self.world.totals(account, *window)]
        else:
            rows = [*self.world.days(account, campaigns, *window, zeros=True)]

        def encode(row: tuple[Account | Campaign, date, Figures]) -> dict[str, Any]:
            of, day, figures = row
            dimensions = {asked.dimensions[0]: of.id, "stat_time_day": f"{day} 00:00:00"}
            return {"dimensions": dimensions, "metrics": wire.select(figures, wire.METRICS, asked.metrics)}

        reply = wire.listing(call, asked, rows, encode, has_gap=True)
        return replace(reply, headers=CUT if len(campaigns) < len(wanted) else {})


def _check(app: wire.App) -> None:
    """Refuse any application but the sandbox's own."""
    if (app.app_id, app.secret) != (CLIENT_ID, CLIENT_SECRET):
        raise wire.refusal(wire.APP_FORBIDDEN, "The app is not allowed to call: app id or secret is incorrect.")


def _newest(account: Account, campaigns: Sequence[Campaign]) -> list[Campaign]:
    """Return the campaigns that fit into a report: those with the newest ads."""
    kept: list[Campaign] = []
    ads = 0
    for campaign in sorted(campaigns, key=lambda campaign: campaign.created, reverse=True):
        ads += account.ads.get(campaign.id, 1)
        if ads > MAX_REPORT_ADS:
            break
        kept.append(campaign)
    return kept
