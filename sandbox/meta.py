"""Meta in the sandbox: the parts of the Graph API v26.0 about ad accounts, campaigns and insights.

The `code` in the body identifies an error, rather than the HTTP status. A token may be in the header or the query.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import orjson

from sandbox import meta_fields as shown
from sandbox import meta_json as wire
from sandbox.accounts import Account
from sandbox.faults import Fault
from sandbox.http import Call, Entry, Refusal, Reply
from sandbox.meta_tokens import EXPIRED, VERSION, MetaTokens
from sandbox.world import World
from sivera.values import PlatformName

OLDEST_INSIGHTS_DAYS = 37 * 365 // 12

NO_SUCH_OBJECT, DELETED_REFUSED = 33, 1815001
NO_OBJECT = (
    "Unsupported get request. Object with ID '{}' does not exist, cannot be loaded due to missing permissions, or does "
    "not support this operation"
)
DELETED_WORDS = {
    "error_user_title": "Cannot Request for Deleted Objects",
    "error_user_msg": "Requesting for deleted objects is not supported in this endpoint.",
}
BROKEN = {
    400: wire.error(400, 100, "Invalid parameter"),
    401: wire.error(401, 190, *EXPIRED),
}


class MetaBackend:
    """Meta's paths, encodings and errors for a world."""

    platform = PlatformName.META

    def __init__(self, world: World) -> None:
        self.world = world
        self._tokens = MetaTokens(world)
        self.routes: list[Entry] = [
            *self._tokens.consent.routes(),
            ("GET", f"/{VERSION}/oauth/access_token", "token", self._tokens.exchange),
            ("DELETE", f"/{VERSION}/me/permissions", "revoke", self._tokens.revoke),
            ("GET", f"/{VERSION}/debug_token", "debug", self._tokens.debug),
            ("GET", f"/{VERSION}/me/adaccounts", "accounts", self._accounts),
            ("GET", f"/{VERSION}/act_{{account}}/campaigns", "campaigns", self._campaigns),
            ("GET", f"/{VERSION}/act_{{account}}/insights", _insights_of, self._insights),
            ("GET", f"/{VERSION}/", "objects", self._objects),
        ]

    def throttled(self, call: Call, fault: Fault) -> Reply:
        """Return 'too many calls' for the account that the fault's `match` names, otherwise for the whole app.

        Meta gives the wait for an account in minutes, and none for an app.
        """
        account_id = call.path.get("account")
        if account_id is None or account_id not in (fault.match or ""):
            app_usage = {"call_count": 100, "total_cputime": 25, "total_time": 25}
            reply = wire.error(403, 4, "(#4) Application request limit reached", is_transient=True)
            return replace(reply, headers={"X-App-Usage": orjson.dumps(app_usage).decode()})
        code = 80000 if call.url.partition("?")[0].endswith("/insights") else 80004
        message = f"(#{code}) There have been too many calls to this ad-account. Wait a bit and try again."
        headers = self._usage(account_id, 100, ceil(fault.seconds / 60))
        return replace(wire.error(400, code, message, 2446079), headers=headers)

    def broken(self, call: Call, status: int) -> Reply:
        """Return Meta's error body for this status."""
        unexpected = wire.error(status, 2, "An unexpected error has occurred. Please retry later.", is_transient=True)
        return BROKEN.get(status, unexpected)

    def invalid(self, call: Call, words: str) -> Reply:
        """Return Meta's error for an invalid parameter."""
        return wire.error(400, 100, f"(#100) {words}")

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return Meta's error for a retired version, an unsupported method or an unknown path."""
        version, _, path = call.path["path"].partition("/")
        if version.startswith("v") and version != VERSION:
            message = f"(#2635) You are calling a deprecated version of the Ads API. Please update to {VERSION}."
            return wire.error(400, 2635, message)
        if methods:
            message = f"Unsupported {call.method.lower()} request."
            return wire.error(400, 100, message, NO_SUCH_OBJECT, type="GraphMethodException")
        return wire.error(400, 2500, f"(#2500) Unknown path components: /{path}")

    # -- accounts, campaigns and figures --------------------------------------------------------------------------

    def _accounts(self, call: Call) -> Reply:
        grant, asked = self._tokens.caller(call), call.asked(wire.ListQuestion)
        fields = asked.fields_of(shown.ACCOUNT_FIELDS, "id", "account_id")
        accounts = self.world.accounts_of(grant) if grant.may_read_ads else ()
        rows = ((int(account.id), shown.select(account, shown.ACCOUNT_FIELDS, fields)) for account in accounts)
        return wire.page(call, asked, rows, self._usage())

    def _campaigns(self, call: Call) -> Reply:
        account, asked = self._account(call), call.asked(wire.CampaignsQuestion)
        fields, takes = asked.fields_of(shown.CAMPAIGN_FIELDS, "id"), asked.takes()
        if "DELETED" in asked.statuses:
            raise Refusal(wire.error(400, 100, "Invalid parameter", DELETED_REFUSED, **DELETED_WORDS))
        found = (campaign for campaign in account.campaigns.values() if takes(campaign))
        rows = ((int(c.id), shown.select((c, account), shown.CAMPAIGN_FIELDS, fields)) for c in found)
        return wire.page(call, asked, rows, self._usage(account.id))

    def _objects(self, call: Call) -> Reply:
        """Return campaigns by id, including deleted ones; like Meta, refuse the call if one does not exist."""
        grant, asked = self._tokens.caller(call), call.asked(wire.ObjectsQuestion)
        fields = asked.fields_of(shown.CAMPAIGN_FIELDS, "id")
        found = {
            each: shown.select((account.campaigns[each], account), shown.CAMPAIGN_FIELDS, fields)
            for account in self.world.accounts_of(grant)
            for each in account.campaigns.keys() & set(asked.ids)
            if not account.closed
        }
        if missing := [each for each in asked.ids if each not in found]:
            words = f"(#803) Some of the aliases you requested do not exist: {','.join(missing)}"
            raise Refusal(wire.error(404, 803, words))
        return Reply(found, headers=self._usage())

    def _insights(self, call: Call) -> Reply:
        account, asked = self._account(call), call.asked(wire.InsightsQuestion)
        known, since = shown.INSIGHT_LEVELS[asked.level], asked.time_range.since
        fields = asked.fields_of(known, "date_start", "date_stop")
        if (account.today(self.world.clock.now()) - since).days > OLDEST_INSIGHTS_DAYS:
            message = "(#3018) The start date of the time range cannot be beyond 37 months from the current date"
            raise wire.refusal(message, 3018)
        count = (asked.time_range.until - since).days + 1
        if count < 1:
            raise ValueError("Invalid time range: since is after until")
        if count > self.world.longest_insights:
            raise wire.too_much_data()
        used = {"app_id_util_pct": self.world.app_usage, "acc_id_util_pct": 0, "ads_api_access_tier": "standard_access"}
        headers = self._usage(account.id) | {"x-fb-ads-insights-throttle": orjson.dumps(used).decode()}
        takes, window = asked.takes(), (since, asked.time_range.until)
        if asked.level == "account":
            found = (shown.InsightRow(account, None, *each) for each in self.world.totals(account, *window))
        else:
            campaigns = (campaign for campaign in account.campaigns.values() if takes(campaign))
            found = (shown.InsightRow(account, *each) for each in self.world.days(account, campaigns, *window))
        rows = ((number, shown.select(row, known, fields)) for number, row in enumerate(found))
        return wire.page(call, asked, rows, headers, days=count, ends_empty=True)

    def _account(self, call: Call) -> Account:
        """Return the account in the path; refuse the call if the caller may not read it."""
        grant, account_id = self._tokens.caller(call), call.path["account"]
        account = self.world.accounts[self.platform].get(account_id)
        if account is None or account.closed:
            message = NO_OBJECT.format(f"act_{account_id}")
            raise Refusal(wire.error(400, 100, message, NO_SUCH_OBJECT, type="GraphMethodException"))
        # The usual case first: a list of thousands of accounts is slow to search.
        if account.grant_id != grant.id and account_id not in grant.account_ids:
            message = "(#200) Ad account owner has NOT grant ads_management or ads_read permission"
            raise Refusal(wire.error(403, 200, message))
        return account

    # -- throttling -----------------------------------------------------------------------------------------------

    def _usage(self, account_id: str | None = None, percent: int = 1, minutes: int = 0) -> dict[str, str]:
        """Return the headers with the used part of the app's and the account's calls, in percent."""
        headers = {"X-App-Usage": f'{{"call_count":{self.world.app_usage},"total_cputime":0,"total_time":0}}'}
        if account_id is not None:
            usage = {"type": "ads_management", "call_count": percent, "total_cputime": 1, "total_time": 1}
            entry = {**usage, "estimated_time_to_regain_access": minutes, "ads_api_access_tier": "standard_access"}
            headers["X-Business-Use-Case-Usage"] = orjson.dumps({account_id: [entry]}).decode()
        return headers


def _insights_of(call: Call) -> str:
    return "totals" if call.query.get("level") == "account" else "metrics"
