"""TikTok Ads: API for Business v1.3.

Every reply is HTTP 200 with the verdict in `code`; parameters that are lists or objects are JSON text. Facts are from
the official SDK (`tiktok-business-api-sdk-official` 1.1.3 and its `yml_files`) unless a line says otherwise.
`tiktok_json` explains replies and codes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

import httpx
from pydantic import SecretStr

from sivera.breaker import Breaker
from sivera.errors import InvalidReply
from sivera.platforms.base import LONGEST_LIFE_SECONDS, MAX_PAGES, AppCredentials, TokenSource
from sivera.platforms.calling import Caller, Reply
from sivera.platforms.tiktok_json import (
    CALL_ERRORS,
    GRANT_ERRORS,
    VALUE_METRIC,
    Record,
    account_of,
    campaign_and_day,
    campaign_of,
    error_of,
    metrics_of,
)
from sivera.values import (
    AdAccount,
    CampaignListing,
    DailyMetrics,
    DateWindow,
    GrantTokens,
    MetricsBatch,
    MetricsReading,
    PlatformName,
    ReportRequest,
)

LIVE_HOST = "https://business-api.tiktok.com"
BASE_PATH = "/open_api/v1.3"
GRANTED_ACCOUNTS_PATH = "/oauth2/advertiser/get/"
ACCOUNTS_PATH = "/advertiser/info/"
CAMPAIGNS_PATH = "/campaign/get/"
REPORT_PATH = "/report/integrated/get/"
REFRESH_PATH = "/tt_user/oauth2/refresh_token/"

ACCOUNTS_PER_CALL = 100
PAGE_SIZE = 1000
DAYS_PER_REPORT = 30
REFRESHED_TOKEN_SECONDS = 86_400
"""The lifetime of a refreshed access token if the answer does not name it."""

ACCOUNT_FIELDS = json.dumps(["advertiser_id", "name", "currency", "timezone", "display_timezone", "status"])
CAMPAIGN_FIELDS = json.dumps(
    [
        "campaign_id",
        "campaign_name",
        "objective_type",
        "budget",
        "budget_mode",
        "operation_status",
        "secondary_status",
        "modify_time",
    ]
)
DELETED_CAMPAIGNS_TOO = json.dumps({"secondary_status": "CAMPAIGN_STATUS_ALL"})
REPORT = {
    "service_type": "AUCTION",
    "report_type": "BASIC",
    "data_level": "AUCTION_CAMPAIGN",
    "dimensions": json.dumps(["campaign_id", "stat_time_day"]),
    "metrics": json.dumps(["spend", "impressions", "clicks", "conversion", VALUE_METRIC]),
    "filtering": json.dumps(
        [{"field_name": "campaign_status", "filter_type": "IN", "filter_value": json.dumps(["STATUS_ALL"])}]
    ),
}
NO_CAMPAIGN = "0"
"""The campaign id of rows without a campaign."""


class TikTokAds:
    """TikTok Ads, for any grant."""

    platform: ClassVar[PlatformName] = PlatformName.TIKTOK

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker, now: Callable[[], datetime]) -> None:
        self._app, self._http, self._now = app, http, now
        self._base = (app.base_url or LIVE_HOST).rstrip("/") + BASE_PATH
        self._api = Caller(self.platform, http, partial(error_of, CALL_ERRORS), breaker)
        self._oauth = Caller(self.platform, http, partial(error_of, GRANT_ERRORS), breaker, is_login=True)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def list_accounts(self, tokens: TokenSource) -> tuple[AdAccount, ...]:
        """List the ad accounts of the grant; closed ones are marked.

        Raises:
            InvalidReply: Also if TikTok leaves out an account of the grant.
        """
        granted = _data(self._api.call(tokens, self._granted_accounts))
        ids = list(dict.fromkeys(record.identifier("advertiser_id") for record in granted.records("list")))
        accounts: dict[str, AdAccount] = {}
        for start in range(0, len(ids), ACCOUNTS_PER_CALL):
            chunk = json.dumps(ids[start : start + ACCOUNTS_PER_CALL])
            data = self._get(tokens, ACCOUNTS_PATH, {"advertiser_ids": chunk, "fields": ACCOUNT_FIELDS})
            accounts.update((account.external_id, account) for account in map(account_of, data.records("list")))
        if missing := [advertiser_id for advertiser_id in ids if advertiser_id not in accounts]:
            raise InvalidReply(self.platform, f"left out {len(missing)} of {len(ids)} accounts")
        return tuple(accounts[advertiser_id] for advertiser_id in ids)

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, changed_since: datetime | None = None
    ) -> CampaignListing:
        """List all campaigns of the account, deleted ones too; TikTok has no filter by time of change.

        The listing is complete if it has as many campaigns as TikTok counts. If a campaign vanishes between two pages,
        the later ones move up, and one of them is on neither page.
        """
        params = {
            "advertiser_id": account.external_id,
            "fields": CAMPAIGN_FIELDS,
            "filtering": DELETED_CAMPAIGNS_TOO,
        }
        records, complete = self._pages(tokens, CAMPAIGNS_PATH, params, lambda record: record.identifier("campaign_id"))
        campaigns = tuple(campaign_of(record, account.currency) for record in records)
        return CampaignListing(campaigns=campaigns, complete=complete)

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, outstanding: Sequence[ReportRequest] = ()
    ) -> MetricsReading:
        """Read the daily metrics of the window, thirty days in each report.

        Raises:
            InvalidReply: Also if a report has fewer rows than TikTok counts: a missing day would be read as zero.
        """
        rows: list[DailyMetrics] = []
        for span in _spans(window):
            params = {
                **REPORT,
                "advertiser_id": account.external_id,
                "start_date": span.since.isoformat(),
                "end_date": span.until.isoformat(),
            }
            records, complete = self._pages(tokens, REPORT_PATH, params, campaign_and_day)
            if not complete:
                raise InvalidReply(self.platform, "sent fewer rows of a report than it counts")
            read = (metrics_of(record, span, account.currency) for record in records)
            rows.extend(row for row in read if row.campaign_id != NO_CAMPAIGN)
        return MetricsReading(batches=(MetricsBatch(window=window, rows=tuple(rows)),))

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Refresh a grant with a refresh token; any other has a token that does not expire, so prove that it works."""
        if tokens.refresh_token is None:
            _data(self._oauth.send(self._granted_accounts(tokens.access_token.get_secret_value())))
            return tokens
        body = {
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret.get_secret_value(),
            "grant_type": "refresh_token",
            "refresh_token": tokens.refresh_token.get_secret_value(),
        }
        data = _data(self._oauth.send(self._http.build_request("POST", self._base + REFRESH_PATH, json=body)))
        seconds = data.integer("expires_in") if data.has("expires_in") else REFRESHED_TOKEN_SECONDS
        if seconds > LONGEST_LIFE_SECONDS:
            raise InvalidReply(self.platform, "sent an expires_in that is too long for a token")
        rotated = SecretStr(data.text("refresh_token")) if data.has("refresh_token") else tokens.refresh_token
        return GrantTokens(
            access_token=SecretStr(data.text("access_token")),
            refresh_token=rotated,
            expires_in=timedelta(seconds=seconds),
        )

    def _granted_accounts(self, token: str) -> httpx.Request:
        params = {"app_id": self._app.client_id, "secret": self._app.client_secret.get_secret_value()}
        return self._request(GRANTED_ACCOUNTS_PATH, params, token)

    def _request(self, path: str, params: Mapping[str, str | int], token: str) -> httpx.Request:
        return self._http.build_request("GET", self._base + path, params=params, headers={"Access-Token": token})

    def _get(self, tokens: TokenSource, path: str, params: Mapping[str, str | int]) -> Record:
        return _data(self._api.call(tokens, partial(self._request, path, params)))

    def _pages(
        self, tokens: TokenSource, path: str, params: Mapping[str, str], identity: Callable[[Record], str]
    ) -> tuple[Sequence[Record], bool]:
        """Read all pages; return each record once, and whether there are as many as TikTok counts."""
        found: dict[str, Record] = {}
        for page in range(1, MAX_PAGES + 1):
            data = self._get(tokens, path, {**params, "page": page, "page_size": PAGE_SIZE})
            info = data.record("page_info")
            if info.integer("page") != page:
                raise InvalidReply(self.platform, f"sent another page than page {page}")
            known = len(found)
            found.update((identity(record), record) for record in data.records("list"))
            if page >= info.integer("total_page"):
                return list(found.values()), len(found) >= info.integer("total_number")
            if len(found) == known:
                raise InvalidReply(self.platform, f"sent nothing new on page {page}")
        raise InvalidReply(self.platform, f"has more than {MAX_PAGES} pages")


def _data(reply: Reply) -> Record:
    return Record(reply.body).record("data")


def _spans(window: DateWindow) -> Iterator[DateWindow]:
    """Cut a window into parts that one report may cover."""
    since = window.since
    while since <= window.until:
        until = min(window.until, since + timedelta(days=DAYS_PER_REPORT - 1))
        yield DateWindow(since=since, until=until)
        since = until + timedelta(days=1)
