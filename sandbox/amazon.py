"""Amazon's side of the sandbox: regional profiles, three campaign APIs and prepared reports.

Paths, media types, limits and errors are those of the Amazon Ads API: Sponsored Products v3, Sponsored Brands v4,
Sponsored Display v1 and Reporting v3. Two undocumented things are our choice: the words that refuse a client id, and
that a closed profile is no longer listed and matches no advertiser.
"""

import gzip
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
from starlette.routing import Route

from sandbox.amazon_json import (
    MAX_PAGE,
    SB,
    SD,
    SP,
    error,
    iso,
    member,
    profile,
    read_list_request,
    sb_campaign,
    sd_campaign,
    sp_campaign,
    state,
    storage_error,
)
from sandbox.amazon_login import CONSENT, TOKEN_PATH, AmazonLogin
from sandbox.amazon_reports import REPORT_TYPES, Report, described, read_report_request, report_rows
from sandbox.http import Call, Handler, Refusal, Reply, route
from sandbox.world import CLIENT_ID, Account, Campaign, Grant, World
from sivera.values import PlatformName

PRODUCT_NAMES = {SP: "Sponsored Products", SB: "Sponsored Brands", SD: "Sponsored Display"}
SP_MEDIA = "application/vnd.spCampaign.v3+json"
SB_MEDIA = "application/vnd.sbcampaignresource.v4+json"
REPORT_MEDIA = ("application/vnd.createasyncreportrequest.v3+json", "application/json")
REGIONS = ("na", "eu", "fe")
URL_SECONDS = 3600


class AmazonBackend:
    """Amazon's paths, encodings and errors over a world.

    `world.reports` maps each request to the id of the report in preparation. To make a report fail, set its `failure`
    to a text; `world.report_seconds` is the time that each takes. Faults match the report type in a request
    (`sbCampaigns`), and `SB-` in the id of a report.
    """

    platform = PlatformName.AMAZON

    def __init__(self, world: World) -> None:
        self.world = world
        self._login = AmazonLogin(world)

    def routes(self) -> list[Route]:
        """Return the routes, all of them in each region."""
        paths: tuple[tuple[str, str, str, Handler], ...] = (
            ("GET", f"/{{region}}{CONSENT.path}", "consent", self._login.consent.show),
            ("POST", f"/{{region}}{CONSENT.path}", "consent", self._login.consent.decide),
            ("POST", f"/{{region}}{TOKEN_PATH}", "token", self._login.token),
            ("GET", "/{region}/v2/profiles", "accounts", self.profiles),
            ("POST", "/{region}/sp/campaigns/list", "campaigns", self.sp_campaigns),
            ("POST", "/{region}/sb/v4/campaigns/list", "campaigns", self.sb_campaigns),
            ("GET", "/{region}/sd/campaigns/extended", "campaigns", self.sd_campaigns),
            ("POST", "/{region}/reporting/reports", "report-create", self.create_report),
            ("GET", "/{region}/reporting/reports/{report}", "report-status", self.report_status),
            ("GET", "/{region}/reporting/downloads/{report}", "report-download", self.download_report),
        )
        return [route(self, method, path, name, handler) for method, path, name, handler in paths]

    def throttled(self, call: Call, seconds: float) -> Reply:
        """Return 429 with Retry-After, without it for the request of a report, or S3's 503 for a download."""
        if "/reporting/downloads/" in call.url:
            return storage_error(503, "SlowDown", "Please reduce your request rate.")
        word = "temporarily_unavailable" if "/auth/" in call.url else "THROTTLED"
        reply = error(call, 429, "Too Many Requests", word)
        if call.method == "POST" and "/reporting/reports" in call.url:
            return reply  # Amazon's issue tracker, ads-advanced-tools-docs#344
        return replace(reply, headers={"Retry-After": str(max(1, round(seconds)))})

    def broken(self, call: Call, status: int) -> Reply:
        """Return the error body of the called API with this status."""
        if "/reporting/downloads/" in call.url:
            return storage_error(status, "InternalError", "We encountered an internal error. Please try again.")
        return error(call, status, "Internal Error", "server_error" if "/auth/" in call.url else "INTERNAL_ERROR")

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return the gateway's answer (seen live: ads-advanced-tools-docs#310, airbyte#31204)."""
        host, path = call.headers["host"], call.url.partition("?")[0]
        found = f"Could not find resource for full path: http://{host}{path}"
        return Reply({"code": "NOT_FOUND", "details": "Method Not Found" if methods else found}, 404)

    def empty_page(self, call: Call) -> Reply:
        """Return a page without campaigns that leads to the same position."""
        token = call.json.get("nextToken") if isinstance(call.json, dict) else None
        return Reply({"campaigns": [], "totalResults": 0, "nextToken": token or self._signed("page-0")})

    # -- profiles -----------------------------------------------------------------------------------------------------

    def profiles(self, call: Call) -> Reply:
        """List the grant's profiles in the called region."""
        grant = self._grant(call)
        _refuse_unknown(call, "profileTypeFilter")
        types = call.query.get("profileTypeFilter", "seller,vendor,agency").split(",")
        accounts = (a for a in self.world.accounts_of(grant) if a.region == call.path["region"] and not a.closed)
        return Reply([row for row in map(profile, accounts) if row["accountInfo"]["type"] in types])

    # -- campaigns ----------------------------------------------------------------------------------------------------

    def sp_campaigns(self, call: Call) -> Reply:
        """List Sponsored Products campaigns (v3)."""
        return self._list(call, SP, SP_MEDIA, lambda c, extended: sp_campaign(c, self.world.clock.now(), extended))

    def sb_campaigns(self, call: Call) -> Reply:
        """List Sponsored Brands campaigns (v4)."""
        return self._list(call, SB, SB_MEDIA, lambda c, extended: sb_campaign(c, self.world.clock.now(), extended))

    def sd_campaigns(self, call: Call) -> Reply:
        """List Sponsored Display campaigns with extended fields: paged by offset, an array without a count."""
        account = self._account(call, SD)
        _refuse_unknown(call, "startIndex", "count", "stateFilter")
        start, count = call.query.get("startIndex", "0"), call.query.get("count", str(MAX_PAGE))
        if not (start.isdecimal() and count.isdecimal() and 1 <= int(count) <= MAX_PAGE):
            raise Refusal(error(call, 422, "startIndex or count is out of range"))
        words = call.query.get("stateFilter", "enabled,paused").split(",")
        found = self._in_states(call, account, SD, [word.strip().upper() for word in words])
        now = self.world.clock.now()
        return Reply([sd_campaign(c, now) for c in found[int(start) : int(start) + int(count)]])

    def _list(self, call: Call, product: str, media: str, encode: Callable[[Campaign, bool], dict[str, Any]]) -> Reply:
        if call.headers.get("content-type") != media or call.headers.get("accept") != media:
            raise Refusal(error(call, 415, f"Accept and Content-Type must be {media}", "UNSUPPORTED_MEDIA_TYPE"))
        account = self._account(call, product)
        _refuse_unknown(call)
        try:
            body = read_list_request(call.json)
        except ValueError as problem:
            raise Refusal(error(call, 400, str(problem))) from None
        position = self._read_signed(body["nextToken"]) if body["nextToken"] else "page-0"
        if position is None or not position.startswith("page-"):
            raise Refusal(error(call, 400, "nextToken is not valid"))
        start, count = int(position.removeprefix("page-")), body["maxResults"]
        extended = body["includeExtendedDataFields"]
        found = self._in_states(call, account, product, body["stateFilter"]["include"])
        reply: dict[str, Any] = {"campaigns": [encode(c, extended) for c in found[start : start + count]]}
        reply["totalResults"] = len(found)
        if start + count < len(found):
            reply["nextToken"] = self._signed(f"page-{start + count}")
        return Reply(reply, media_type=media)

    def _in_states(self, call: Call, account: Account, product: str, states: Sequence[str]) -> list[Campaign]:
        if unknown := set(states) - {"ENABLED", "PAUSED", "ARCHIVED"}:
            raise Refusal(error(call, 400, f"stateFilter knows no {', '.join(sorted(unknown))}"))
        return [c for c in account.campaigns.values() if c.product == product and state(c) in states]

    # -- reports ------------------------------------------------------------------------------------------------------

    def create_report(self, call: Call) -> Reply:
        """Accept the request of a report, or name the report that already answers it (425)."""
        if call.headers.get("content-type") not in REPORT_MEDIA:
            raise Refusal(error(call, 415, f"Content-Type must be {REPORT_MEDIA[0]}"))
        product = str(member(call.json, "configuration").get("adProduct"))
        account = self._account(call, product if product in REPORT_TYPES else None)
        _refuse_unknown(call)
        try:
            report = read_report_request(call.json, account, self.world.clock.now())
        except ValueError as problem:
            raise Refusal(error(call, 400, str(problem))) from None
        known = self.world.reports.setdefault(report.request, {"count": 0})
        if "id" in known:
            raise Refusal(error(call, 425, f"The Request is a duplicate of : {known['id']}"))
        report = replace(report, number=int(str(known["count"])) + 1)
        report_id = self._signed(report.text)
        known.update(count=report.number, id=report_id)
        return Reply(described(report_id, report, "PENDING"))

    def report_status(self, call: Call) -> Reply:
        """Return a report's status; once it is done, the same request starts a new one."""
        account = self._account(call, None)
        _refuse_unknown(call)
        report_id = call.path["report"]
        report = self._report(report_id)
        if report is None or report.profile_id != account.id:
            raise Refusal(error(call, 404, "Report not found"))
        if call.is_pending:
            return Reply(described(report_id, report, "PENDING"))
        now = self.world.clock.now()
        if now.timestamp() < report.requested + self.world.report_seconds:
            return Reply(described(report_id, report, "PROCESSING"))
        known = self.world.reports.get(report.request, {})
        if known.get("id") == report_id:
            del known["id"]
            if failure := known.pop("failure", None):
                return Reply(described(report_id, report, "FAILED", failureReason=str(failure)))
        expires = int(now.timestamp()) + URL_SECONDS
        signature = self._signature(f"{report_id}{expires}")
        host, folder = call.headers["host"], call.url.partition("/reporting/")[0]
        url = f"http://{host}{folder}/reporting/downloads/{report_id}?Expires={expires}&Signature={signature}"
        done = {"url": url, "urlExpiresAt": iso(now + timedelta(seconds=URL_SECONDS)), "generatedAt": iso(now)}
        return Reply(described(report_id, report, "COMPLETED", **done))

    def download_report(self, call: Call) -> Reply:
        """Return a report for its signed URL; like S3, refuse a second kind of authorisation."""
        if "authorization" in call.headers or "amazon-advertising-api-clientid" in call.headers:
            return storage_error(400, "InvalidArgument", "Only one auth mechanism allowed")
        report_id, expires = call.path["report"], call.query.get("Expires", "")
        if call.query.keys() != {"Expires", "Signature"} or call.query.get("Signature") != self._signature(
            f"{report_id}{expires}"
        ):
            return storage_error(403, "SignatureDoesNotMatch", "The signature does not match.")
        report = self._report(report_id)
        if report is None or int(expires) <= self.world.clock.now().timestamp():
            return storage_error(403, "AccessDenied", "Request has expired")
        content = gzip.compress(orjson.dumps(list(report_rows(self.world, report))), compresslevel=1, mtime=0)
        return Reply(content, media_type="application/octet-stream")

    def _report(self, report_id: str) -> Report | None:
        text = self._read_signed(report_id)
        return Report.of(text) if text and text.count("-") == 7 else None

    # -- permissions and signatures -----------------------------------------------------------------------------------

    def _grant(self, call: Call) -> Grant:
        if call.path["region"] not in REGIONS:
            raise Refusal(Reply({"message": "Not Found"}, 404))
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        grant = self.world.grant_of_access(self.platform, token) if scheme.lower() == "bearer" else None
        if grant is None:
            raise Refusal(Reply({"message": "Unauthorized"}, 401))
        if call.headers.get("amazon-advertising-api-clientid") != CLIENT_ID:
            text = "The Amazon-Advertising-API-ClientId header is missing or is not that of the token"
            raise Refusal(error(call, 401, text, "UNAUTHORIZED"))
        return grant

    def _account(self, call: Call, product: str | None) -> Account:
        grant = self._grant(call)
        scope = call.headers.get("amazon-advertising-api-scope")
        if not scope:
            raise Refusal(error(call, 401, "Scope header is missing", "UNAUTHORIZED"))
        account = self.world.accounts[self.platform].get(scope)
        if account is None or account.closed or account.region != call.path["region"]:
            raise Refusal(error(call, 401, "No matching advertiser found for scope", "UNAUTHORIZED"))
        if account.grant_id != grant.id:
            raise Refusal(error(call, 401, f"Not authorized to access scope {scope}", "UNAUTHORIZED"))
        if product is not None and product not in account.products:
            text = f"Advertiser is not authorized for {PRODUCT_NAMES[product]}."
            raise Refusal(error(call, 403, text, "ACCESS_DENIED"))
        return account

    def _signature(self, text: str) -> str:
        return hmac.new(f"amazon-{self.world.seed}".encode(), text.encode(), hashlib.sha256).hexdigest()[:20]

    def _signed(self, text: str) -> str:
        return f"{text}-{self._signature(text)}"

    def _read_signed(self, signed: str) -> str | None:
        text, _, signature = signed.rpartition("-")
        return text if signature == self._signature(text) else None


def _refuse_unknown(call: Call, *known: str) -> None:
    """Refuse query parameters that this call does not have."""
    if unknown := call.query.keys() - {*known}:
        raise Refusal(error(call, 400, f"Unknown query parameters: {', '.join(sorted(unknown))}"))
