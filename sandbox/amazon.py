"""Amazon in the sandbox: regional profiles, three campaign APIs and prepared reports.

Paths, media types, limits and errors are those of the Amazon Ads API: Sponsored Products v3, Sponsored Brands v4,
Sponsored Display v1 and Reporting v3. Two undocumented things are our choice: the message that refuses a client id, and
that a closed profile is no longer listed and matches no advertiser.
"""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import orjson

from sandbox.accounts import Account, Campaign
from sandbox.amazon_json import (
    SB,
    SD,
    SP,
    DisplayQuery,
    ListRequest,
    ProfilesQuery,
    campaign_row,
    error,
    iso,
    profile,
    state,
    storage_error,
)
from sandbox.amazon_reports import Report, ReportRequest, described, report_rows
from sandbox.consent import ConsentPages, Dialect
from sandbox.facts import CLIENT_ID
from sandbox.faults import Fault, FaultKind
from sandbox.http import Call, Entry, Parameters, Refusal, Reply
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.values import PlatformName

CONSENT = Dialect(
    PlatformName.AMAZON,
    "/ap/oa",
    scope="advertising::campaign_management",
    lifetime=timedelta(minutes=5),
    knows=frozenset({"state", "code_challenge", "code_challenge_method"}),
    denial={"error": "access_denied", "error_description": "The customer denied the request."},
    prefix="AN",
)
TOKEN_PATH = "/auth/o2/token"  # noqa: S105 - a path
SP_MEDIA = "application/vnd.spCampaign.v3+json"
SB_MEDIA = "application/vnd.sbcampaignresource.v4+json"
REPORT_MEDIA = ("application/vnd.createasyncreportrequest.v3+json", "application/json")
REGIONS = ("na", "eu", "fe")
URL_SECONDS = 3600


class AmazonBackend:
    """Amazon's paths, encodings and errors for a world.

    Assumed: each region renews the tokens of all regions. A fault can match the report type in a request
    (`sbCampaigns`) or the `SB-` in a report's id.
    """

    platform = PlatformName.AMAZON

    def __init__(self, world: World) -> None:
        self.world = world
        self.consent = ConsentPages(world, CONSENT)
        self._report_numbers = count(1)
        self.routes: list[Entry] = [
            *self.consent.routes("/{region}"),
            ("POST", f"/{{region}}{TOKEN_PATH}", "token", self._token),
            ("GET", "/{region}/v2/profiles", "accounts", self._profiles),
            ("POST", "/{region}/sp/campaigns/list", "campaigns", partial(self._list, SP, SP_MEDIA)),
            ("POST", "/{region}/sb/v4/campaigns/list", "campaigns", partial(self._list, SB, SB_MEDIA)),
            ("GET", "/{region}/sd/campaigns/extended", "campaigns", self._sd_campaigns),
            ("POST", "/{region}/reporting/reports", "report-create", self._create_report),
            ("GET", "/{region}/reporting/reports/{report}", "report-status", self._report_status),
            ("GET", "/{region}/reporting/downloads/{report}", "report-download", self._download_report),
        ]

    def throttled(self, call: Call, fault: Fault) -> Reply:
        """Return 429 with Retry-After, 429 without it for a new report, or S3's 503 for a download."""
        if "/reporting/downloads/" in call.url:
            return storage_error(503, "SlowDown", "Please reduce your request rate.")
        word = "temporarily_unavailable" if "/auth/" in call.url else "THROTTLED"
        reply = error(call, 429, "Too Many Requests", word)
        if call.method == "POST" and "/reporting/reports" in call.url:
            return reply  # Amazon's issue tracker, ads-advanced-tools-docs#344
        return replace(reply, headers={"Retry-After": str(max(1, round(fault.seconds)))})

    def broken(self, call: Call, status: int) -> Reply:
        """Return the error body of the called API with this status."""
        if "/reporting/downloads/" in call.url:
            return storage_error(status, "InternalError", "We encountered an internal error. Please try again.")
        return error(call, status, "Internal Error", "server_error" if "/auth/" in call.url else "INTERNAL_ERROR")

    def invalid(self, call: Call, words: str) -> Reply:
        """Return the called API's error for a request that is not as documented."""
        return error(call, 400, words)

    def unknown(self, call: Call, methods: Sequence[str]) -> Reply:
        """Return the gateway's answer (seen live: ads-advanced-tools-docs#310, airbyte#31204)."""
        host, path = call.headers["host"], call.url.partition("?")[0]
        found = f"Could not find resource for full path: http://{host}{path}"
        return Reply({"code": "NOT_FOUND", "details": "Method Not Found" if methods else found}, 404)

    def _token(self, call: Call) -> Reply:
        grant = self.consent.grant_for(call)
        access, seconds = self.world.issue_access(grant)
        refresh = self.world.issue_refresh(grant)
        body = {"access_token": access, "token_type": "bearer", "expires_in": seconds, "refresh_token": refresh}
        return Reply(body, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    # -- profiles and campaigns -----------------------------------------------------------------------------------

    def _profiles(self, call: Call) -> Reply:
        """List the grant's profiles in the called region."""
        grant, types = self._grant(call), call.asked(ProfilesQuery).profile_type_filter.split(",")
        accounts = (a for a in self.world.accounts_of(grant) if a.region == call.path["region"] and not a.closed)
        return Reply([row for row in map(profile, accounts) if row["accountInfo"]["type"] in types])

    def _list(self, product: str, media: str, call: Call) -> Reply:
        """List campaigns of Sponsored Products (v3) or Sponsored Brands (v4)."""
        if call.headers.get("content-type") != media or call.headers.get("accept") != media:
            raise Refusal(error(call, 415, f"Accept and Content-Type must be {media}", "UNSUPPORTED_MEDIA_TYPE"))
        account = self._account(call, product)
        call.asked(Parameters)
        body = call.sent(ListRequest)
        token = body.next_token or "page-0"
        if call.fault is FaultKind.EMPTY_PAGE:  # its token names the same position
            return Reply({"campaigns": [], "totalResults": 0, "nextToken": token}, media_type=media)
        start, size = int(token.removeprefix("page-")), body.max_results
        found = _in_states(account, product, body.state_filter.include)
        reply: dict[str, Any] = {"totalResults": len(found)}
        extended = body.include_extended_data_fields
        reply["campaigns"] = [campaign_row(each, extended=extended) for each in found[start : start + size]]
        if start + size < len(found):
            reply["nextToken"] = f"page-{start + size}"
        return Reply(reply, media_type=media)

    def _sd_campaigns(self, call: Call) -> Reply:
        """List Sponsored Display campaigns with extended fields: paged by offset, without a count."""
        account, asked = self._account(call, SD), call.asked(DisplayQuery)
        found = _in_states(account, SD, asked.state_filter)
        page = found[asked.start_index : asked.start_index + asked.count]
        return Reply([campaign_row(each, extended=True) for each in page])

    # -- reports --------------------------------------------------------------------------------------------------

    def _create_report(self, call: Call) -> Reply:
        """Accept the request for a report, or name the report that already answers it (425)."""
        if call.headers.get("content-type") not in REPORT_MEDIA:
            raise Refusal(error(call, 415, f"Content-Type must be {REPORT_MEDIA[0]}"))
        call.asked(Parameters)
        request = call.sent(ReportRequest)
        account = self._account(call, request.configuration.ad_product)
        report = request.report(account, self.world.clock.now(), next(self._report_numbers))
        if known := self.world.reports.get(report.request):
            raise Refusal(error(call, 425, f"The Request is a duplicate of : {known}"))
        self.world.reports[report.request] = report.id
        return Reply(described(report, "PENDING"))

    def _report_status(self, call: Call) -> Reply:
        """Return a report's status; once it is done, the same request starts a new one."""
        account = self._account(call, None)
        call.asked(Parameters)
        report = Report.of(call.path["report"])
        if report is None or report.profile_id != account.id:
            raise Refusal(error(call, 404, "Report not found"))
        now = self.world.clock.now()
        if now.timestamp() < report.requested + self.world.report_seconds:
            return Reply(described(report, "PROCESSING"))
        if self.world.reports.get(report.request) == report.id:
            del self.world.reports[report.request]
        expires = now + timedelta(seconds=URL_SECONDS)
        query = f"Expires={int(expires.timestamp())}&Signature={_signature(report.id, int(expires.timestamp()))}"
        host, folder = call.headers["host"], call.url.partition("/reporting/")[0]
        url = f"http://{host}{folder}/reporting/downloads/{report.id}?{query}"
        return Reply(described(report, "COMPLETED", url=url, urlExpiresAt=iso(expires)))

    def _download_report(self, call: Call) -> Reply:
        """Return the report of a signed URL; like S3, refuse a second kind of authorisation."""
        if "authorization" in call.headers or "amazon-advertising-api-clientid" in call.headers:
            return storage_error(400, "InvalidArgument", "Only one auth mechanism allowed")
        report_id, expires = call.path["report"], call.query.get("Expires", "")
        if {**call.query} != {"Expires": expires, "Signature": _signature(report_id, expires)}:
            return storage_error(403, "SignatureDoesNotMatch", "The signature does not match.")
        report = Report.of(report_id)
        if report is None or int(expires) <= self.world.clock.now().timestamp():
            return storage_error(403, "AccessDenied", "Request has expired")
        content = gzip.compress(orjson.dumps(list(report_rows(self.world, report))), compresslevel=1, mtime=0)
        return Reply(content, media_type="application/octet-stream")

    # -- permissions ----------------------------------------------------------------------------------------------

    def _grant(self, call: Call) -> Grant:
        if call.path["region"] not in REGIONS:
            raise Refusal(Reply({"message": "Not Found"}, 404))
        grant = self.world.grant_of_access(self.platform, call.bearer)
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
            name = product.replace("_", " ").title()
            raise Refusal(error(call, 403, f"Advertiser is not authorized for {name}.", "ACCESS_DENIED"))
        return account


def _in_states(account: Account, product: str, states: Sequence[str]) -> list[Campaign]:
    return [c for c in account.campaigns.values() if c.product == product and state(c) in states]


def _signature(report_id: str, expires: int | str) -> str:
    return hashlib.sha256(f"the storage's secret {report_id} {expires}".encode()).hexdigest()[:20]
