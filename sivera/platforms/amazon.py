"""Amazon Ads: a profile's Sponsored Products, Sponsored Brands and Sponsored Display.

One vendor with three dialects: `amazon_json` reads them, this file makes the calls. Metrics come as reports, which one
run requests and a later run collects.
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
import orjson

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
    GrantTokens,
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
"""The third type, agency, is for the DSP and has no sponsored campaigns."""
REPORTS_PATH = "/reporting/reports"
REPORT_MEDIA = "application/vnd.createasyncreportrequest.v3+json"

PAGE_SIZE = 100
DAYS_PER_REPORT = 31
STATES = ("ENABLED", "PAUSED", "ARCHIVED")
"""The states to list. Amazon deletes nothing: archived is the last state."""
REPORT_ID = re.compile(r"[!-~]{1,500}")
"""What can be stored and asked for again; no list of Amazon's says more."""
DUPLICATE_OF = re.compile(r"duplicate of\s*:\s*([\w.-]+)")
OTHER_REPORT_SECONDS = 1800.0
"""How long to wait while Amazon prepares another report, which it takes for the same."""
PRODUCT = {product.name: product for product in PRODUCTS}


@dataclass(frozen=True)
class _Session:
    """What a call is made for: a grant, a region, and an account or none."""

    tokens: TokenSource
    region: str | None
    profile_id: str = ""

    def subject(self, endpoint: str) -> Subject:
        """The subject of a call: Amazon limits each kind of call by region."""
        return Subject(endpoint=f"{self.region} {endpoint}", account=self.profile_id)


class AmazonAds(PlatformClient):
    """Amazon Ads, for any grant."""

    platform: ClassVar[PlatformName] = PLATFORM
    products: ClassVar[tuple[str, ...]] = tuple(PRODUCT)
    login: AmazonLogin

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker) -> None:
        super().__init__(app, http, breaker)
        self._api = Caller(PLATFORM, http, errors.error_of, breaker)
        self._creation = Caller(PLATFORM, http, errors.creation_error_of, breaker)
        self._polling = Caller(PLATFORM, http, errors.polling_error_of, breaker)
        login_error = partial(token_error_of, PLATFORM, errors.OAUTH_VERDICTS)
        self.login = AmazonLogin(app, Caller(PLATFORM, http, login_error, breaker, is_login=True))
        self._hosts = {region: f"{app.base_url}/{region}" for region in HOSTS} if app.base_url else HOSTS

    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the grant's profiles in all three regions; each host knows only its own.

        A region that refuses the grant has none of its profiles. One that fails for another reason is left out by name.
        A profile has no status: a closed one is no longer listed.
        """
        found: list[Any] = []
        refusals: list[PlatformError] = []
        failures: dict[str, PlatformError] = {}
        for region in HOSTS:
            try:
                reply = self._call(self._api, _Session(tokens, region), "GET", PROFILES_PATH, params=PROFILES_QUERY)
                found += [{"region": region, "row": row} for row in list_of(PLATFORM, reply.body)]
            except ReconnectRequired:
                raise
            except (TokenRejected, AccountInaccessible) as refusal:
                refusals.append(refusal)
            except PlatformError as failure:
                failures[region] = failure
        if len(refusals) + len(failures) == len(HOSTS):
            raise [*failures.values(), *refusals][0]
        rows, odd = read_rows(PLATFORM, found, account_of, "row.profileId")
        accounts = {account.external_id: account for account in rows}
        missing = (unread(f"region {region}", failure) for region, failure in failures.items())
        return AccountListing(accounts=tuple(accounts.values()), left_out=(*odd, *missing))

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List a product's campaigns, all of them whatever `changed` says; ProductNotEnabled if it is not."""
        session = _Session(tokens, account.region, account.external_id)
        kind = PRODUCT[product]
        counts = [0]
        pages = self._pages_by_token(session, kind, counts) if kind.media else self._pages_by_offset(session, kind)
        rows = all_rows(PLATFORM, pages, "campaignId")
        read = partial(campaign_of, kind, account.currency)
        return campaigns_of(PLATFORM, rows, read, "campaignId", complete=len(rows) >= max(counts))

    def report_windows(self, product: str, window: DateWindow, today: date) -> Sequence[DateWindow]:
        """Return the window as parts of one report each, without the days that Amazon no longer keeps."""
        # One day less than Amazon keeps: the account's date can be ahead of ours.
        first = today - timedelta(days=PRODUCT[product].days_kept - 1)
        days = [day for day in window.days if day >= first]
        return [window_of(part) for part in batches(days, DAYS_PER_REPORT)]

    def request_report(self, tokens: TokenSource, account: AdAccount, product: str, window: DateWindow) -> str:
        """Request a report and return its id; if the same report is already under way, its id.

        Raises:
            Throttled: Also when Amazon takes the report for the same as another one that it is preparing.
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
        raise Throttled(
            PLATFORM,
            f"takes a report of {product} for the same as another one that it is preparing",
            "425",
            OTHER_REPORT_SECONDS,
            ThrottleScope.ACCOUNT_ENDPOINT,
        )

    def collect_report(self, tokens: TokenSource, account: AdAccount, request: ReportRequest) -> MetricsReading | None:
        """Return what a report holds; None while Amazon prepares it.

        Raises:
            ReportLost: The report failed, or Amazon does not know it.
            Unavailable: Also when Amazon does not deliver a report that it calls ready.
        """
        product = PRODUCT.get(request.ad_product)
        if product is None:
            raise ReportLost(PLATFORM, "has a report of an ad product that is no longer read")
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

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Renew the access token, which lives for an hour; the refresh token may change."""
        return self.login.renew(tokens)

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
        endpoint: str = "",
    ) -> Reply:
        """Make a call; `endpoint` names its kind, where the path does not."""
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

        return caller.call(session.tokens, build, session.subject(endpoint or path))

    def _pages_by_token(self, session: _Session, product: Product, counts: list[int]) -> Iterator[list[Any]]:
        """Yield the rows of each page, and add how many Amazon counts in all to the `counts`."""
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
        """Download a report from its signed URL, without our headers: S3 refuses a second kind of authorisation."""
        subject = session.subject("report download")
        self.breaker.check(PLATFORM, subject)
        try:
            status, headers, content = self._polling.send_raw(self._http.build_request("GET", url))
        # Some hosts and paths are refused only when they are encoded, as late as in the connection.
        except (httpx.InvalidURL, UnicodeError):
            raise InvalidReply(PLATFORM, "sent a report whose url is none") from None
        if (error := errors.storage_error_of(status, headers)) is None:
            return content
        if isinstance(error, Throttled):
            self.breaker.open(PLATFORM, error.retry_after, error.scope, subject, error.message)
        raise error
