"""TikTok Ads: API for Business v1.3.

Every reply is HTTP 200 with the verdict in `code`. Parameters that are lists or objects are JSON text. The source is
the official SDK (`tiktok-business-api-sdk-official` 1.1.3 and its `yml_files`) unless a line says otherwise.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, ClassVar

import httpx

from sivera.breaker import Breaker, Subject
from sivera.errors import AccountInaccessible, InvalidReply, InvalidRequest, PlatformError, Unavailable
from sivera.platforms.base import AppCredentials, PlatformClient, TokenSource
from sivera.platforms.calling import Caller, Reply
from sivera.platforms.parts import all_rows, batches, in_halves, unread_days, window_of
from sivera.platforms.rows import Record, campaigns_of, field_of, metrics_of, read_rows, totals_of, unread
from sivera.platforms.tiktok_errors import CALL_ERRORS, GRANT_ERRORS, error_of
from sivera.platforms.tiktok_json import COUNT_METRIC, VALUE_METRIC, account_of, campaign_of, day_of, total_of
from sivera.platforms.tiktok_login import BASE_PATH, LIVE_HOST, TikTokLogin, data_of
from sivera.values import (
    AccountListing,
    AdAccount,
    CampaignListing,
    DateWindow,
    GrantTokens,
    MetricsReading,
    OddRow,
    Period,
    PlatformName,
    TotalsReading,
)

GRANTED_ACCOUNTS_PATH = "/oauth2/advertiser/get/"
ACCOUNTS_PATH = "/advertiser/info/"
CAMPAIGNS_PATH = "/campaign/get/"
REPORT_PATH = "/report/integrated/get/"

ACCOUNTS_PER_CALL = 100
CAMPAIGNS_PER_REPORT = 100
"""The most ids in a report's filter."""
DAYS_PER_REPORT = 30
ONE_BAD_ID = "40002"
"""The code for wrong parameters; `advertiser/info` sends it because of a single id (seen live)."""
PAGE_SIZE = 1000
CUT_REPORT = "X-Tt-Ads-Throttle"
"""The header of a report that lacks rows because it covers over 20,000 ads (TikTok's FAQ on reporting)."""

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
DAILY_KEY = ("dimensions.campaign_id", "dimensions.stat_time_day")
TOTALS_KEY = ("dimensions.stat_time_day",)
NO_CAMPAIGN = "0"
"""The id in a row without a campaign."""
NOT_DESCRIBED = "is granted, but TikTok does not describe it"


class ReportCut(InvalidReply):
    """The report lacks rows because it covers too many ads."""


class RowsMissing(InvalidReply):
    """The report has fewer rows than TikTok counts. A missing day would be read as zero."""


class TikTokAds(PlatformClient):
    """TikTok Ads, for any grant."""

    platform: ClassVar[PlatformName] = PlatformName.TIKTOK
    login: TikTokLogin

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker) -> None:
        super().__init__(app, http, breaker)
        self._base = app.host(LIVE_HOST) + BASE_PATH
        self._api = Caller(self.platform, http, partial(error_of, CALL_ERRORS), breaker)
        oauth = Caller(self.platform, http, partial(error_of, GRANT_ERRORS), breaker, is_login=True)
        self.login = TikTokLogin(app, oauth)

    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the grant's ad accounts; closed ones are marked, and those that TikTok does not describe are left out.

        Raises:
            PlatformError: Also if TikTok refuses every account of the grant.
        """
        about = Subject(endpoint=GRANTED_ACCOUNTS_PATH)
        granted = _rows_of(data_of(self._api.call(tokens, self._granted_accounts, about)))
        found, odd = read_rows(self.platform, granted, lambda row: row.identifier("advertiser_id"), "advertiser_id")
        ids, rows, refused = list(dict.fromkeys(found)), list[Any](), dict[str, PlatformError]()
        for some, answer in in_halves(
            batches(ids, ACCOUNTS_PER_CALL), partial(self._described, tokens), _is_one_bad_id
        ):
            if isinstance(answer, PlatformError):
                refused[some[0]] = answer
            else:
                rows += answer
        if ids and len(refused) == len(ids):
            raise refused[ids[0]]
        read, odd_rows = read_rows(self.platform, rows, account_of, "advertiser_id")
        accounts = {account.external_id: account for account in read}
        named = {row.id: row for row in odd_rows} | {id_: unread(id_, error) for id_, error in refused.items()}
        missing = [named.get(id_) or OddRow(id=id_, why=NOT_DESCRIBED) for id_ in ids if id_ not in accounts]
        return AccountListing(
            accounts=tuple(accounts[id_] for id_ in ids if id_ in accounts), left_out=(*odd, *missing)
        )

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List all campaigns of the account, including deleted ones; TikTok cannot filter by time of change.

        The listing is complete if it has as many campaigns as TikTok counts. A campaign that vanishes between two pages
        moves the later ones up, and one of them is on neither page. Campaigns of Smart+, GMV Max, Promote and TopView
        are not listed.
        """
        rows, all_arrived = self._campaigns(tokens, account, CAMPAIGN_FIELDS)
        read = partial(campaign_of, account.currency)
        return campaigns_of(self.platform, rows, read, "campaign_id", complete=all_arrived)

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, actions: Sequence[str] = ()
    ) -> Iterator[MetricsReading]:
        """Read the daily metrics of the window, thirty days in each report.

        An error in a report is raised after the others were read.
        """
        errors: list[PlatformError] = []
        for span in map(window_of, batches(window.days, DAYS_PER_REPORT)):
            try:
                reading = self._read_report(tokens, account, span)
            except (Unavailable, InvalidRequest) as error:
                errors.append(error)
                continue
            yield reading
        if errors:
            raise errors[0]

    def read_totals(self, tokens: TokenSource, account: AdAccount, window: DateWindow) -> TotalsReading:
        """Read the account's spend on each day. A report that lacks rows is halved, and a day that lacks rows left out.

        Raises:
            ReportCut, RowsMissing: Most days cannot be read.
        """
        days = batches(window.days, DAYS_PER_REPORT)
        ask = partial(self._report, tokens, account, TOTALS, TOTALS_KEY)
        rows, unread_ = unread_days(in_halves(days, ask, lambda error: isinstance(error, ReportCut | RowsMissing)))
        read = totals_of(self.platform, rows, partial(total_of, window, account.currency), *TOTALS_KEY)
        return read.model_copy(update={"left_out": (*read.left_out, *unread_)})

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Use the refresh token. A grant without one has a token that does not expire: prove that it works."""
        if tokens.refresh_token is not None:
            return self.login.refresh(tokens.refresh_token)
        data_of(self.login.oauth.send(self._granted_accounts(tokens.access_token.get_secret_value())))
        return tokens

    def revoke(self, tokens: GrantTokens) -> None:
        """End the grant's tokens."""
        self.login.revoke(tokens)

    def _granted_accounts(self, token: str) -> httpx.Request:
        return self._request(GRANTED_ACCOUNTS_PATH, self.login.keys, token)

    def _request(self, path: str, params: Mapping[str, str | int], token: str) -> httpx.Request:
        return self._http.build_request("GET", self._base + path, params=params, headers={"Access-Token": token})

    def _get(self, tokens: TokenSource, path: str, params: Mapping[str, str | int]) -> Reply:
        subject = Subject(endpoint=path, account=str(params.get("advertiser_id", "")))
        return self._api.call(tokens, partial(self._request, path, params), subject)

    def _all_rows(self, tokens: TokenSource, path: str, params: Mapping[str, str], *key: str) -> tuple[list[Any], bool]:
        """Return the rows of all pages, and whether they are as many as TikTok counts."""
        counted = 0

        def pages() -> Iterator[list[Any]]:
            nonlocal counted
            page, last = 0, 1
            while page < last:
                page += 1
                reply = self._get(tokens, path, {**params, "page": page, "page_size": PAGE_SIZE})
                if reply.headers.get(CUT_REPORT):
                    raise ReportCut(self.platform, "leaves rows out of a report that covers over 20,000 ads")
                data = data_of(reply)
                if not (data.has("page_info") or data.has("list")):
                    return  # there are no rows
                info = data.record("page_info")
                last, counted = info.count("total_page"), max(counted, info.count("total_number"))
                if info.count("page") != page:
                    raise info.invalid("page")
                yield _rows_of(data)

        rows = all_rows(self.platform, pages(), *key)
        return rows, len(rows) >= counted

    def _described(self, tokens: TokenSource, ids: Sequence[str]) -> list[Any]:
        params = {"advertiser_ids": json.dumps(ids), "fields": ACCOUNT_FIELDS}
        return _rows_of(data_of(self._get(tokens, ACCOUNTS_PATH, params)))

    def _campaigns(self, tokens: TokenSource, account: AdAccount, fields: str) -> tuple[list[Any], bool]:
        params = {"advertiser_id": account.external_id, "fields": fields, "filtering": DELETED_CAMPAIGNS_TOO}
        return self._all_rows(tokens, CAMPAIGNS_PATH, params, "campaign_id")

    def _read_report(self, tokens: TokenSource, account: AdAccount, span: DateWindow) -> MetricsReading:
        rows, cut, in_parts = self._daily(tokens, account, span)
        of_campaigns = [row for row in rows if str(field_of(row, DAILY_KEY[0])) != NO_CAMPAIGN]
        reading = metrics_of(self.platform, span, of_campaigns, partial(day_of, span, account.currency), *DAILY_KEY)
        return reading.model_copy(update={"left_out": (*reading.left_out, *cut), "without_deleted": in_parts})

    def _daily(self, tokens: TokenSource, account: AdAccount, span: DateWindow) -> tuple[list[Any], list[OddRow], bool]:
        """Return the rows by campaign and day, the campaigns left out, and whether the report was read in parts.

        It is read in parts if it covers too many ads. Campaigns that TikTok does not list are then missing.
        """
        days = span.days

        def ask(ids: Sequence[str]) -> list[Any]:
            return self._report(tokens, account, REPORT | _filter_of(ids), DAILY_KEY, days)

        try:
            return ask(()), [], False
        except ReportCut:
            campaigns, all_arrived = self._campaigns(tokens, account, CAMPAIGN_ID_ONLY)
        if not all_arrived:
            raise InvalidReply(self.platform, "sent fewer campaigns than it counts")
        ids, odd = read_rows(self.platform, campaigns, lambda row: row.identifier("campaign_id"), "campaign_id")
        rows, cut = list[Any](), list(odd)
        for some, answer in in_halves(batches(ids, CAMPAIGNS_PER_REPORT), ask, lambda e: isinstance(e, ReportCut)):
            if isinstance(answer, list):
                rows += answer
                continue
            cut.append(OddRow(id=some[0], why=answer.message))
            if len(cut) > len(ids) // 2:
                raise answer
        return rows, cut, True

    def _report(
        self,
        tokens: TokenSource,
        account: AdAccount,
        report: Mapping[str, str],
        key: Sequence[str],
        days: Sequence[date],
    ) -> list[Any]:
        """Return all rows of a report on consecutive days."""
        window = {"start_date": days[0].isoformat(), "end_date": days[-1].isoformat()}
        params = {**report, **window, "advertiser_id": account.external_id}
        rows, all_arrived = self._all_rows(tokens, REPORT_PATH, params, *key)
        if not all_arrived:
            raise RowsMissing(self.platform, "sent fewer rows of a report than it counts")
        return rows


def _rows_of(data: Record) -> list[Any]:
    """Return the list of a reply; TikTok omits an empty one."""
    return [] if data.get("list") is None else data.rows("list")


def _filter_of(campaign_ids: Sequence[str]) -> dict[str, str]:
    """Return a report's filter: all campaigns, including deleted ones, or only those that are named."""
    wanted = {"campaign_status": ["STATUS_ALL"]} | ({"campaign_ids": list(campaign_ids)} if campaign_ids else {})
    rules = [{"field_name": field, "filter_type": "IN", "filter_value": json.dumps(wanted[field])} for field in wanted]
    return {"filtering": json.dumps(rules)}


def _is_one_bad_id(error: PlatformError) -> bool:
    """Whether a call of `advertiser/info` may succeed without one of its ids."""
    return isinstance(error, AccountInaccessible) or (isinstance(error, InvalidRequest) and error.code == ONE_BAD_ID)
