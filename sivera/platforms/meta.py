"""Meta Ads: ad accounts, campaigns and insights of the Graph API v26.0.

`meta_errors` explains errors, `meta_json` rows.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import httpx
import orjson
from pydantic import SecretStr

from sivera.breaker import Breaker
from sivera.errors import InvalidReply
from sivera.platforms.base import LONGEST_LIFE_SECONDS, MAX_PAGES, AppCredentials, TokenSource
from sivera.platforms.calling import Caller, Reply
from sivera.platforms.meta_errors import ABOUT_ACCOUNT, ABOUT_TOKEN, ABOUT_USER, TooMuchData, app_usage, error_of
from sivera.platforms.meta_json import (
    ACCOUNT_FIELDS,
    CAMPAIGN_FIELDS,
    EFFECTIVE_STATUSES,
    INSIGHT_FIELDS,
    Row,
    account_of,
    campaign_of,
    invalid,
    metrics_of,
)
from sivera.values import (
    AdAccount,
    CampaignListing,
    DateWindow,
    GrantTokens,
    MetricsBatch,
    MetricsReading,
    PlatformName,
    ReportRequest,
)

LIVE_HOST = "https://graph.facebook.com"
BASE_PATH = "/v26.0"
EXCHANGE_PATH = "/oauth/access_token"
ACCOUNTS_PATH = "/me/adaccounts"
CAMPAIGNS_PATH = "/act_{account_id}/campaigns"
INSIGHTS_PATH = "/act_{account_id}/insights"

ACCOUNTS_PER_PAGE = 100
CAMPAIGNS_PER_PAGE = 100
INSIGHTS_PER_PAGE = 500
FEWEST_PER_PAGE = 25
"""Meta's own default. If it cannot answer with so few rows, it cannot answer."""

DELETED_CAMPAIGNS_TOO = {"field": "campaign.effective_status", "operator": "IN", "value": EFFECTIVE_STATUSES}
"""Without a filter by status, Meta leaves out deleted and archived campaigns, and their insights."""
CHANGE_OVERLAP = timedelta(minutes=10)
"""A listing of changes begins this long before the cursor.

Meta's GREATER_THAN is strict and counts whole seconds, its clock differs from ours, and its replicas lag.
"""

APP_USAGE_PAUSES = ((95.0, 600.0), (85.0, 120.0))
"""At this percentage of our app's calls, pause for this many seconds (the thresholds of Airbyte's connector)."""


class MetaAds:
    """Meta Ads, for any grant."""

    platform: ClassVar[PlatformName] = PlatformName.META

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker, now: Callable[[], datetime]) -> None:
        self._app, self._http, self._breaker, self._now = app, http, breaker, now
        self._base = (app.base_url or LIVE_HOST).rstrip("/") + BASE_PATH
        self._account = Caller(self.platform, http, partial(error_of, ABOUT_ACCOUNT), breaker)
        self._user = Caller(self.platform, http, partial(error_of, ABOUT_USER), breaker)
        self._oauth = Caller(self.platform, http, partial(error_of, ABOUT_TOKEN), breaker)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def list_accounts(self, tokens: TokenSource) -> tuple[AdAccount, ...]:
        """List the ad accounts of the grant; closed ones are marked."""
        params = {"fields": ",".join(ACCOUNT_FIELDS)}
        rows, usage = self._pages(self._user, tokens, ACCOUNTS_PATH, params, ACCOUNTS_PER_PAGE)
        self._pause_if_busy(usage)
        return tuple({account.external_id: account for account in map(account_of, rows)}.values())

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, changed_since: datetime | None = None
    ) -> CampaignListing:
        """List the account's campaigns, deleted and archived ones too; with `changed_since`, only changed ones."""
        filters: list[Mapping[str, Any]] = [DELETED_CAMPAIGNS_TOO]
        if changed_since is not None:
            since = int((changed_since - CHANGE_OVERLAP).timestamp())
            filters.append({"field": "campaign.updated_time", "operator": "GREATER_THAN", "value": since})
        params = {"fields": ",".join(CAMPAIGN_FIELDS), "filtering": _json(filters)}
        path = CAMPAIGNS_PATH.format(account_id=account.external_id)
        # Do not pause a busy app here: the pause would refuse the same account's metrics, and its sync would start over
        # each time and never finish.
        rows, _ = self._pages(self._account, tokens, path, params, CAMPAIGNS_PER_PAGE)
        campaigns = {campaign.external_id: campaign for campaign in (campaign_of(row, account) for row in rows)}
        return CampaignListing(campaigns=tuple(campaigns.values()), complete=changed_since is None)

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, outstanding: Sequence[ReportRequest] = ()
    ) -> MetricsReading:
        """Read the daily metrics of the window, those of deleted campaigns too."""
        params = {
            "fields": ",".join(INSIGHT_FIELDS),
            "level": "campaign",
            "time_increment": "1",
            "time_range": _json({"since": window.since.isoformat(), "until": window.until.isoformat()}),
            "filtering": _json([DELETED_CAMPAIGNS_TOO]),
        }
        path = INSIGHTS_PATH.format(account_id=account.external_id)
        rows, usage = self._pages(self._account, tokens, path, params, INSIGHTS_PER_PAGE)
        self._pause_if_busy(usage)
        days = (metrics_of(row, window, account.currency) for row in rows)
        read = {(day.campaign_id, day.day): day for day in days}
        return MetricsReading(batches=(MetricsBatch(window=window, rows=tuple(read.values())),))

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Exchange the access token for one of sixty days, which Meta allows only while the old one is valid.

        A token that never expires is exchanged for another, which proves that it works.

        Raises:
            ReconnectRequired: The token has expired or was revoked.
        """
        params = {
            "grant_type": "fb_exchange_token",
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret.get_secret_value(),
            "fb_exchange_token": tokens.access_token.get_secret_value(),
        }
        body = _body(self._oauth.send(self._http.build_request("GET", self._base + EXCHANGE_PATH, params=params)))
        token, seconds = body.get("access_token"), body.get("expires_in", 0)
        if not isinstance(token, str) or not token:
            raise invalid("access_token")
        if type(seconds) is not int or not 0 <= seconds <= LONGEST_LIFE_SECONDS:
            raise invalid("expires_in")
        return GrantTokens(
            access_token=SecretStr(token),
            refresh_token=tokens.refresh_token,
            expires_in=timedelta(seconds=seconds) if seconds else None,
        )

    def _pages(
        self, caller: Caller, tokens: TokenSource, path: str, params: Mapping[str, str], limit: int
    ) -> tuple[list[Row], float]:
        """Read all pages, smaller ones if Meta asks for it; return the rows and our app's usage in percent."""
        rows: list[Row] = []
        usage, after = 0.0, ""
        seen = {after}
        for _ in range(MAX_PAGES):
            asked = {**params, "limit": str(limit), **({"after": after} if after else {})}
            try:
                reply = caller.call(tokens, partial(self._request, path, asked))
            except TooMuchData:
                if limit <= FEWEST_PER_PAGE:
                    raise
                limit = max(FEWEST_PER_PAGE, limit // 2)
                continue
            body, usage = _body(reply), max(usage, app_usage(reply.headers))
            rows += _rows(body)
            if (cursor := _next_cursor(body)) is None:
                return rows, usage
            if cursor in seen:
                raise InvalidReply(self.platform, "sent the same page twice")
            seen.add(after := cursor)
        raise InvalidReply(self.platform, f"has more than {MAX_PAGES} pages")

    def _request(self, path: str, params: Mapping[str, str], token: str) -> httpx.Request:
        """Return a request with a proof that it comes from our app; apps can require it."""
        secret = self._app.client_secret.get_secret_value()
        proof = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        return self._http.build_request(
            "GET",
            self._base + path,
            params={**params, "appsecret_proof": proof},
            headers={"Authorization": f"Bearer {token}"},
        )

    def _pause_if_busy(self, usage: float) -> None:
        """Pause all calls for a while if our app's quota is nearly used up."""
        if usage:
            self._breaker.note_usage(self.platform, usage)
        for percent, seconds in APP_USAGE_PAUSES:
            if usage >= percent:
                self._breaker.open(self.platform, seconds)
                return


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _body(reply: Reply) -> Mapping[str, Any]:
    if not isinstance(reply.body, dict):
        raise invalid("body")
    return reply.body


def _rows(body: Mapping[str, Any]) -> list[Row]:
    rows = body.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise invalid("data")
    return rows


def _next_cursor(body: Mapping[str, Any]) -> str | None:
    """Return the cursor of the next page. Every page has a cursor; only `next` says that there is a next page.

    The URL in `next` itself is not used: it may contain the access token.
    """
    paging = body.get("paging", {})
    if not isinstance(paging, dict):
        raise invalid("paging")
    if "next" not in paging:
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if not isinstance(after, str) or not after:
        raise invalid("cursors.after")
    return after
