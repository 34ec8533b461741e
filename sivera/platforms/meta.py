"""Meta Ads: ad accounts, campaigns and insights of the Graph API v26.0.

`meta_errors` explains errors, `meta_json` rows.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import httpx

from sivera.breaker import Breaker, Subject
from sivera.errors import InvalidRequest, PlatformError, ScopeMissing
from sivera.platforms.base import AppCredentials, TokenSource
from sivera.platforms.calling import Caller
from sivera.platforms.meta_errors import ABOUT_ACCOUNT, ABOUT_TOKEN, ABOUT_USER, absent_among, error_of, refuses_deleted
from sivera.platforms.meta_json import (
    ACCOUNT_FIELDS,
    CAMPAIGN_FIELDS,
    DELETED,
    INSIGHT_FIELDS,
    LISTED_STATUSES,
    PURCHASES,
    TOTAL_FIELDS,
    account_of,
    campaign_of,
    data_access_of,
    invalid,
    metrics_of,
    object_of,
    total_of,
)
from sivera.platforms.meta_login import MetaLogin
from sivera.platforms.meta_pages import Pager, Question, Rows, body_of, in_parts
from sivera.platforms.rows import read_rows, totals_of
from sivera.values import (
    AccountListing,
    AdAccount,
    CampaignListing,
    DailyMetrics,
    DateWindow,
    GrantTokens,
    MetricsReading,
    Period,
    PlatformName,
    TotalsReading,
)

LIVE_HOST = "https://graph.facebook.com"
BASE_PATH = "/v26.0"
DEBUG_PATH = "/debug_token"
ACCOUNTS_PATH = "/me/adaccounts"
PERMISSIONS_PATH = "/me/permissions"
CAMPAIGNS_PATH = "/act_{account_id}/campaigns"
INSIGHTS_PATH = "/act_{account_id}/insights"
OBJECTS_PATH = "/"

ACCOUNTS_PER_PAGE = 100
CAMPAIGNS_PER_PAGE = 100
INSIGHTS_PER_PAGE = 500
OBJECTS_PER_CALL = 50

INSIGHT_STATUSES: tuple[tuple[str, ...], ...] = ((*LISTED_STATUSES, DELETED), LISTED_STATUSES)
"""The campaigns to report on, by effective status. Without a filter, Meta leaves out deleted and archived ones.

That a filter may name deleted ones is documented. If Meta refuses it all the same, the next is asked for.
"""
CHANGE_OVERLAP = timedelta(minutes=10)
"""A listing of changes begins this long before the cursor.

Meta's GREATER_THAN is strict and counts whole seconds, its clock differs from ours, and its replicas lag.
"""

APP_USAGE_PAUSES = ((95.0, 600.0), (85.0, 120.0))
"""At this percentage of our app's calls, pause for this many seconds (the thresholds of Airbyte's connector)."""


class MetaAds:
    """Meta Ads, for any grant."""

    platform: ClassVar[PlatformName] = PlatformName.META
    products: ClassVar[tuple[str, ...]] = ("",)
    counts_actions: ClassVar[bool] = True

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker) -> None:
        self._app, self._http, self._breaker = app, http, breaker
        host = (app.base_url or LIVE_HOST).rstrip("/")
        self._base = host + BASE_PATH
        account, user, self._oauth = (
            Caller(self.platform, http, partial(error_of, subject), breaker)
            for subject in (ABOUT_ACCOUNT, ABOUT_USER, ABOUT_TOKEN)
        )
        self.login = MetaLogin(app, self._oauth, host, BASE_PATH)
        self._account = Pager(account, http, self._base, app.client_secret)
        self._user = Pager(user, http, self._base, app.client_secret)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the grant's ad accounts, closed ones marked; ScopeMissing if the user lets us read no ads."""
        question = Question(ACCOUNTS_PATH, {"fields": ",".join(ACCOUNT_FIELDS)}, Subject("accounts"), ("account_id",))
        listed = self._user.rows(tokens, question, ACCOUNTS_PER_PAGE)
        accounts, left_out = read_rows(
            self.platform, listed.rows, lambda row: account_of(object_of(row)), lambda row: row["account_id"]
        )
        data_access_ends, may_read_ads = self._data_access(tokens)
        if not listed.rows and not may_read_ads:
            raise ScopeMissing(self.platform, "has no permission of the user to read ads")
        self._pause_if_busy(listed.usage)
        return AccountListing(accounts=tuple(accounts), left_out=left_out, data_access_ends=data_access_ends)

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List the account's campaigns, archived ones too; Meta lists no deleted ones.

        With `changed`, list those that changed since then.
        """
        params = {"fields": ",".join(CAMPAIGN_FIELDS), "effective_status": _json(LISTED_STATUSES)}
        if changed is not None:
            since = int((changed.since - CHANGE_OVERLAP).timestamp())
            rule = {"field": "campaign.updated_time", "operator": "GREATER_THAN", "value": since}
            params["filtering"] = _json([rule])
        path = CAMPAIGNS_PATH.format(account_id=account.external_id)
        # Do not pause a busy app here: the pause would refuse the same account's metrics.
        listed = self._account.rows(tokens, Question(path, params, _about(account, "campaigns")), CAMPAIGNS_PER_PAGE)
        campaigns, left_out = read_rows(
            self.platform, listed.rows, lambda row: campaign_of(object_of(row), account), lambda row: row["id"]
        )
        complete = changed is None and not left_out
        return CampaignListing(campaigns=tuple(campaigns), complete=complete, left_out=left_out)

    def deleted_among(self, tokens: TokenSource, account: AdAccount, ids: Iterable[str]) -> frozenset[str]:
        """Return those of the account's campaigns that are deleted, or that Meta no longer knows."""
        wanted = list(dict.fromkeys(ids))
        todo = [wanted[i : i + OBJECTS_PER_CALL] for i in range(0, len(wanted), OBJECTS_PER_CALL)]
        deleted: set[str] = set()
        while todo:
            asked = todo.pop()
            params = {"ids": ",".join(asked), "fields": "effective_status"}
            try:
                body = body_of(self._account.ask(tokens, Question(OBJECTS_PATH, params, _about(account, "objects"))))
            except PlatformError as error:
                if (absent := absent_among(error, asked)) is None:
                    raise
                if len(asked) == 1:
                    deleted.update(asked)
                elif absent:
                    deleted |= absent
                    todo.append([each for each in asked if each not in absent])
                else:
                    todo += [asked[: len(asked) // 2], asked[len(asked) // 2 :]]
                continue
            if not body.keys() <= set(asked):
                raise invalid("ids")
            deleted |= {each for each, row in body.items() if object_of(row).get("effective_status") == DELETED}
        return frozenset(deleted)

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, actions: Sequence[str] = PURCHASES
    ) -> Iterator[MetricsReading]:
        """Read the daily metrics of the window, the newest days first, and those of deleted campaigns too.

        The first of the `actions` that a row has is its conversion.
        """
        usage, filters = 0.0, list(INSIGHT_STATUSES)

        def read(part: DateWindow, limit: int, fewest: int) -> Rows:
            while True:
                question = _insights(
                    account, part, "campaign", INSIGHT_FIELDS, ("campaign_id", "date_start"), filters[0]
                )
                try:
                    return self._account.rows(tokens, question, limit, fewest)
                except InvalidRequest as error:
                    if not refuses_deleted(error) or len(filters) == 1:
                        raise
                    del filters[0]

        for part, listed in in_parts(read, window, INSIGHTS_PER_PAGE):
            usage = max(usage, listed.usage)
            rows, left_out = read_rows(
                self.platform,
                listed.rows,
                partial(_day_of, part, account.currency, actions),
                lambda row: f"{row['campaign_id']} {row['date_start']}",
            )
            without_deleted = DELETED not in filters[0]
            yield MetricsReading(window=part, rows=tuple(rows), left_out=left_out, without_deleted=without_deleted)
        self._pause_if_busy(usage)

    def read_totals(self, tokens: TokenSource, account: AdAccount, window: DateWindow) -> TotalsReading:
        """Read what the account spent on each day of the window; days without spend are absent."""

        def read(part: DateWindow, limit: int, fewest: int) -> Rows:
            question = _insights(account, part, "account", TOTAL_FIELDS, ("date_start",))
            return self._account.rows(tokens, question, limit, fewest)

        rows = [row for _, listed in in_parts(read, window, INSIGHTS_PER_PAGE) for row in listed.rows]
        return totals_of(
            self.platform, rows, lambda row: total_of(object_of(row), window), lambda row: row["date_start"]
        )

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Exchange the access token for one of sixty days, which Meta allows only while the old one is valid.

        A token that never expires is exchanged for another, which proves that it works.
        """
        renewed = self.login.exchange(tokens.access_token)
        return renewed.model_copy(update={"refresh_token": tokens.refresh_token})

    def revoke(self, tokens: GrantTokens) -> None:
        """Take back all that the user allowed our application."""
        request = self._user.request("DELETE", PERMISSIONS_PATH, {}, tokens.access_token.get_secret_value())
        if body_of(self._oauth.send(request)).get("success") is not True:
            raise invalid("success")

    def _data_access(self, tokens: TokenSource) -> tuple[datetime | None, bool]:
        """Return when the grant's data access ends (None if Meta does not say), and whether it may read ads."""
        app = f"{self._app.client_id}|{self._app.client_secret.get_secret_value()}"
        request = self._http.build_request(
            "GET",
            self._base + DEBUG_PATH,
            params={"input_token": tokens.current()},
            headers={"Authorization": f"Bearer {app}"},  # not in the URL: the secret of all teams
        )
        try:
            return data_access_of(body_of(self._oauth.send(request)))
        except PlatformError:
            return None, True  # only a warning is lost

    def _pause_if_busy(self, usage: float) -> None:
        """Pause all calls for a while if our app's quota is nearly used up."""
        if usage:
            self._breaker.note_usage(self.platform, usage)
        for percent, seconds in APP_USAGE_PAUSES:
            if usage >= percent:
                self._breaker.open(self.platform, seconds)
                return


def _about(account: AdAccount, endpoint: str) -> Subject:
    return Subject(endpoint=endpoint, account=account.external_id)


def _insights(
    account: AdAccount,
    window: DateWindow,
    level: str,
    fields: Sequence[str],
    key: tuple[str, ...],
    statuses: Sequence[str] = (),
) -> Question:
    """Return the question for the figures of each day of a window, of campaigns with one of the statuses if given."""
    params = {
        "fields": ",".join(fields),
        "level": level,
        "time_increment": "1",
        "time_range": _json({"since": window.since.isoformat(), "until": window.until.isoformat()}),
    }
    if statuses:
        params["filtering"] = _json([{"field": "campaign.effective_status", "operator": "IN", "value": statuses}])
    path = INSIGHTS_PATH.format(account_id=account.external_id)
    return Question(path, params, _about(account, "insights"), key)


def _day_of(window: DateWindow, currency: str, actions: Sequence[str], row: Any) -> DailyMetrics:
    return metrics_of(object_of(row), window, currency, actions)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
