"""Google Ads: the REST interface of API v26, with GAQL queries over `searchStream`.

A stream has no pages, so each query is one call. It costs one operation of the Cloud project's daily quota, which all
teams share.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

import httpx

from sivera.breaker import Breaker, Subject
from sivera.clock import find_zone
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    PlatformError,
    Throttled,
    ThrottleScope,
    Unavailable,
    Unreached,
)
from sivera.platforms.base import AppCredentials, PlatformClient, TokenSource
from sivera.platforms.calling import Caller
from sivera.platforms.google_errors import OAUTH_VERDICTS, ads_error
from sivera.platforms.google_json import account_of, campaign_of, change_of, day_of, total_of
from sivera.platforms.google_login import TOKEN_HOST, GoogleLogin
from sivera.platforms.oauth import token_error_of
from sivera.platforms.parts import batches
from sivera.platforms.rows import Record, campaigns_of, list_of, metrics_of, read_rows, totals_of, unread
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

API_URL = "https://googleads.googleapis.com"
API_VERSION = "v26"

CHANGE_LIMIT = 10_000
"""The highest LIMIT of a change_status query. If it returns this many rows, there may be more."""
CHANGE_OVERLAP = timedelta(hours=1)
"""Local times repeat for an hour when summer time ends, and a change can show up three minutes late."""
LONGEST_HISTORY = timedelta(days=1_110)
"""Google keeps daily figures for 37 months, and refuses a query that starts earlier."""
NAMES_PER_QUERY = 1_000
"""Campaigns or budgets in one query; Google accepts up to 20,000 values."""

ACCOUNT_QUERY = (
    "SELECT customer_client.id, customer_client.descriptive_name, customer_client.currency_code, "
    "customer_client.time_zone, customer_client.status, customer_client.level "
    "FROM customer_client WHERE customer_client.manager = FALSE"
)
CAMPAIGN_QUERY = (
    "SELECT campaign.id, campaign.name, campaign.status, campaign.serving_status, campaign.advertising_channel_type, "
    "campaign.start_date_time, campaign.end_date_time, campaign_budget.id, campaign_budget.amount_micros, "
    "campaign_budget.total_amount_micros, campaign_budget.period, campaign_budget.explicitly_shared FROM campaign"
)
CHANGE_QUERY = (
    "SELECT change_status.resource_type, change_status.campaign, change_status.campaign_budget FROM change_status "
    "WHERE change_status.last_change_date_time BETWEEN '{since}' AND '{until}' "
    "AND change_status.resource_type IN ('CAMPAIGN', 'CAMPAIGN_BUDGET') LIMIT {limit}"
)
METRICS_QUERY = (
    "SELECT campaign.id, segments.date, metrics.impressions, metrics.clicks, metrics.cost_micros, "
    "metrics.conversions, metrics.conversions_value FROM campaign WHERE segments.date BETWEEN '{since}' AND '{until}'"
)
TOTALS_QUERY = (
    "SELECT segments.date, metrics.cost_micros FROM customer WHERE segments.date BETWEEN '{since}' AND '{until}'"
)

_CUSTOMER_NAME = re.compile(r"customers/([0-9]+)")


class GoogleAds(PlatformClient):
    """Google Ads, for any grant."""

    platform: ClassVar[PlatformName] = PlatformName.GOOGLE
    login: GoogleLogin

    def __init__(self, app: AppCredentials, http: httpx.Client, breaker: Breaker) -> None:
        super().__init__(app, http, breaker)
        self._customers_url = f"{app.host(API_URL)}/{API_VERSION}/customers"
        self._ads = Caller(self.platform, http, ads_error, breaker)
        login_error = partial(token_error_of, self.platform, OAUTH_VERDICTS)
        self.login = GoogleLogin(app, Caller(self.platform, http, login_error, breaker, is_login=True))

    def list_accounts(self, tokens: TokenSource) -> AccountListing:
        """List the ad accounts of the grant, without the managers above them.

        An account that can be reached in several ways is read directly, because direct access outlasts the link to a
        manager, or through the nearest manager. A closed account does not even tell its name. If no manager lists it,
        it is left out, like a manager that cannot be read.
        """
        found: list[Any] = []
        failure: PlatformError | None = None
        customers, unnamed = self._accessible_customers(tokens)
        left_out = list(unnamed)
        for customer_id in customers:
            try:
                rows = self._search(tokens, customer_id, ACCOUNT_QUERY)
                found += [{"from": customer_id, "row": row} for row in rows]
            except PlatformError as error:
                if not _is_of_one_customer(error):
                    raise
                left_out.append(unread(customer_id, error))
                failure = failure if isinstance(error, AccountInaccessible) else error
        if not found and failure is not None:
            raise failure
        ways, odd = read_rows(self.platform, found, _way_to, "row.customerClient.id")
        accounts: dict[str, AdAccount] = {}
        for _, _, account in sorted(ways, key=lambda way: way[:2], reverse=True):
            accounts[account.external_id] = account
        missing = dict.fromkeys(row for row in (*left_out, *odd) if row.id not in accounts)
        return AccountListing(accounts=tuple(accounts.values()), left_out=tuple(missing))

    def list_campaigns(
        self, tokens: TokenSource, account: AdAccount, product: str = "", changed: Period | None = None
    ) -> CampaignListing:
        """List the account's campaigns, including removed ones.

        Changes are edits of campaigns and their budgets. A campaign that has ended is not a change; only a full listing
        shows it. If Google cannot list all changes (too many, or too long ago), the listing is full.
        """
        names = self._changed_names(tokens, account, changed) if changed else None
        queries = [CAMPAIGN_QUERY] if names is None else list(_queries_for(names))
        rows = [row for query in queries for row in self._ask(tokens, account, query)]
        read = partial(campaign_of, account.currency)
        return campaigns_of(self.platform, rows, read, "campaign.id", of_changes=names is not None)

    def read_metrics(
        self, tokens: TokenSource, account: AdAccount, window: DateWindow, actions: Sequence[str] = ()
    ) -> Iterator[MetricsReading]:
        """Read the daily metrics of the window, as far back as Google keeps them, in one call."""
        window = _kept(window)
        rows = self._ask(tokens, account, METRICS_QUERY.format(since=window.since, until=window.until))
        read = partial(day_of, account.currency, window)
        yield metrics_of(self.platform, window, rows, read, "campaign.id", "segments.date")

    def read_totals(self, tokens: TokenSource, account: AdAccount, window: DateWindow) -> TotalsReading:
        """Read what the account spent on each day of the window, in one call."""
        window = _kept(window)
        rows = self._ask(tokens, account, TOTALS_QUERY.format(since=window.since, until=window.until))
        return totals_of(self.platform, rows, partial(total_of, account.currency, window), "segments.date")

    def revoke(self, tokens: GrantTokens) -> None:
        """Withdraw what the user allowed our Cloud project; a refresh token ends with its access tokens."""
        form = {"token": (tokens.refresh_token or tokens.access_token).get_secret_value()}
        request = self._http.build_request("POST", self._app.host(TOKEN_HOST) + "/revoke", data=form)
        self.login.oauth.send(request, Subject(endpoint="revoke"))

    def _accessible_customers(self, tokens: TokenSource) -> tuple[list[str], tuple[OddRow, ...]]:
        """Return the ids of the customers, including managers, that the grant's user can access directly."""
        body = self._call(tokens, "GET", ":listAccessibleCustomers", Subject(endpoint="customers"))
        # Protobuf's JSON omits an empty field, or writes null.
        names = [] if body in ({}, {"resourceNames": None}) else Record(self.platform, body).rows("resourceNames")
        return read_rows(self.platform, [{"name": name} for name in names], _customer_id, "name")

    def _changed_names(self, tokens: TokenSource, account: AdAccount, changed: Period) -> dict[str, list[str]] | None:
        """Return the changed resources by the GAQL field that finds their campaigns; None if they cannot be listed."""
        if (zone := find_zone(account.timezone)) is None:
            return None
        since, until = (
            when.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
            for when in (changed.since - CHANGE_OVERLAP, changed.until + CHANGE_OVERLAP)
        )
        try:
            rows = self._ask(tokens, account, CHANGE_QUERY.format(since=since, until=until, limit=CHANGE_LIMIT))
        except InvalidRequest as error:
            if error.code == "START_DATE_TOO_OLD":
                return None
            raise
        if len(rows) >= CHANGE_LIMIT:
            return None
        names: dict[str, dict[str, None]] = {}
        try:
            for row in rows:
                field, name = change_of(Record(self.platform, row))
                names.setdefault(field, {})[name] = None
        except InvalidReply:
            return None  # an odd row may stand for any campaign
        return {field: list(found) for field, found in names.items()}

    def _ask(self, tokens: TokenSource, account: AdAccount, query: str) -> list[Any]:
        return self._search(tokens, account.external_id, query, account.manager_id)

    def _search(self, tokens: TokenSource, customer_id: str, query: str, manager_id: str | None = None) -> list[Any]:
        """Return all rows of a query."""
        path, subject = f"/{customer_id}/googleAds:searchStream", Subject(endpoint="search", account=customer_id)
        body = self._call(tokens, "POST", path, subject, manager_id, json={"query": query})
        rows: list[Any] = []
        for chunk in (Record(self.platform, part) for part in list_of(self.platform, body)):
            if chunk.get("results") is not None or chunk.get("fieldMask") is None:
                rows += chunk.rows("results")
        return rows

    def _call(
        self, tokens: TokenSource, method: str, path: str, subject: Subject, manager_id: str | None = None, **body: Any
    ) -> Any:
        """Make a call, and return the body of the reply."""

        def build(token: str) -> httpx.Request:
            headers = {"Authorization": f"Bearer {token}"}
            if manager_id:
                headers["login-customer-id"] = manager_id
            if self._app.developer_token:
                headers["developer-token"] = self._app.developer_token.get_secret_value()
            return self._http.build_request(method, self._customers_url + path, headers=headers, **body)

        return self._ads.call(tokens, build, subject).body


def _queries_for(names: Mapping[str, list[str]]) -> Iterator[str]:
    for field, found in names.items():
        for some in batches(found, NAMES_PER_QUERY):
            quoted = ", ".join(f"'{name}'" for name in some)
            yield f"{CAMPAIGN_QUERY} WHERE {field} IN ({quoted})"


def _way_to(found: Record) -> tuple[int, str, AdAccount]:
    """Read an account and the way to it: the number of levels, and the customer that lists it."""
    client, customer_id = found.record("row").record("customerClient"), found.text("from")
    level = client.integer("level")
    return level, customer_id, account_of(client, manager_id=customer_id if level else None)


def _is_of_one_customer(error: PlatformError) -> bool:
    """Whether other customers may still answer."""
    if isinstance(error, Throttled):
        return error.scope is ThrottleScope.ACCOUNT
    return isinstance(error, AccountInaccessible | InvalidRequest | Unavailable) and not isinstance(error, Unreached)


def _customer_id(row: Record) -> str:
    if (match := _CUSTOMER_NAME.fullmatch(row.text("name"))) is None:
        raise row.invalid("name")
    return match[1]


def _kept(window: DateWindow) -> DateWindow:
    """Return the part of a window, usually up to today, that Google still keeps."""
    return DateWindow(since=max(window.since, window.until - LONGEST_HISTORY), until=window.until)
