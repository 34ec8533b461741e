"""Amazon Ads: a profile's Sponsored Products, Sponsored Brands and Sponsored Display.

One vendor with three dialects: `amazon_json` reads them, this file makes the calls. Metrics come as reports, which one
run requests and a later run collects.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import orjson
from pydantic import SecretStr

from sivera.breaker import Breaker
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    PlatformError,
    ReconnectRequired,
    Throttled,
    TokenRejected,
    Unavailable,
)
from sivera.platforms import amazon_json as read
from sivera.platforms.amazon_json import PLATFORM, PRODUCTS, Product, ProductNotEnabled
from sivera.platforms.base import LONGEST_LIFE_SECONDS, MAX_PAGES, REPORT_PATIENCE, AppCredentials, TokenSource
from sivera.platforms.calling import Caller, Reply
from sivera.values import (
    AdAccount,
    Campaign,
    CampaignListing,
    DateWindow,
    GrantTokens,
    MetricsBatch,
    MetricsReading,
    PlatformName,
    ReportRequest,
)

HOSTS = {
    "na": "https://advertising-api.amazon.com",
    "eu": "https://advertising-api-eu.amazon.com",
    "fe": "https://advertising-api-fe.amazon.com",
}
LOGIN_HOST = "https://api.amazon.com"
TOKEN_PATH = "/auth/o2/token"  # noqa: S105 - a path
PROFILES_PATH = "/v2/profiles"
PROFILES_QUERY = {"profileTypeFilter": "seller,vendor"}
"""The third type, agency, is for the DSP and has no sponsored campaigns."""
REPORTS_PATH = "/reporting/reports"
REPORT_MEDIA = "application/vnd.createasyncreportrequest.v3+json"

PAGE_SIZE = 100
STATES = ("ENABLED", "PAUSED", "ARCHIVED")
"""The states to list. Amazon deletes nothing: archived is the last state."""
MAX_REPORT_DAYS = 31
DUPLICATE_OF = re.compile(r"duplicate of\s*:\s*([\w.-]+)")


@dataclass(frozen=True)
class _Session:
    """The subject of a call: a grant, a region, and an account or none."""

    tokens: TokenSource
    region: str | None
    profile_id: str | None = None


class _Reading:
    """A read of metrics under way: the requests still open, and the batches collected."""

    def __init__(self, outstanding: Sequence[ReportRequest]) -> None:
        names = {product.name for product in PRODUCTS}
        self.waiting = {request.report_id: request for request in outstanding if request.ad_product in names}
        self.known = frozenset(self.waiting)
        self.batches: list[MetricsBatch] = []

    @property
    def got_something(self) -> bool:
        """Whether there is a new batch or a new request."""
        return bool(self.batches) or not self.waiting.keys() <= self.known

    def waiting_for(self, product: Product) -> list[ReportRequest]:
        """The open requests of a product, the newest first."""
        mine = (request for request in self.waiting.values() if request.ad_product == product.name)
        return sorted(mine, key=lambda request: request.requested_at, reverse=True)

    def give_up(self, product: Product) -> None:
        """Forget the open requests of a product."""
        for request in self.waiting_for(product):
            del self.waiting[request.report_id]

    def has(self, product: Product, window: DateWindow) -> bool:
        """Whether one batch has all days of the window."""
        return any(_covers(batch, product, window) for batch in self.batches)

    def expects(self, product: Product, window: DateWindow) -> bool:
        """Whether one request will bring all days of the window."""
        return any(_covers(request, product, window) for request in self.waiting.values())


class AmazonAds:
    """Amazon Ads, for any grant."""

    platform: ClassVar[PlatformName] = PLATFORM

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker, now: Callable[[], datetime]) -> None:
        self._app, self._http, self._now = app, http, now
        self._api = Caller(PLATFORM, http, read.error_of, breaker)
        self._reports = Caller(PLATFORM, http, read.report_error_of, breaker)
        self._login = Caller(PLATFORM, http, read.login_error_of, breaker, is_login=True)
        self._hosts = {region: f"{app.base_url}/{region}" for region in HOSTS} if app.base_url else HOSTS
        self._token_url = (app.base_url or LOGIN_HOST) + TOKEN_PATH

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def list_accounts(self, tokens: TokenSource) -> tuple[AdAccount, ...]:
        """List the grant's profiles in all three regions; each host knows only its own.

        A region that refuses the grant is left out if another one accepts it. A profile has no status: a closed one is
        no longer listed.
        """
        accounts: dict[str, AdAccount] = {}
        refusals: list[PlatformError] = []
        for region in HOSTS:
            try:
                reply = self._call(self._api, _Session(tokens, region), "GET", PROFILES_PATH, params=PROFILES_QUERY)
            except (TokenRejected, AccountInaccessible) as refusal:
                refusals.append(refusal)
                continue
            for row in read.rows(reply.body):
                account = read.account_of(row, region)
                accounts.setdefault(account.external_id, account)
        if len(refusals) == len(HOSTS):
            raise refusals[0]
        return tuple(accounts.values())

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, changed_since: datetime | None = None
    ) -> CampaignListing:
        """List all campaigns of the three products; Amazon has no filter by time, so `changed_since` has no effect.

        A product that is not enabled for the account has no campaigns.
        """
        session = _Session(tokens, account.region, account.external_id)
        campaigns: dict[str, Campaign] = {}
        refusals: list[ProductNotEnabled] = []
        for product in PRODUCTS:
            pages = self._pages_by_token(session, product) if product.media else self._pages_by_offset(session, product)
            try:
                for page in pages:
                    for row in page:
                        campaign = read.campaign_of(row, product, account.currency)
                        campaigns[campaign.external_id] = campaign
            except ProductNotEnabled as refusal:
                refusals.append(refusal)
        if len(refusals) == len(PRODUCTS):
            raise refusals[0]
        # A product that is refused today may have been enabled yesterday: its campaigns still exist.
        return CampaignListing(campaigns=tuple(campaigns.values()), complete=not refusals)

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, outstanding: Sequence[ReportRequest] = ()
    ) -> MetricsReading:
        """Collect the reports that are ready, and request the days that no report has or will have.

        A 'slow down' ends the reading and keeps what was collected; a later run reads the rest. Throttled is raised
        only if nothing was collected.
        """
        session = _Session(tokens, account.region, account.external_id)
        reading = _Reading(outstanding)
        refusals: dict[str, ProductNotEnabled] = {}
        try:
            for product in PRODUCTS:
                try:
                    self._collect(session, product, account.currency, reading)
                    self._ask(session, product, window, reading)
                except ProductNotEnabled as refusal:
                    refusals[product.name] = refusal
                    reading.give_up(product)
        except Throttled:
            if not reading.got_something:
                raise
        if len(refusals) == len(PRODUCTS) and not reading.got_something:
            raise next(iter(refusals.values()))
        return MetricsReading(
            batches=tuple(reading.batches),
            outstanding=tuple(reading.waiting.values()),
            not_enabled=tuple(refusals),
        )

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Renew the access token, which lives for an hour; the refresh token may change."""
        if tokens.refresh_token is None:
            raise ReconnectRequired(PLATFORM, "gave this grant no refresh token: connect the account again")
        form = {
            "grant_type": "refresh_token",
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret.get_secret_value(),
            "refresh_token": tokens.refresh_token.get_secret_value(),
        }
        body = self._login.send(self._http.build_request("POST", self._token_url, data=form)).body
        seconds: int = read.field(body, "expires_in", int)
        if not 0 < seconds <= LONGEST_LIFE_SECONDS:
            raise read.invalid("expires_in")
        refresh_token = read.optional(body, "refresh_token", str)
        return GrantTokens(
            access_token=SecretStr(read.text(body, "access_token")),
            refresh_token=SecretStr(refresh_token) if refresh_token else tokens.refresh_token,
            expires_in=timedelta(seconds=seconds),
        )

    # -- calls --------------------------------------------------------------------------------------------------------

    def _call(
        self,
        caller: Caller,
        session: _Session,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Reply:
        if session.region not in self._hosts:
            raise InvalidRequest(
                PLATFORM, "is called by region, and this account has none: discover the accounts of the grant again"
            )
        url = self._hosts[session.region] + path
        content = None if body is None else orjson.dumps(body)

        def build(token: str) -> httpx.Request:
            own = {"Authorization": f"Bearer {token}", "Amazon-Advertising-API-ClientId": self._app.client_id}
            if session.profile_id:
                own["Amazon-Advertising-API-Scope"] = session.profile_id
            own.update(headers or {})
            return self._http.build_request(method, url, headers=own, params=params, content=content)

        return caller.call(session.tokens, build)

    def _pages_by_token(self, session: _Session, product: Product) -> Iterator[list[Any]]:
        headers = {"Accept": str(product.media), "Content-Type": str(product.media)}
        body: dict[str, object] = {"stateFilter": {"include": STATES}, "maxResults": PAGE_SIZE}
        body["includeExtendedDataFields"] = True
        seen: set[str] = set()
        while len(seen) < MAX_PAGES:
            reply = self._call(self._api, session, "POST", product.path, headers, body=body)
            yield read.field(reply.body, "campaigns", list)
            token = read.optional(reply.body, "nextToken", str)
            if not token:
                return
            if token in seen:
                break
            seen.add(token)
            body["nextToken"] = token
        raise InvalidReply(PLATFORM, "repeats the pages of a listing")

    def _pages_by_offset(self, session: _Session, product: Product) -> Iterator[list[Any]]:
        before: list[Any] = []
        for page in range(MAX_PAGES):
            params = {"stateFilter": ",".join(STATES).lower(), "count": str(PAGE_SIZE)}
            params["startIndex"] = str(page * PAGE_SIZE)
            rows = read.rows(self._call(self._api, session, "GET", product.path, params=params).body)
            if rows and rows == before:
                break
            yield rows
            if len(rows) < PAGE_SIZE:
                return
            before = rows
        raise InvalidReply(PLATFORM, "repeats the pages of a listing")

    # -- reports ------------------------------------------------------------------------------------------------------

    def _collect(self, session: _Session, product: Product, currency: str, reading: _Reading) -> None:
        """Collect the reports of a product that are ready, and forget those that will not come."""
        position = len(reading.batches)
        for request in reading.waiting_for(product):
            if not reading.has(product, request.window):
                path = f"{REPORTS_PATH}/{quote(request.report_id, safe='')}"
                reply = self._call(self._reports, session, "GET", path)
                status = "UNKNOWN" if reply.status == 404 else read.text(reply.body, "status")
                if status == "COMPLETED":
                    content = self._download(read.text(reply.body, "url"))
                    rows = read.metrics_of(content, request.window, product, currency)
                    batch = MetricsBatch(
                        window=request.window, rows=rows, ad_product=product.name, requested_at=request.requested_at
                    )
                    # The newest came first, but older figures must be stored before newer ones.
                    reading.batches.insert(position, batch)
                elif status not in ("UNKNOWN", "FAILED") and self._now() - request.requested_at <= REPORT_PATIENCE:
                    continue
            del reading.waiting[request.report_id]

    def _ask(self, session: _Session, product: Product, window: DateWindow, reading: _Reading) -> None:
        """Request each part of the window that no report has or will have."""
        for part in _report_windows(window, product, self._now()):
            if not reading.has(product, part) and not reading.expects(product, part):
                report_id = self._request_report(session, product, part)
                reading.waiting[report_id] = ReportRequest(
                    report_id=report_id, ad_product=product.name, window=part, requested_at=self._now()
                )

    def _request_report(self, session: _Session, product: Product, window: DateWindow) -> str:
        """Request a report and return its id; if the same request is already under way, return its id."""
        since, until = window.since.isoformat(), window.until.isoformat()
        columns = ("date", "campaignId", "impressions", "clicks", "cost", product.conversions, product.conversion_value)
        body = {
            "name": f"Sivera {product.report_type} {since} to {until}",
            "startDate": since,
            "endDate": until,
            "configuration": {
                "adProduct": product.name,
                "groupBy": ["campaign"],
                "columns": columns,
                "reportTypeId": product.report_type,
                "timeUnit": "DAILY",
                "format": "GZIP_JSON",
            },
        }
        reply = self._call(self._reports, session, "POST", REPORTS_PATH, {"Content-Type": REPORT_MEDIA}, body=body)
        if reply.status != 425:
            return read.text(reply.body, "reportId")
        if found := DUPLICATE_OF.search(read.detail(reply.body)):
            return found[1]
        raise InvalidReply(PLATFORM, "refuses a report as a duplicate, but does not name the other report", "425")

    def _download(self, url: str) -> bytes:
        """Download a report from its signed URL, without our headers: S3 refuses a second kind of authorisation."""
        try:
            request = self._http.build_request("GET", url)
        except httpx.InvalidURL:
            raise read.invalid("url") from None
        status, _, content = self._reports.send_raw(request)
        if status != 200:
            raise Unavailable(PLATFORM, "did not deliver a report that is ready", str(status))
        return content


def _covers(each: MetricsBatch | ReportRequest, product: Product, window: DateWindow) -> bool:
    own = each.window
    return each.ad_product == product.name and own.since <= window.since and window.until <= own.until


def _report_windows(window: DateWindow, product: Product, now: datetime) -> Iterator[DateWindow]:
    """Cut a window into parts of one report each, without the days that Amazon no longer keeps."""
    # One day less than Amazon keeps: the account's date can be ahead of UTC.
    since = max(window.since, now.astimezone(UTC).date() - timedelta(days=product.days_kept - 1))
    while since <= window.until:
        until = min(window.until, since + timedelta(days=MAX_REPORT_DAYS - 1))
        yield DateWindow(since=since, until=until)
        since = until + timedelta(days=1)
