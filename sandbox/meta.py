"""Meta's side of the sandbox: the Graph API v26.0, as far as ad accounts, campaigns and their insights go.

The verdict is the `code` in the body, hardly the HTTP status. The access token may be in the header or the query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice
from math import ceil

import orjson
from starlette.routing import Route

from sandbox import meta_fields as shown
from sandbox import meta_json as wire
from sandbox.faults import FaultKind
from sandbox.http import Call, Refusal, Reply, route
from sandbox.meta_tokens import CONSENT, EXPIRED, VERSION, MetaTokens
from sandbox.world import ZERO, Account, Campaign, Grant, World
from sivera.values import PlatformName

OLDEST_INSIGHTS_DAYS = 37 * 365 // 12

MAX_IDS = 50
INSIGHTS_THROTTLE = "x-fb-ads-insights-throttle"

NO_SUCH_OBJECT, DELETED_REFUSED = 33, 1815001
NO_OBJECT = (
    "Unsupported get request. Object with ID '{}' does not exist, cannot be loaded due to missing permissions, or does "
    "not support this operation"
)
NO_ALIASES = "Some of the aliases you requested do not exist"
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
        self._tokens = MetaTokens(world)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            route(self, "GET", CONSENT.path, "consent", self._tokens.consent.show),
            route(self, "POST", CONSENT.path, "consent", self._tokens.consent.decide),
            route(self, "GET", f"/{VERSION}/oauth/access_token", "token", self._tokens.exchange),
            route(self, "GET", f"/{VERSION}/debug_token", "debug", self._tokens.debug),
            route(self, "GET", "/debug_token", "debug", self._tokens.debug),
            route(self, "GET", f"/{VERSION}/me/adaccounts", "accounts", self._accounts),
            route(self, "GET", f"/{VERSION}/act_{{account}}/campaigns", "campaigns", self._campaigns),
            route(self, "GET", f"/{VERSION}/act_{{account}}/insights", _insights_of, self._insights),
            route(self, "GET", f"/{VERSION}/", "objects", self._objects),
            route(self, "GET", f"/{VERSION}/{{object}}", "objects", self._object),
            route(self, "GET", f"/{VERSION}/{{object}}/", "objects", self._object),  # the SDK's spelling
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
        """Return a page without rows. Its cursor is new, and leads to the rows that the call asked for."""
        return wire.empty_page(call)

    # -- accounts, campaigns and figures --------------------------------------------------------------------------

    def _accounts(self, call: Call) -> Reply:
        grant = self._tokens.caller(call)
        wire.check_known(call, wire.LIST_PARAMETERS)
        fields = wire.fields_of(call, shown.ACCOUNT_FIELDS, ("id", "account_id"), "AdAccount")
        limit, after = wire.limit_of(call), wire.after_of(call)
        readable = grant.account_ids if grant.may_read_ads else ()
        ids = list(islice((i for i in readable if int(i) > after), limit + 1))
        accounts = (self.world.account(self.platform, account_id) for account_id in ids)
        rows = [(int(account.id), shown.select((account,), shown.ACCOUNT_FIELDS, fields)) for account in accounts]
        return wire.page(call, rows, limit, self._usage())

    def _campaigns(self, call: Call) -> Reply:
        account = self._account(call)
        wire.check_known(call, (*wire.LIST_PARAMETERS, "effective_status", "filtering"))
        fields = wire.fields_of(call, shown.CAMPAIGN_FIELDS, ("id",), "Campaign")
        limit, after, selection = wire.limit_of(call), wire.after_of(call), wire.selection_of(call)
        if "DELETED" in selection.statuses:
            raise Refusal(wire.error(400, 100, "Invalid parameter", DELETED_REFUSED, **wire.DELETED_WORDS))
        asked = (c for c in account.campaigns.values() if int(c.id) > after and selection.takes(c))
        rows = [
            (int(campaign.id), shown.select((campaign, account), shown.CAMPAIGN_FIELDS, fields))
            for campaign in islice(asked, limit + 1)
        ]
        return wire.page(call, rows, limit, self._usage(account.id))

    def _object(self, call: Call) -> Reply:
        """Return a campaign by its id, also a deleted one."""
        grant, object_id = self._tokens.caller(call), call.path["object"]
        wire.check_known(call, ("fields",))
        found = self._find(grant, object_id)
        if found is None:
            if not object_id.isdecimal():
                raise Refusal(wire.error(404, 803, f"(#803) {NO_ALIASES}: {object_id}"))
            raise Refusal(
                wire.error(400, 100, NO_OBJECT.format(object_id), NO_SUCH_OBJECT, type="GraphMethodException")
            )
        return Reply(_described(call, found), headers=self._usage())

    def _objects(self, call: Call) -> Reply:
        """Return campaigns by their ids; like Meta, none at all if one of them does not exist."""
        grant = self._tokens.caller(call)
        wire.check_known(call, ("fields", "ids"))
        ids = [each for each in call.query.get("ids", "").split(",") if each]
        if not 0 < len(ids) <= MAX_IDS:
            raise wire.refusal(f"(#100) The parameter ids must name 1 to {MAX_IDS} objects")
        found = {each: self._find(grant, each) for each in ids}
        if missing := [each for each, thing in found.items() if thing is None]:
            raise Refusal(wire.error(404, 803, f"(#803) {NO_ALIASES}: {','.join(missing)}"))
        objects = {each: _described(call, thing) for each, thing in found.items() if thing is not None}
        return Reply(objects, headers=self._usage())

    def _find(self, grant: Grant, object_id: str) -> tuple[Campaign, Account] | None:
        is_id = object_id.isdecimal() and len(object_id) < wire.MAX_DIGITS
        found = self.world.find_campaign(self.platform, object_id) if is_id else None
        if found is None or found[0].closed:
            return None
        if found[0].grant_id != grant.id and found[0].id not in grant.account_ids:
            return None
        return found[1], found[0]

    def _insights(self, call: Call) -> Reply:
        account, level = self._account(call), call.query.get("level", "")
        wire.check_known(call, (*wire.LIST_PARAMETERS, "filtering", "level", "time_increment", "time_range"))
        if level not in shown.INSIGHT_LEVELS or call.query.get("time_increment") != "1":
            raise wire.refusal("(#100) The sandbox knows insights by account or campaign and time_increment=1 only")
        known = shown.INSIGHT_LEVELS[level]
        fields = wire.fields_of(call, known, ("date_start", "date_stop"), "AdsInsights")
        since, until = wire.days_of(call)
        if (account.today(self.world.clock.now()) - since).days > OLDEST_INSIGHTS_DAYS:
            message = "(#3018) The start date of the time range cannot be beyond 37 months from the current date"
            raise wire.refusal(message, 3018)
        count = (until - since).days + 1
        if count > self.world.longest_insights:
            raise wire.too_much_data()
        limit, after, selection = wire.limit_of(call, count), wire.after_of(call), wire.selection_of(call)
        days = [since + timedelta(days=offset) for offset in range(count)]
        headers = self._usage(account.id) | {INSIGHTS_THROTTLE: self._insights_throttle()}
        if wire.is_before_empty_page(call):
            return replace(self.empty_page(call), headers=headers)
        found: Iterator[tuple[int, object]]
        if level == "account":
            found = self._totals(account, days, after + 1)
        else:
            campaigns = [campaign for campaign in account.campaigns.values() if selection.takes(campaign)]
            found = self._rows(account, campaigns, days, after + 1)
        rows = [(position, shown.select((row,), known, fields)) for position, row in islice(found, limit + 1)]
        return wire.page(call, rows, limit, headers, ends_empty=after >= 0)

    def _totals(self, account: Account, days: Sequence[date], start: int) -> Iterator[tuple[int, shown.AccountRow]]:
        """Yield the days with spend of the account, from a position on."""
        for position in range(start, len(days)):
            if spend := self.world.account_spend(account, days[position]):
                yield position, shown.AccountRow(account, days[position], spend)

    def _rows(
        self, account: Account, campaigns: Sequence[Campaign], days: Sequence[date], start: int
    ) -> Iterator[tuple[int, shown.InsightRow]]:
        """Yield the days with figures, from a position in campaigns x days on."""
        for position in range(start, len(campaigns) * len(days)):
            campaign, day = campaigns[position // len(days)], days[position % len(days)]
            if (figures := self.world.figures(account, campaign, day)) != ZERO:
                yield position, shown.InsightRow(campaign, day, figures)

    def _account(self, call: Call) -> Account:
        """Return the account of the path if the caller may read it; refuse the call otherwise."""
        grant, account_id = self._tokens.caller(call), call.path["account"]
        account = self.world.accounts[self.platform].get(account_id)
        if account is None or account.closed:
            message = NO_OBJECT.format(f"act_{account_id}")
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

    def _insights_throttle(self) -> str:
        usage = {"app_id_util_pct": self._used(), "acc_id_util_pct": 0, "ads_api_access_tier": "standard_access"}
        return orjson.dumps(usage).decode()

    def _used(self) -> int:
        """Return the used share of the app's calls in percent."""
        quota = self.world.faults.quotas.get(self.platform)
        return 100 * len(quota.made) // quota.calls if quota else 0

    def _usage(self, account_id: str | None = None, percent: int = 1, minutes: int = 0) -> dict[str, str]:
        """Return the headers with the used share of the app's and the account's calls, in percent."""
        headers = {"X-App-Usage": f'{{"call_count":{self._used()},"total_cputime":0,"total_time":0}}'}
        if account_id is not None:
            usage = {"type": "ads_management", "call_count": percent, "total_cputime": 1, "total_time": 1}
            entry = {**usage, "estimated_time_to_regain_access": minutes, "ads_api_access_tier": "standard_access"}
            headers["X-Business-Use-Case-Usage"] = orjson.dumps({account_id: [entry]}).decode()
        return headers


def _insights_of(call: Call) -> str:
    """Return the operation of a call for insights."""
    return "totals" if call.query.get("level") == "account" else "metrics"


def _described(call: Call, found: tuple[Campaign, Account]) -> dict[str, object]:
    fields = wire.fields_of(call, shown.CAMPAIGN_FIELDS, ("id",), "Campaign")
    return shown.select(found, shown.CAMPAIGN_FIELDS, fields)
