"""Meta's side of the sandbox: the Graph API v26.0, as far as ad accounts, campaigns and their insights go.

The verdict is the `code` in the body, hardly the HTTP status. The access token may be in the header or the query.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from math import ceil

import orjson
from starlette.routing import Route

from sandbox import meta_json as wire
from sandbox.faults import FaultKind
from sandbox.http import Call, Refusal, Reply, route
from sandbox.world import CLIENT_ID, CLIENT_SECRET, ZERO, Account, Campaign, Grant, World
from sivera.values import PlatformName

VERSION = "v26.0"
APP_TOKEN = f"{CLIENT_ID}|{CLIENT_SECRET}"
DATA_ACCESS_DAYS = 90
OLDEST_INSIGHTS_DAYS = 37 * 365 // 12
SCOPES = ["ads_read", "ads_management", "business_management"]

EXPIRED, NOT_AUTHORIZED = 463, 458
NO_SUCH_OBJECT = 33
BROKEN = {
    400: wire.error(400, 100, "Invalid parameter"),
    401: wire.error(401, 190, "Error validating access token: Session has expired.", EXPIRED),
    403: wire.error(403, 200, "Permissions error"),
    404: wire.error(404, 100, "Unsupported get request.", NO_SUCH_OBJECT),
}


class MetaBackend:
    """Meta's paths, encodings and errors over a world."""

    platform = PlatformName.META

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            route(self, "GET", f"/{VERSION}/oauth/access_token", "token", self._exchange),
            route(self, "GET", f"/{VERSION}/debug_token", "debug", self._debug),
            route(self, "GET", "/debug_token", "debug", self._debug),
            route(self, "GET", f"/{VERSION}/me/adaccounts", "accounts", self._accounts),
            route(self, "GET", f"/{VERSION}/act_{{account}}/campaigns", "campaigns", self._campaigns),
            route(self, "GET", f"/{VERSION}/act_{{account}}/insights", "metrics", self._insights),
        ]

    def throttled(self, call: Call, seconds: float) -> Reply:
        """Return 'too many calls' for the account if the fault's `match` names it, else for the whole app.

        Meta names the wait in minutes for an account, and no wait for an app.
        """
        account_id = call.path.get("account")
        if account_id is None or not self._throttles(account_id):
            app_usage = {"call_count": 100, "total_cputime": 25, "total_time": 25}
            reply = wire.error(403, 4, "(#4) Application request limit reached", is_transient=True)
            return Reply(reply.body, reply.status, {"X-App-Usage": orjson.dumps(app_usage).decode()})
        code = 80000 if call.url.partition("?")[0].endswith("/insights") else 80004
        message = f"(#{code}) There have been too many calls to this ad-account. Wait a bit and try again."
        reply = wire.error(400, code, message, 2446079)
        return Reply(reply.body, reply.status, self._usage(account_id, 100, ceil(seconds / 60)))

    def broken(self, call: Call, status: int) -> Reply:
        """Return Meta's error body for this status."""
        if status == 429:
            return self.throttled(call, 0)
        trouble = wire.error(status, 2, "An unexpected error has occurred. Please retry later.", is_transient=True)
        return BROKEN.get(status, trouble)

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return Meta's words for a retired version, a method that a path does not support, or an unknown path."""
        version, _, path = call.path["path"].partition("/")
        if version.startswith("v") and version != VERSION:
            message = f"(#2635) You are calling a deprecated version of the Ads API. Please update to {VERSION}."
            return wire.error(400, 2635, message)
        if methods:
            message = f"Unsupported {call.method.lower()} request."
            return wire.error(400, 100, message, NO_SUCH_OBJECT, type="GraphMethodException")
        return wire.error(400, 2500, f"(#2500) Unknown path components: /{path}")

    def empty_page(self, call: Call) -> Reply:
        """Return a page without rows whose cursor is new, and leads to where the call would have begun."""
        return wire.empty_page(call)

    # -- tokens ---------------------------------------------------------------------------------------------------

    def _exchange(self, call: Call) -> Reply:
        """Issue a fresh long-lived token for one that is still valid."""
        query = call.query
        if query.get("grant_type") != "fb_exchange_token":
            raise wire.refusal("Invalid grant_type", 1)
        if "client_id" not in query:
            raise wire.refusal("Missing client_id parameter.", 101)
        if query["client_id"] != CLIENT_ID:
            raise wire.refusal("Error validating application. Invalid application ID.", 101)
        if query.get("client_secret") != CLIENT_SECRET:
            raise wire.refusal("Error validating client secret.", 1)
        if "fb_exchange_token" not in query:
            raise wire.refusal("fb_exchange_token parameter not specified", 1)
        token, seconds = self.world.issue_access(self._grant_of(query["fb_exchange_token"]))
        lifetime = {} if seconds is None else {"expires_in": seconds}
        return Reply({"access_token": token, "token_type": "bearer", **lifetime})

    def _debug(self, call: Call) -> Reply:
        """Describe a token of the app."""
        inspector, text = _token(call), call.query.get("input_token")
        if text is None:
            raise wire.refusal("(#100) The parameter input_token is required")
        if inspector != APP_TOKEN:
            self._grant_of(inspector)
        known = self.world.read_access(self.platform, text)
        data = {"app_id": CLIENT_ID, "type": "USER", "expires_at": known.expires if known else 0}
        try:
            grant = self._grant_of(text)
        except Refusal as refusal:
            error = refusal.reply.body["error"]
            reason = {"code": error["code"], "message": error["message"], "subcode": error.get("error_subcode")}
            return Reply({"data": {**data, "is_valid": False, "scopes": [], "error": reason}})
        until = self.world.clock.now() + timedelta(days=DATA_ACCESS_DAYS)
        more = {"user_id": str(grant.id), "data_access_expires_at": int(until.timestamp()), "scopes": SCOPES}
        return Reply({"data": {**data, "is_valid": True, **more}})

    def _grant_of(self, text: str) -> Grant:
        """Return the grant of a token that is valid now; refuse any other."""
        grant = self.world.grant_of_access(self.platform, text)
        if grant is not None:
            return grant
        token = self.world.read_access(self.platform, text)
        known = self.world.grants.get(token.grant_id) if token else None
        if token is None or known is None:
            raise wire.refusal("Invalid OAuth access token - Cannot parse access token", 190)
        if known.revoked:
            message = f"Error validating access token: The user has not authorized application {CLIENT_ID}."
            raise Refusal(wire.error(400, 190, message, NOT_AUTHORIZED))
        ended = datetime.fromtimestamp(token.expires, UTC)
        message = f"Error validating access token: Session has expired on {ended:%A, %d-%b-%y %H:%M:%S} UTC."
        raise Refusal(wire.error(400, 190, message, EXPIRED))

    def _caller(self, call: Call) -> Grant:
        """Return the grant of a call; check the proof if there is one."""
        text = _token(call)
        grant, proof = self._grant_of(text), call.query.get("appsecret_proof")
        if proof is not None:
            expected = hmac.new(CLIENT_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
            if proof != expected:
                raise wire.refusal("Invalid appsecret_proof provided in the API argument")
        return grant

    # -- accounts, campaigns and figures --------------------------------------------------------------------------

    def _accounts(self, call: Call) -> Reply:
        grant = self._caller(call)
        fields = wire.fields_of(call, wire.ACCOUNT_FIELDS, ("id", "account_id"), "AdAccount")
        limit, after = wire.limit_of(call), wire.after_of(call)
        ids = list(islice((i for i in grant.account_ids if int(i) > after), limit + 1))
        accounts = (self.world.account(self.platform, account_id) for account_id in ids)
        rows = [(int(account.id), wire.select((account,), wire.ACCOUNT_FIELDS, fields)) for account in accounts]
        return wire.page(call, rows, limit, self._usage())

    def _campaigns(self, call: Call) -> Reply:
        account = self._account(call)
        fields = wire.fields_of(call, wire.CAMPAIGN_FIELDS, ("id",), "Campaign")
        limit, after, selection = wire.limit_of(call), wire.after_of(call), wire.selection_of(call)
        asked = (c for c in account.campaigns.values() if int(c.id) > after and selection.takes(c))
        rows = [
            (int(campaign.id), wire.select((campaign, account), wire.CAMPAIGN_FIELDS, fields))
            for campaign in islice(asked, limit + 1)
        ]
        return wire.page(call, rows, limit, self._usage(account.id))

    def _insights(self, call: Call) -> Reply:
        account = self._account(call)
        if call.query.get("level") != "campaign" or call.query.get("time_increment") != "1":
            raise wire.refusal("(#100) The sandbox knows insights of level=campaign and time_increment=1 only")
        fields = wire.fields_of(call, wire.INSIGHT_FIELDS, ("date_start", "date_stop"), "AdsInsights")
        since, until = wire.days_of(call)
        if (account.today(self.world.clock.now()) - since).days > OLDEST_INSIGHTS_DAYS:
            message = "(#3018) The start date of the time range cannot be beyond 37 months from the current date"
            raise wire.refusal(message, 3018)
        days = [since + timedelta(days=offset) for offset in range((until - since).days + 1)]
        limit, after, selection = wire.limit_of(call, len(days)), wire.after_of(call), wire.selection_of(call)
        campaigns = [campaign for campaign in account.campaigns.values() if selection.takes(campaign)]
        found = islice(self._rows(account, campaigns, days, after + 1), limit + 1)
        rows = [(position, wire.select((row,), wire.INSIGHT_FIELDS, fields)) for position, row in found]
        return wire.page(call, rows, limit, self._usage(account.id))

    def _rows(
        self, account: Account, campaigns: Sequence[Campaign], days: Sequence[date], start: int
    ) -> Iterator[tuple[int, wire.InsightRow]]:
        """Yield the days with figures, from a position in campaigns x days on."""
        for position in range(start, len(campaigns) * len(days)):
            campaign, day = campaigns[position // len(days)], days[position % len(days)]
            if (figures := self.world.figures(account, campaign, day)) != ZERO:
                yield position, wire.InsightRow(campaign, day, figures)

    def _account(self, call: Call) -> Account:
        """Return the account of the path if the caller may read it; refuse the call otherwise."""
        grant, account_id = self._caller(call), call.path["account"]
        account = self.world.accounts[self.platform].get(account_id)
        if account is None or account.closed:
            message = (
                f"Unsupported get request. Object with ID 'act_{account_id}' does not exist, cannot be loaded due to "
                "missing permissions, or does not support this operation"
            )
            raise Refusal(wire.error(400, 100, message, NO_SUCH_OBJECT, type="GraphMethodException"))
        # First the usual case: a list of thousands of accounts is slow to search.
        if account.grant_id != grant.id and account_id not in grant.account_ids:
            message = "(#200) Ad account owner has NOT grant ads_management or ads_read permission"
            raise Refusal(wire.error(403, 200, message))
        return account

    # -- throttling -----------------------------------------------------------------------------------------------

    def _throttles(self, account_id: str) -> bool:
        rules = self.world.faults.rules
        return any(rule.kind is FaultKind.THROTTLE and account_id in (rule.match or "") for rule in rules)

    def _usage(self, account_id: str | None = None, percent: int = 1, minutes: int = 0) -> dict[str, str]:
        """Return the headers with the used share of the app's and the account's calls, in percent."""
        quota = self.world.faults.quotas.get(self.platform)
        used = 100 * len(quota.made) // quota.calls if quota else 0
        headers = {"X-App-Usage": f'{{"call_count":{used},"total_cputime":0,"total_time":0}}'}
        if account_id is not None:
            usage = {"type": "ads_management", "call_count": percent, "total_cputime": 1, "total_time": 1}
            entry = {**usage, "estimated_time_to_regain_access": minutes, "ads_api_access_tier": "standard_access"}
            headers["X-Business-Use-Case-Usage"] = orjson.dumps({account_id: [entry]}).decode()
        return headers


def _token(call: Call) -> str:
    kind, _, text = call.headers.get("authorization", "").partition(" ")
    token = text if kind == "Bearer" else call.query.get("access_token")
    if not token:
        raise wire.refusal("An access token is required to request this resource.", 104)
    return token
