"""Amazon Ads: a profile's Sponsored Products, Sponsored Brands and Sponsored Display.

Each product has its own API. Metrics come as reports: one run requests them, a later run collects them.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from sivera.breaker import Breaker, Subject
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    PlatformError,
    ReconnectRequired,
    Throttled,
    ThrottleScope,
    TokenRejected,
)
from sivera.platforms import amazon_errors as errors
from sivera.platforms import amazon_reports as reports
from sivera.platforms.amazon_json import PLATFORM, PRODUCTS, Product, account_of, campaign_of
from sivera.platforms.amazon_login import AmazonLogin
from sivera.platforms.base import AppCredentials, PlatformClient, ReportLost, TokenSource
from sivera.platforms.calling import Caller, Reply
from sivera.platforms.oauth import token_error_of
from sivera.platforms.parts import all_rows, batches, window_of
from sivera.platforms.rows import Record, campaigns_of, list_of, read_rows, unread
from sivera.values import (
    AccountListing,
    AdAccount,
    CampaignListing,
    DateWindow,
    MetricsReading,
    Period,
    PlatformName,
    ReportRequest,
)

HOSTS = {
    "na": "https://advertising-api.amazon.com",
    "eu": "https://advertising-api-eu.amazon.com",
    "fe": "https://advertising-api-fe.amazon.com",
}
PROFILES_PATH = "/v2/profiles"
PROFILES_QUERY = {"profileTypeFilter": "seller,vendor"}
"""Without `agency`, which is for the DSP and has no sponsored campaigns."""
REPORTS_PATH = "/reporting/reports"
REPORT_MEDIA = "application/vnd.createasyncreportrequest.v3+json"

PAGE_SIZE = 100
DAYS_PER_REPORT = 31
STATES = ("ENABLED", "PAUSED", "ARCHIVED")
"""All states: Amazon deletes nothing, it only archives."""
REPORT_ID = re.compile(r"[!-~]{1,500}")
"""Fit to be stored and sent again; Amazon does not document more."""
DUPLICATE_OF = re.compile(r"duplicate of\s*:\s*([\w.-]{1,500})", re.ASCII)
OTHER_REPORT_SECONDS = 1800.0
"""The wait while Amazon prepares another report that it mistakes for ours."""
PRODUCT = {product.name: product for product in PRODUCTS}


@dataclass(frozen=True)
class _Session:
    """The grant, region and account, if any, that a call is made for."""

    tokens: TokenSource
    region: str | None
    profile_id: str = ""

    def subject(self, endpoint: str) -> Subject:
        """Amazon limits each kind of call by region."""
        return Subject(endpoint=f"{self.region} {endpoint}", account=self.profile_id)


class AmazonAds(PlatformClient):
    """Amazon Ads, for any grant."""

    platform: ClassVar[PlatformName] = PLATFORM
    products: ClassVar[tuple[str, ...]] = tuple(PRODUCT)
    login: AmazonLogin

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker) -> None:
        super().__init__(app, http, breaker)
        self._api = Caller(PLATFORM, http, errors.error_of, breaker)
        self._creation = Caller(PLATFORM, http, partial(errors.report_error_of, 425), breaker)
        self._polling = Caller(PLATFORM, http, partial(errors.report_error_of, 404), breaker)
        login_error = partial(token_error_of, PLATFORM, errors.OAUTH_VERDICTS)
        self.login = AmazonLogin(app, Caller(PLATFORM, http, login_error, breaker, is_login=True))

    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the grant's profiles in all three regions; each host knows only its own.

        A region usually refuses a grant that has no profiles there. A region that fails in another way is left out by
        name. Profiles have no status: Amazon stops listing a closed one.
        """
        found: list[Any] = []
        refusals: dict[str, PlatformError] = {}
        failures: dict[str, PlatformError] = {}
        for region in HOSTS:
            try:
                reply = self._call(self._api, _Session(tokens, region), "GET", PROFILES_PATH, params=PROFILES_QUERY)
                found += [{"region": region, "row": row} for row in list_of(PLATFORM, reply.body)]
            except ReconnectRequired:
                raise
            except (TokenRejected, AccountInaccessible) as refusal:
                refusals[region] = refusal
            except PlatformError as failure:
                failures[region] = failure
        if len(refusals) + len(failures) == len(HOSTS):
            raise [*failures.values(), *refusals.values()][0]
        rows, odd = read_rows(PLATFORM, found, account_of, "row.profileId")
        accounts = {account.external_id: account for account in rows}
        missing = (unread(f"region {region}", failure) for region, failure in failures.items())
        return AccountListing(
            accounts=tuple(accounts.values()), left_out=(*odd, *missing), refused_regions=tuple(refusals)
        )

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List all campaigns of a product, because Amazon cannot filter by time of change.

        Raises:
            ProductNotEnabled: The account does not have the product.
        """
        session = _Session(tokens, account.region, account.external_id)
        kind = PRODUCT[product]
        counts = [0]
        pages = self._pages_by_token(session, kind, counts) if kind.media else self._pages_by_offset(session, kind)
        rows = all_rows(PLATFORM, pages, "campaignId")
        read = partial(campaign_of, kind, account.currency)
        return campaigns_of(PLATFORM, rows, read, "campaignId", complete=len(rows) >= max(counts))

    def report_windows(self, product: str, window: DateWindow, today: date) -> Sequence[DateWindow]:
        """Split the window into parts that fit one report, without the days that Amazon no longer keeps."""
        # A day less than Amazon keeps, because the account's date can be ahead of ours.
        first = today - timedelta(days=PRODUCT[product].days_kept - 1)
        days = [day for day in window.days if day >= first]
        return [window_of(part) for part in batches(days, DAYS_PER_REPORT)]

    def request_report(self, tokens: TokenSource, account: AdAccount, product: str, window: DateWindow) -> str:
        """Request a report and return its id, or the id of the same report if it is already being prepared.

        Raises:
            Throttled: Also if Amazon mistakes the report for another one that it is preparing.
        """
        session, kind = _Session(tokens, account.region, account.external_id), PRODUCT[product]
        body = reports.body_of(kind, window)
        headers, endpoint = {"Content-Type": REPORT_MEDIA}, f"requests for {kind.report_type}"
        reply = self._call(self._creation, session, "POST", REPORTS_PATH, headers, body=body, endpoint=endpoint)
        if reply.status != 425:
            answer = Record(PLATFORM, reply.body)
            if not REPORT_ID.fullmatch(report_id := answer.text("reportId")):
                raise answer.invalid("reportId")
            return report_id
        named = DUPLICATE_OF.search(errors.detail(reply.body))
        if named is None:
            raise InvalidReply(PLATFORM, "refuses a report as a duplicate, but does not name the other one", "425")
        other = self._poll(session, named[1])
        if other.status != 404 and reports.answers(Record(PLATFORM, other.body), body):
            return named[1]
        message = f"mistakes a report of {product} for another one that it is preparing"
        raise Throttled(PLATFORM, message, "425", OTHER_REPORT_SECONDS, ThrottleScope.ACCOUNT_ENDPOINT)

    def collect_report(self, tokens: TokenSource, account: AdAccount, request: ReportRequest) -> MetricsReading | None:
        """Return what a report holds; None while Amazon prepares it.

        Raises:
            ReportLost: The report failed, or Amazon does not know it.
            Unavailable: Also if Amazon does not deliver a report that is ready.
        """
        product = PRODUCT.get(request.ad_product)
        if product is None:
            raise ReportLost(PLATFORM, "prepared a report of an ad product that we no longer read")
        session = _Session(tokens, account.region, account.external_id)
        reply = self._poll(session, request.report_id)
        if reply.status == 404:
            raise ReportLost(PLATFORM, "no longer knows a report", "404")
        report = Record(PLATFORM, reply.body)
        match report.text("status"):
            case "PENDING" | "PROCESSING":
                return None
            case "FAILED":
                raise ReportLost(PLATFORM, "could not prepare a report", "FAILED")
            case "COMPLETED":
                content = self._download(session, report.text("url"))
                return reports.reading_of(content, request.window, product, account.currency)
            case _:
                raise report.invalid("status")

    def _call(
        self,
        caller: Caller,
        session: _Session,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: object = None,
        endpoint: str = "",
    ) -> Reply:
        """Make a call; `endpoint` names its kind if the path does not."""
        if session.region not in HOSTS:
            raise InvalidRequest(
                PLATFORM, "needs a region that this account lacks: discover its grant's accounts again"
            )
        url = self._app.host(HOSTS[session.region], session.region) + path

        def build(token: str) -> httpx.Request:
            own = {"Authorization": f"Bearer {token}", "Amazon-Advertising-API-ClientId": self._app.client_id}
            if session.profile_id:
                own["Amazon-Advertising-API-Scope"] = session.profile_id
            own.update(headers or {})
            return self._http.build_request(method, url, headers=own, params=params, json=body)

        return caller.call(session.tokens, build, session.subject(endpoint or path))

    def _pages_by_token(self, session: _Session, product: Product, counts: list[int]) -> Iterator[list[Any]]:
        """Yield the rows of each page, and append Amazon's total count to `counts`."""
        headers = {"Accept": str(product.media), "Content-Type": str(product.media)}
        body: dict[str, object] = {"stateFilter": {"include": STATES}, "maxResults": PAGE_SIZE}
        body["includeExtendedDataFields"] = True
        while True:
            page = Record(PLATFORM, self._call(self._api, session, "POST", product.path, headers, body=body).body)
            if isinstance(total := page.get("totalResults"), int):
                counts.append(total)
            yield page.rows("campaigns")
            body["nextToken"] = page.optional("nextToken")
            if not body["nextToken"]:
                return

    def _pages_by_offset(self, session: _Session, product: Product) -> Iterator[list[Any]]:
        for first in itertools.count(0, PAGE_SIZE):
            params = {"stateFilter": ",".join(STATES).lower(), "count": str(PAGE_SIZE), "startIndex": str(first)}
            rows = list_of(PLATFORM, self._call(self._api, session, "GET", product.path, params=params).body)
            yield rows
            if len(rows) < PAGE_SIZE:
                return

    def _poll(self, session: _Session, report_id: str) -> Reply:
        path = f"{REPORTS_PATH}/{quote(report_id, safe='')}"
        return self._call(self._polling, session, "GET", path, endpoint="report status")

    def _download(self, session: _Session, url: str) -> bytes:
        """Download a report from its signed URL, without our headers: S3 refuses a second authorisation."""
        subject = session.subject("report download")
        self.breaker.check(PLATFORM, subject)
        try:
            status, headers, content = self._polling.send_raw(self._http.build_request("GET", url))
        # httpx notices some bad hosts and paths only when it connects.
        except (httpx.InvalidURL, UnicodeError):
            raise InvalidReply(PLATFORM, "sent a report with an invalid url") from None
        if (error := errors.storage_error_of(status, headers)) is None:
            return content
        if isinstance(error, Throttled):
            self.breaker.open(PLATFORM, error.retry_after, error.scope, subject, error.message)
        raise error
