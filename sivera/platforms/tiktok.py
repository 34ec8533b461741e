"""TikTok Ads: API for Business v1.3.

Every reply is HTTP 200 with the verdict in `code`; parameters that are lists or objects are JSON text. Facts are from
the official SDK (`tiktok-business-api-sdk-official` 1.1.3 and its `yml_files`) unless a line says otherwise.
`tiktok_json` explains replies and codes.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

import httpx
from pydantic import SecretStr

from sivera.breaker import Breaker, Subject
from sivera.errors import AccountInaccessible, InvalidReply, InvalidRequest
from sivera.platforms.base import LONGEST_LIFE_SECONDS, AppCredentials, TokenSource
from sivera.platforms.calling import Caller
from sivera.platforms.rows import read_rows, totals_of, unread
from sivera.platforms.tiktok_errors import CALL_ERRORS, GRANT_ERRORS, error_of
from sivera.platforms.tiktok_json import (
    COUNT_METRIC,
    VALUE_METRIC,
    Record,
    account_of,
    campaign_and_day,
    campaign_id_of,
    campaign_of,
    day_of,
    for_url,
    key_of,
    metrics_of,
    total_of,
)
from sivera.platforms.tiktok_login import TikTokLogin
from sivera.platforms.tiktok_pages import Api, ReportCut, data_of, filter_of
from sivera.values import (
    AccountListing,
    AdAccount,
    CampaignListing,
    DailyMetrics,
    DateWindow,
    GrantTokens,
    MetricsReading,
    OddRow,
    Period,
    PlatformName,
    TotalsReading,
)

LIVE_HOST = "https://business-api.tiktok.com"
BASE_PATH = "/open_api/v1.3"
GRANTED_ACCOUNTS_PATH = "/oauth2/advertiser/get/"
ACCOUNTS_PATH = "/advertiser/info/"
CAMPAIGNS_PATH = "/campaign/get/"
REPORT_PATH = "/report/integrated/get/"
REFRESH_PATH = "/tt_user/oauth2/refresh_token/"
REVOKE_PATH = "/oauth2/revoke_token/"
REVOKE_USER_PATH = "/tt_user/oauth2/revoke/"  # of a grant with a refresh token

ACCOUNTS_PER_CALL = 100
CAMPAIGNS_PER_REPORT = 100
"""The most ids that a report's filter takes."""
DAYS_PER_REPORT = 30
ONE_BAD_ID = frozenset({"40001", "40002", "40300"})
"""The codes with which `advertiser/info` refuses a call because of a single one of its ids (seen live)."""
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
        "create_time",
    ]
)
DELETED_CAMPAIGNS_TOO = json.dumps({"secondary_status": "CAMPAIGN_STATUS_ALL"})
CAMPAIGN_ID_ONLY = json.dumps(["campaign_id"])
REPORT = {
    "service_type": "AUCTION",
    "report_type": "BASIC",
    "data_level": "AUCTION_CAMPAIGN",
    "dimensions": json.dumps(["campaign_id", "stat_time_day"]),
    "metrics": json.dumps(["spend", "impressions", "clicks", COUNT_METRIC, VALUE_METRIC]),
}
TOTALS = {
    "service_type": "AUCTION",
    "report_type": "BASIC",
    "data_level": "AUCTION_ADVERTISER",
    "dimensions": json.dumps(["advertiser_id", "stat_time_day"]),
    "metrics": json.dumps(["spend"]),
}
NO_CAMPAIGN = "0 "
"""The beginning of the identity of a row without a campaign."""
NOT_DESCRIBED = "is granted, but TikTok does not describe it"
Refusal = AccountInaccessible | InvalidRequest


class TikTokAds:
    """TikTok Ads, for any grant."""

    platform: ClassVar[PlatformName] = PlatformName.TIKTOK
    products: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker) -> None:
        self._app, self._http = app, http
        host = (app.base_url or LIVE_HOST).rstrip("/")
        base = host + BASE_PATH
        self._api = Api(base, Caller(self.platform, http, partial(error_of, CALL_ERRORS), breaker))
        self._oauth = Caller(self.platform, http, partial(error_of, GRANT_ERRORS), breaker, is_login=True)
        self.login = TikTokLogin(app, self._oauth, host, base)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the ad accounts of the grant; closed ones are marked, and those that TikTok does not describe left out.

        Raises:
            PlatformError: Also if TikTok refuses every account of the grant.
        """
        about = Subject(endpoint=GRANTED_ACCOUNTS_PATH)
        granted = data_of(self._api.caller.call(tokens, self._granted_accounts, about))
        found, odd = read_rows(self.platform, granted.rows("list"), partial(for_url, _advertiser_id), _advertiser_id)
        ids, rows, refused = list(dict.fromkeys(found)), list[Any](), dict[str, Refusal]()
        for start in range(0, len(ids), ACCOUNTS_PER_CALL):
            rows += self._described(tokens, ids[start : start + ACCOUNTS_PER_CALL], refused)
        if ids and len(refused) == len(ids):
            raise refused[ids[0]]
        read, odd_rows = read_rows(self.platform, rows, account_of, _advertiser_id)
        accounts = {account.external_id: account for account in read}
        named = {row.id: row for row in odd_rows} | {id_: unread(id_, error) for id_, error in refused.items()}
        missing = [named.get(id_) or OddRow(id=id_, why=NOT_DESCRIBED) for id_ in ids if id_ not in accounts]
        return AccountListing(
            accounts=tuple(accounts[id_] for id_ in ids if id_ in accounts), left_out=(*odd, *missing)
        )

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List all campaigns of the account, deleted ones too; TikTok has no filter by time of change.

        The listing is complete if it has as many campaigns as TikTok counts. If a campaign vanishes between two pages,
        the later ones move up, and one of them is on neither page. Campaigns of Smart+, GMV Max, Promote and TopView
        are not in it.
        """
        rows, all_arrived = self._campaigns(tokens, account, CAMPAIGN_FIELDS)
        campaigns, odd = read_rows(self.platform, rows.values(), partial(campaign_of, account.currency), campaign_id_of)
        return CampaignListing(campaigns=tuple(campaigns), complete=all_arrived and not odd, left_out=odd)

    def read_metrics(self, tokens: TokenSource, account: AdAccount, window: DateWindow) -> Iterator[MetricsReading]:
        """Read the daily metrics of the window, thirty days in each report.

        Raises:
            InvalidReply: Also if a report has fewer rows than TikTok counts: a missing day would be read as zero.
        """
        for span in _spans(window):
            rows, cut, in_parts = self._daily(tokens, account, span)
            of_campaigns = [row for identity, row in rows.items() if not identity.startswith(NO_CAMPAIGN)]
            read = partial(metrics_of, span, account.currency)
            found, odd = read_rows(self.platform, of_campaigns, read, campaign_and_day)
            told = tuple(filter(_says_something, found))
            yield MetricsReading(window=span, rows=told, left_out=(*odd, *cut), without_deleted=in_parts)

    def read_totals(self, tokens: TokenSource, account: AdAccount, window: DateWindow) -> TotalsReading:
        """Read what the account spent on each day; ReportCut if it has too many ads for its total."""
        rows: list[Any] = []
        for span in _spans(window):
            rows += self._report(tokens, account, span, TOTALS, day_of).values()
        return totals_of(self.platform, rows, partial(total_of, window, account.currency), day_of)

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Refresh a grant with a refresh token; any other has a token that does not expire, so prove that it works."""
        if tokens.refresh_token is None:
            data_of(self._oauth.send(self._granted_accounts(tokens.access_token.get_secret_value())))
            return tokens
        body = {
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret.get_secret_value(),
            "grant_type": "refresh_token",
            "refresh_token": tokens.refresh_token.get_secret_value(),
        }
        data = data_of(self._oauth.send(self._http.build_request("POST", self._api.base + REFRESH_PATH, json=body)))
        seconds = data.integer("expires_in") if data.has("expires_in") else REFRESHED_TOKEN_SECONDS
        if seconds > LONGEST_LIFE_SECONDS:
            raise InvalidReply(self.platform, "sent an expires_in that is too long for a token")
        rotated = SecretStr(data.text("refresh_token")) if data.has("refresh_token") else tokens.refresh_token
        return GrantTokens(
            access_token=SecretStr(data.text("access_token")),
            refresh_token=rotated,
            expires_in=timedelta(seconds=seconds),
        )

    def revoke(self, tokens: GrantTokens) -> None:
        """End the access token, and the refresh token if there is one."""
        path, id_, secret = REVOKE_PATH, "app_id", "secret"
        if tokens.refresh_token is not None:
            path, id_, secret = REVOKE_USER_PATH, "client_id", "client_secret"
        body = {id_: self._app.client_id, secret: self._app.client_secret.get_secret_value()}
        body["access_token"] = tokens.access_token.get_secret_value()
        self._oauth.send(self._http.build_request("POST", self._api.base + path, json=body))

    def _granted_accounts(self, token: str) -> httpx.Request:
        params = {"app_id": self._app.client_id, "secret": self._app.client_secret.get_secret_value()}
        return self._api.request(GRANTED_ACCOUNTS_PATH, params, token)

    def _described(self, tokens: TokenSource, ids: list[str], refused: dict[str, Refusal]) -> list[Any]:
        """Return TikTok's rows about these accounts. If one bad id fails the call, halve it until the id is alone."""
        params = {"advertiser_ids": json.dumps(ids), "fields": ACCOUNT_FIELDS}
        try:
            return data_of(self._api.get(tokens, ACCOUNTS_PATH, params)).rows("list")
        except (AccountInaccessible, InvalidRequest) as error:
            if error.code not in ONE_BAD_ID:
                raise
            if len(ids) == 1:
                refused[ids[0]] = error
                return []
        half = len(ids) // 2
        return self._described(tokens, ids[:half], refused) + self._described(tokens, ids[half:], refused)

    def _campaigns(self, tokens: TokenSource, account: AdAccount, fields: str) -> tuple[dict[str, Any], bool]:
        params = {"advertiser_id": account.external_id, "fields": fields, "filtering": DELETED_CAMPAIGNS_TOO}
        return self._api.pages(tokens, CAMPAIGNS_PATH, params, campaign_id_of)

    def _daily(
        self, tokens: TokenSource, account: AdAccount, span: DateWindow
    ) -> tuple[dict[str, Any], list[OddRow], bool]:
        """Return a report's rows by campaign and day, and the campaigns that have too many ads for any report.

        The last says whether it was read in parts, of the campaigns that TikTok lists: it reports on some others too.
        """
        try:
            return self._report(tokens, account, span, REPORT | filter_of(), partial(key_of, span)), [], False
        except ReportCut:
            campaigns, all_arrived = self._campaigns(tokens, account, CAMPAIGN_ID_ONLY)
        if not all_arrived:
            raise InvalidReply(self.platform, "sent fewer campaigns than it counts")
        ids, odd = read_rows(self.platform, campaigns.values(), partial(for_url, campaign_id_of), campaign_id_of)
        waiting = [ids[start : start + CAMPAIGNS_PER_REPORT] for start in range(0, len(ids), CAMPAIGNS_PER_REPORT)]
        rows: dict[str, Any] = {}
        cut = list(odd)
        while waiting:
            some = waiting.pop()
            try:
                rows |= self._report(tokens, account, span, REPORT | filter_of(some), partial(key_of, span))
            except ReportCut as error:
                if len(some) > 1:
                    waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
                    continue
                cut.append(OddRow(id=some[0], why=error.message))
                if len(cut) > len(ids) // 2:
                    raise
        return rows, cut, True

    def _report(
        self,
        tokens: TokenSource,
        account: AdAccount,
        span: DateWindow,
        report: Mapping[str, str],
        identity: Callable[[Any], str],
    ) -> dict[str, Any]:
        """Return all rows of a report by identity."""
        days = {"start_date": span.since.isoformat(), "end_date": span.until.isoformat()}
        params = {**report, **days, "advertiser_id": account.external_id}
        rows, all_arrived = self._api.pages(tokens, REPORT_PATH, params, identity)
        if not all_arrived:
            raise InvalidReply(self.platform, "sent fewer rows of a report than it counts")
        return rows


def _spans(window: DateWindow) -> Iterator[DateWindow]:
    """Cut a window into parts that one report may cover."""
    since = window.since
    while since <= window.until:
        until = min(window.until, since + timedelta(days=DAYS_PER_REPORT - 1))
        yield DateWindow(since=since, until=until)
        since = until + timedelta(days=1)


def _advertiser_id(row: Any) -> str:
    return Record(row, "row").identifier("advertiser_id")


def _says_something(row: DailyMetrics) -> bool:
    """Whether a row has a figure: live reports have rows of zeros, which mean the same as no row."""
    return any((row.impressions, row.clicks, row.spend, row.conversions, row.conversion_value))
