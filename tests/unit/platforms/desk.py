"""What the tests of the four clients share: a client at work for one grant of the sandbox, or on canned replies."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sandbox.accounts import Account
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.figures import ZERO, Figures
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.breaker import Breaker
from sivera.errors import PlatformError
from sivera.platforms import open_client
from sivera.platforms.base import (
    AnswersAtOnce,
    AppCredentials,
    PlatformClient,
    PreparesReports,
    StaticToken,
    TokenSource,
)
from sivera.values import (
    AdAccount,
    Campaign,
    CampaignListing,
    CampaignStatus,
    DailyMetrics,
    DateWindow,
    GrantTokens,
    MetricsReading,
    Period,
    PlatformName,
    ReportRequest,
)
from tests.conftest import NOW

GOOGLE, META, AMAZON, TIKTOK = PlatformName
WINDOW = DateWindow(since=date(2026, 11, 1), until=date(2026, 11, 20))
OVERLAP = timedelta(hours=24)
TOKEN = "act.0123456789abcdef0123456789abcdef01234567"
SECRET = "fedcba9876543210fedcba9876543210fedcba98"
ACCOUNT = AdAccount(
    external_id="7100000000000000000", name="Hanok", currency="USD", timezone="America/New_York", region="na"
)


@dataclass
class Renewing:
    """The tokens of a grant, renewed by the client itself as in production."""

    client: PlatformClient
    tokens: GrantTokens
    renewals: int = 0

    def current(self) -> str:
        return self.tokens.access_token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        assert rejected == self.current()
        self.renewals += 1
        self.tokens = self.client.renew(self.tokens)
        return self.current()


@dataclass
class Desk:
    """A client at work for one grant of the sandbox; `site` is the sandbox's side of its first account."""

    world: World
    platform: PlatformName
    url: str
    grant: Grant
    breaker: Breaker = field(default_factory=lambda: Breaker(monotonic=lambda: 0.0))

    def __post_init__(self) -> None:
        self.client = self.new_client()
        self.tokens = Renewing(self.client, self.new_tokens())

    def new_client(self, secret: str = CLIENT_SECRET, breaker: Breaker | None = None) -> PlatformClient:
        return open_client(self.platform, app_at(self.url, secret), breaker or self.breaker)

    def new_tokens(self) -> GrantTokens:
        access, _, refresh = self.world.issue_tokens(self.grant)
        return GrantTokens(access_token=SecretStr(access), refresh_token=SecretStr(refresh) if refresh else None)

    @property
    def site(self) -> Account:
        return self.world.accounts_of(self.grant)[0]

    @property
    def account(self) -> AdAccount:
        return ours(self.site)

    @property
    def listable(self) -> set[str]:
        """The campaigns that the platform lists: on Meta not the deleted ones."""
        return {
            id_
            for id_, campaign in self.site.campaigns.items()
            if self.platform is not META or campaign.state is not CampaignStatus.REMOVED
        }

    def change(self, campaign_id: str, **changes: Any) -> None:
        self.world.change_campaign(self.platform, self.site.id, campaign_id, **changes)

    def listings(self, changed: Period | None = None) -> list[CampaignListing]:
        """List the campaigns of every ad product."""
        client = self.client
        return [client.list_campaigns(self.tokens, self.account, name, changed) for name in client.products]

    def listed(self) -> dict[str, Campaign]:
        listings = self.listings()
        assert all(listing.complete for listing in listings)
        return {campaign.external_id: campaign for listing in listings for campaign in listing.campaigns}

    def changed_since(self, ago: timedelta = timedelta()) -> list[CampaignListing]:
        """List what changed since that long ago, with the overlap of a day that the sync adds."""
        now = self.world.clock.now()
        return self.listings(Period(since=now - ago - OVERLAP, until=now + OVERLAP))

    def request(self, product: str, window: DateWindow = WINDOW) -> ReportRequest:
        """Request a report of a platform that prepares reports."""
        assert isinstance(self.client, PreparesReports)
        report_id = self.client.request_report(self.tokens, self.account, product, window)
        now = self.world.clock.now()
        return ReportRequest(report_id=report_id, ad_product=product, window=window, requested_at=now)

    def collect(self, request: ReportRequest) -> MetricsReading | None:
        assert isinstance(self.client, PreparesReports)
        return self.client.collect_report(self.tokens, self.account, request)

    def read(self, window: DateWindow = WINDOW) -> list[MetricsReading]:
        """Read the metrics of the window; request and collect reports on a platform that prepares some."""
        client = self.client
        if isinstance(client, AnswersAtOnce):
            return list(client.read_metrics(self.tokens, self.account, window))
        assert isinstance(client, PreparesReports)
        today = self.site.today(self.world.clock.now())
        readings = [
            self.collect(self.request(product, part))
            for product in client.products
            for part in client.report_windows(product, window, today)
        ]
        assert None not in readings
        return [reading for reading in readings if reading]

    def rows(self, window: DateWindow = WINDOW) -> dict[tuple[str, date], DailyMetrics]:
        rows = [row for reading in self.read(window) for row in reading.rows]
        found = {(row.campaign_id, row.day): row for row in rows}
        assert len(found) == len(rows)
        return found

    def totals(self, window: DateWindow = WINDOW) -> dict[date, Decimal]:
        """Read what the account spent a day."""
        assert isinstance(self.client, AnswersAtOnce)
        read = self.client.read_totals(self.tokens, self.account, window)
        assert {total.currency for total in read.days} <= {self.site.currency}
        return {total.day: total.spend for total in read.days if total.spend}

    def truth(self, window: DateWindow = WINDOW) -> dict[tuple[str, date], Figures]:
        """The world's figures of the account."""
        days = window.days
        reported = [c for c in self.site.campaigns.values() if not c.single_ad_group]
        every = {(c.id, day): self.world.figures(self.site, c, day) for c in reported for day in days}
        return {key: figures for key, figures in every.items() if figures != ZERO}

    def calls(self, operation: str | None = None) -> int:
        return self.world.faults.count(self.platform, operation)


def app_at(url: str | None, secret: str = CLIENT_SECRET, **more: Any) -> AppCredentials:
    return AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr(secret), base_url=url, **more)


def ours(site: Account) -> AdAccount:
    """Our side of an account of the sandbox."""
    return AdAccount(
        external_id=site.id, name=site.name, currency=site.currency, timezone=site.timezone, region=site.region
    )


def spend_of(rows: dict[tuple[str, date], DailyMetrics]) -> dict[date, Decimal]:
    """Return what the rows say was spent a day."""
    days = {day for _, day in rows}
    return {day: sum((row.spend for (_, on), row in rows.items() if on == day), Decimal(0)) for day in days}


def figures_of(row: DailyMetrics) -> Figures:
    return Figures(row.impressions, row.clicks, row.spend, row.conversions, row.conversion_value)


def static(platform: PlatformName, token: str = TOKEN) -> StaticToken:
    return StaticToken(SecretStr(token), platform)


def held(access: str = TOKEN, refresh: str | None = None) -> GrantTokens:
    return GrantTokens(access_token=SecretStr(access), refresh_token=SecretStr(refresh) if refresh else None)


class Network(httpx.BaseTransport):
    """A network that gives canned answers in turn, and the last one again and again; it remembers the requests."""

    def __init__(self, *answers: Any, status: int = 200) -> None:
        self.answers, self.status = list(answers), status
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, httpx.Response):
            return answer
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return httpx.Response(self.status, content=content)


def client_on(
    platform: PlatformName, network: Network, app: AppCredentials | None = None, breaker: Breaker | None = None
) -> PlatformClient:
    """Return a client of a platform on a canned network."""
    http = httpx.Client(transport=network)
    app = app or app_at("http://platform.test", SECRET)
    return open_client(platform, app, breaker, http)


def answered(platform: PlatformName, *answers: Any, status: int = 200) -> PlatformClient:
    """Return a client of a platform that gives these answers."""
    return client_on(platform, Network(*answers, status=status))


Question = Callable[[PlatformClient], object]


def metrics(client: PlatformClient, tokens: TokenSource, account: AdAccount, window: DateWindow = WINDOW) -> Any:
    """Ask for metrics at once, or for a report of them."""
    if isinstance(client, AnswersAtOnce):
        return [row for reading in client.read_metrics(tokens, account, window) for row in reading.rows]
    assert isinstance(client, PreparesReports)
    return client.request_report(tokens, account, client.products[0], window)


def totals(client: PlatformClient, tokens: TokenSource, account: AdAccount, window: DateWindow = WINDOW) -> Any:
    """Ask for the account's spend, where the platform tells it."""
    return client.read_totals(tokens, account, window).days if isinstance(client, AnswersAtOnce) else ()


def questions(
    platform: PlatformName,
    tokens: TokenSource | None = None,
    account: AdAccount = ACCOUNT,
    held_: GrantTokens | None = None,
) -> dict[str, Question]:
    """Every question that a client can be asked; by default, each with a token that cannot be renewed."""
    source, day = tokens or static(platform), Period(since=NOW - OVERLAP, until=NOW)
    asked: dict[str, Question] = {
        "accounts": lambda client: client.list_accounts(source),
        "campaigns": lambda client: client.list_campaigns(source, account, client.products[0]),
        "changes": lambda client: client.list_campaigns(source, account, client.products[0], day),
        "metrics": lambda client: metrics(client, source, account),
        "renewal": lambda client: client.renew(held_ or held(refresh=SECRET)),
    }
    return asked if platform is AMAZON else asked | {"totals": lambda client: totals(client, source, account)}


@contextmanager
def refused(kind: type[PlatformError], match: str | None = None, *secrets: str) -> Iterator[Any]:
    """Expect exactly this error, with a short text that reveals no secret."""
    with pytest.raises(kind, match=match) as caught:
        yield caught
    assert type(caught.value) is kind
    assert_no_secret(caught.value, *secrets)


def assert_no_secret(error: PlatformError, *secrets: str) -> None:
    text = f"{error} {error!r} {error.args}"
    assert not [word for word in (TOKEN, SECRET, CLIENT_SECRET, "://", "Bearer", *secrets) if word in text]
    assert error.__cause__ is None
    assert len(str(error)) < 220
