"""Meta Ads: ad accounts, campaigns and insights of the Graph API v26.0."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import ClassVar

import httpx

from sivera.breaker import Breaker, Subject
from sivera.errors import InvalidReply, InvalidRequest, PlatformError, ScopeMissing, TimedOut
from sivera.platforms.base import AppCredentials, PlatformClient, TokenSource
from sivera.platforms.calling import Caller
from sivera.platforms.meta_errors import (
    ABOUT_ACCOUNT,
    ABOUT_TOKEN,
    ABOUT_USER,
    TooMuchData,
    absent_among,
    error_of,
    is_absence,
    refuses_deleted,
)
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
    day_of,
    total_of,
)
from sivera.platforms.meta_login import MetaLogin, api_url
from sivera.platforms.meta_pages import FEWEST_PER_PAGE, Pager, Question, Rows, body_of
from sivera.platforms.parts import MOST_UNREAD, batches, in_halves, unread_days, window_of
from sivera.platforms.rows import campaigns_of, metrics_of, read_rows, totals_of
from sivera.values import (
    AccountListing,
    AdAccount,
    CampaignListing,
    DateWindow,
    GrantTokens,
    MetricsReading,
    Period,
    PlatformName,
    TotalsReading,
)

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

Filters for deleted ones are documented, but if Meta refuses the first filter, the second is sent.
"""
INSIGHT_KEY = ("campaign_id", "date_start")
TOTAL_KEY = ("date_start",)
CHANGE_OVERLAP = timedelta(minutes=10)
"""How long before the cursor a listing of changes starts.

Meta's GREATER_THAN is strict and counts whole seconds, its clock differs from ours, and its replicas lag.
"""

APP_USAGE_PAUSES = ((95.0, 600.0), (85.0, 120.0))
"""Percentages of our app's quota, and the seconds to pause at each (the thresholds of Airbyte's connector)."""


class MetaAds(PlatformClient):
    """Meta Ads, for any grant."""

    platform: ClassVar[PlatformName] = PlatformName.META
    login: MetaLogin

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker) -> None:
        super().__init__(app, http, breaker)
        account, user, oauth = (
            Caller(self.platform, http, partial(error_of, subject), breaker)
            for subject in (ABOUT_ACCOUNT, ABOUT_USER, ABOUT_TOKEN)
        )
        self.login = MetaLogin(app, oauth)
        self._account, self._user = Pager(account, app), Pager(user, app)

    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the grant's ad accounts; closed ones are marked.

        Raises:
            ScopeMissing: There are none, and the user does not let us read ads.
        """
        question = Question(ACCOUNTS_PATH, {"fields": ",".join(ACCOUNT_FIELDS)}, Subject("accounts"), ("account_id",))
        listed = self._user.rows(tokens, question, ACCOUNTS_PER_PAGE)
        found, left_out = read_rows(self.platform, listed.rows, account_of, "account_id")
        accounts = {account.external_id: account for account in found}
        data_access_ends, may_read_ads = self._data_access(tokens)
        if not listed.rows and not may_read_ads:
            raise ScopeMissing(self.platform, "has no permission from the user to read ads")
        self._pause_if_busy(listed.usage)
        return AccountListing(accounts=tuple(accounts.values()), left_out=left_out, data_access_ends=data_access_ends)

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List the account's campaigns, including archived but not deleted ones.

        With `changed`, list those that changed since then.
        """
        params = {"fields": ",".join(CAMPAIGN_FIELDS), "effective_status": _json(LISTED_STATUSES)}
        if changed is not None:
            since = int((changed.since - CHANGE_OVERLAP).timestamp())
            rule = {"field": "campaign.updated_time", "operator": "GREATER_THAN", "value": since}
            params["filtering"] = _json([rule])
        path = CAMPAIGNS_PATH.format(account_id=account.external_id)
        # Do not pause a busy app here: the pause would block the same account's metrics.
        listed = self._account.rows(tokens, Question(path, params, _about(account, "campaigns")), CAMPAIGNS_PER_PAGE)
        read = partial(campaign_of, account)
        return campaigns_of(self.platform, listed.rows, read, "id", of_changes=changed is not None)

    def deleted_among(self, tokens: TokenSource, account: AdAccount, ids: Iterable[str]) -> frozenset[str]:
        """Return the account's campaigns that are deleted or that Meta no longer knows."""
        deleted: set[str] = set()

        def ask(asked: Sequence[str]) -> list[str]:
            params = {"ids": ",".join(asked), "fields": "effective_status"}
            try:
                reply = self._account.ask(tokens, Question(OBJECTS_PATH, params, _about(account, "objects")))
            except PlatformError as error:
                if not (unknown := absent_among(error, asked)):
                    raise
                rest = [each for each in asked if each not in unknown]
                return [*unknown, *(ask(rest) if rest else ())]
            body = body_of(reply)
            if not reply.body.keys() <= set(asked):
                raise body.invalid("ids")
            return [each for each in reply.body if body.record(each).get("effective_status") == DELETED]

        for asked, answer in in_halves(batches(list(dict.fromkeys(ids)), OBJECTS_PER_CALL), ask, is_absence):
            deleted.update(asked if isinstance(answer, PlatformError) else answer)
        return frozenset(deleted)

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, actions: Sequence[str] = ()
    ) -> Iterator[MetricsReading]:
        """Read the daily metrics of the window, newest days first, including those of deleted campaigns.

        An error for some days is raised after the other days were read.
        """
        usage, errors, filters = 0.0, list[PlatformError](), list(INSIGHT_STATUSES)

        def ask(part: DateWindow, limit: int, fewest: int) -> Rows:
            while True:
                question = _insights(account, part, "campaign", INSIGHT_FIELDS, INSIGHT_KEY, filters[0])
                try:
                    return self._account.rows(tokens, question, limit, fewest)
                except InvalidRequest as error:
                    if not refuses_deleted(error) or len(filters) == 1:
                        raise
                    del filters[0]

        for days, answer in _in_parts(ask, window):
            if isinstance(answer, PlatformError):
                errors.append(answer)
                if len(errors) == MOST_UNREAD:
                    break
                continue
            usage, part = max(usage, answer.usage), window_of(days)
            read = partial(day_of, part, account.currency, actions or PURCHASES)
            try:
                reading = metrics_of(self.platform, part, answer.rows, read, *INSIGHT_KEY)
            except InvalidReply as error:
                errors.append(error)
                continue
            yield reading.model_copy(update={"without_deleted": DELETED not in filters[0]})
        if errors:
            raise errors[0]
        self._pause_if_busy(usage)

    def read_totals(self, tokens: TokenSource, account: AdAccount, window: DateWindow) -> TotalsReading:
        """Read the account's spend on each day of the window; days without spend are absent."""

        def ask(part: DateWindow, limit: int, fewest: int) -> Rows:
            question = _insights(account, part, "account", TOTAL_FIELDS, TOTAL_KEY)
            return self._account.rows(tokens, question, limit, fewest)

        answers = ((days, a.rows if isinstance(a, Rows) else a) for days, a in _in_parts(ask, window))
        rows, unread = unread_days(answers)
        read = totals_of(self.platform, rows, partial(total_of, window), *TOTAL_KEY)
        return read.model_copy(update={"left_out": (*read.left_out, *unread)})

    def revoke(self, tokens: GrantTokens) -> None:
        """Withdraw everything that the user allowed our application."""
        request = self._user.request("DELETE", PERMISSIONS_PATH, {}, tokens.access_token.get_secret_value())
        body = body_of(self.login.oauth.send(request))
        if body.get("success") is not True:
            raise body.invalid("success")

    def _data_access(self, tokens: TokenSource) -> tuple[datetime | None, bool]:
        """Return when the grant's data access ends (None if Meta does not say), and whether it may read ads."""
        app = f"{self._app.client_id}|{self._app.client_secret.get_secret_value()}"
        headers = {"Authorization": f"Bearer {app}"}  # not in the URL: the secret covers all teams
        params = {"input_token": tokens.current()}
        request = self._http.build_request("GET", api_url(self._app, DEBUG_PATH), params=params, headers=headers)
        try:
            return data_access_of(body_of(self.login.oauth.send(request)))
        except PlatformError:
            return None, True  # only a warning is lost

    def _pause_if_busy(self, usage: float) -> None:
        """Pause all calls for a while if our app's quota is nearly used up."""
        if usage:
            self.breaker.note_usage(self.platform, usage)
        for percent, seconds in APP_USAGE_PAUSES:
            if usage >= percent:
                self.breaker.open(self.platform, seconds, words="reports that our quota is nearly used up")
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
    """Return the question for each day's figures; with `statuses`, only of campaigns with one of them."""
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


def _in_parts(
    ask: Callable[[DateWindow, int, int], Rows], window: DateWindow
) -> Iterator[tuple[Sequence[date], Rows | PlatformError]]:
    """Ask for the days of a window, newest first, in the longest parts that Meta answers.

    `ask` takes a window and the number of rows on a page and on the smallest page. Only the pages of a single day get
    smaller.
    """
    limit = INSIGHTS_PER_PAGE

    def ask_for(days: Sequence[date]) -> Rows:
        nonlocal limit
        try:
            return ask(window_of(days), limit, FEWEST_PER_PAGE if len(days) == 1 else limit)
        except (TooMuchData, TimedOut):
            limit = max(FEWEST_PER_PAGE, limit // 2)
            raise

    return in_halves(filter(None, [window.days]), ask_for, lambda error: isinstance(error, TooMuchData | TimedOut))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
