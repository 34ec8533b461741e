"""The rig of the clients' tests: a client for one grant of the sandbox, or for canned answers."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sandbox.accounts import Account
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.faults import Fault, FaultKind
from sandbox.figures import ZERO, Figures
from sandbox.tokens import Grant
from sandbox.world import World
from sivera import values
from sivera.breaker import Breaker
from sivera.errors import PlatformError
from sivera.platforms import base, open_client
from sivera.values import AdAccount, DateWindow, Period, PlatformName, ReportRequest
from tests.conftest import NOW

GOOGLE, META, AMAZON, TIKTOK = PlatformName
WINDOW = DateWindow(since=date(2026, 11, 1), until=date(2026, 11, 20))
DAY = date(2026, 11, 18)
OVERLAP = timedelta(hours=24)
TOKEN = "act.0123456789abcdef0123456789abcdef01234567"
SECRET = "fedcba9876543210fedcba9876543210fedcba98"
ACCOUNT = AdAccount(
    external_id="7100000000000000000", name="Hanok", currency="USD", timezone="America/New_York", region="na"
)


class Reader:
    """Asks a client about one grant and one ad account."""

    client: base.PlatformClient
    tokens: base.TokenSource

    @property
    def account(self) -> AdAccount:
        return ACCOUNT

    def accounts(self) -> values.AccountListing:
        return self.client.list_accounts(self.tokens)

    def campaigns(
        self, product: str = "", changed: Period | None = None, account: AdAccount | None = None
    ) -> values.CampaignListing:
        product = product or self.client.products[0]
        return self.client.list_campaigns(self.tokens, account or self.account, product, changed)

    def metrics(self, window: DateWindow = WINDOW, actions: Sequence[str] = ()) -> Iterator[values.MetricsReading]:
        assert isinstance(self.client, base.AnswersAtOnce)
        return self.client.read_metrics(self.tokens, self.account, window, actions)

    def totals(self, window: DateWindow = WINDOW) -> values.TotalsReading:
        assert isinstance(self.client, base.AnswersAtOnce)
        return self.client.read_totals(self.tokens, self.account, window)

    def deleted(self, ids: Iterable[str]) -> frozenset[str]:
        assert isinstance(self.client, base.ConfirmsDeletions)
        return self.client.deleted_among(self.tokens, self.account, ids)

    def report_windows(self, product: str, window: DateWindow, today: date) -> Sequence[DateWindow]:
        assert isinstance(self.client, base.PreparesReports)
        return self.client.report_windows(product, window, today)

    def request(
        self, product: str = "", window: DateWindow = WINDOW, account: AdAccount | None = None
    ) -> ReportRequest:
        assert isinstance(self.client, base.PreparesReports)
        product = product or self.client.products[0]
        report_id = self.client.request_report(self.tokens, account or self.account, product, window)
        return ReportRequest(report_id=report_id, ad_product=product, window=window, requested_at=NOW)

    def collect(self, request: ReportRequest) -> values.MetricsReading | None:
        assert isinstance(self.client, base.PreparesReports)
        return self.client.collect_report(self.tokens, self.account, request)

    def renew(self) -> values.GrantTokens:
        return self.client.renew(held(TOKEN, SECRET))

    def revoke(self, tokens: values.GrantTokens) -> None:
        assert isinstance(self.client, base.Revokes)
        self.client.revoke(tokens)

    def questions(self) -> dict[str, Callable[[], object]]:
        """Every question that a client can be asked."""
        is_prompt = isinstance(self.client, base.AnswersAtOnce)
        asked: dict[str, Callable[[], object]] = {
            "accounts": self.accounts,
            "campaigns": self.campaigns,
            "changes": lambda: self.campaigns(changed=Period(since=NOW - OVERLAP, until=NOW)),
            "metrics": lambda: list(self.metrics()) if is_prompt else self.request(),
            "renewal": self.renew,
        }
        return asked | ({"totals": self.totals} if is_prompt else {})


class Canned(Reader):
    """A client with a static token that gets canned answers in turn, the last one repeatedly."""

    def __init__(
        self, platform: PlatformName, *answers: Any, status: int = 200, app: base.AppCredentials | None = None
    ) -> None:
        self.answers, self.status = list(answers), status
        self.requests: list[httpx.Request] = []
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        self.client = open_client(platform, app or app_at("http://platform.test", SECRET), http=http)
        self.tokens = static(platform)

    def _answer(self, request: httpx.Request) -> httpx.Response:
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


class Rig(Reader):
    """A client for one grant of the sandbox. It renews the grant's tokens itself, as in production.

    `site` is the sandbox's side of the first account.
    """

    def __init__(self, world: World, platform: PlatformName, url: str, grant: Grant) -> None:
        self.world, self.platform, self.url, self.grant = world, platform, url, grant
        self.tokens, self.held, self.renewals = self, self.new_tokens(), 0
        self.open()

    def open(self, http: httpx.Client | None = None, **app: Any) -> None:
        self.breaker = Breaker(monotonic=lambda: 0.0)
        self.client = open_client(self.platform, app_at(self.url, **app), self.breaker, http)

    def reopen(self, http: httpx.Client | None = None, **app: Any) -> None:
        """Replace the client and its breaker."""
        self.client.close()
        self.open(http, **app)

    def current(self) -> str:
        return self.held.access_token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        assert rejected == self.current()
        self.renewals += 1
        self.held = self.renew()
        return self.current()

    def new_tokens(self) -> values.GrantTokens:
        access, _, refresh = self.world.issue_tokens(self.grant)
        return held(access, refresh)

    @property
    def sites(self) -> list[Account]:
        return self.world.accounts_of(self.grant)

    @property
    def site(self) -> Account:
        return self.sites[0]

    @property
    def account(self) -> AdAccount:
        return ours(self.site)

    @property
    def listable(self) -> set[str]:
        """The campaigns that the platform lists: on Meta not the deleted ones."""
        return {
            id_
            for id_, campaign in self.site.campaigns.items()
            if self.platform is not META or campaign.state is not values.CampaignStatus.REMOVED
        }

    def change(self, campaign_id: str, **changes: Any) -> None:
        self.world.change_campaign(self.platform, self.site.id, campaign_id, **changes)

    def fault(self, kind: FaultKind, operation: str | None = None, **options: Any) -> Fault:
        """Make calls fail."""
        fault = Fault(kind, self.platform, operation, **options)
        self.world.faults.add(fault)
        return fault

    def calls(self, operation: str | None = None) -> int:
        return self.world.faults.count(self.platform, operation)

    def renew(self) -> values.GrantTokens:
        return self.client.renew(self.held)

    def listings(self, changed: Period | None = None) -> list[values.CampaignListing]:
        """List the campaigns of every ad product."""
        return [self.campaigns(product, changed) for product in self.client.products]

    def listed(self) -> dict[str, values.Campaign]:
        listings = self.listings()
        assert all(listing.complete for listing in listings)
        return {campaign.external_id: campaign for listing in listings for campaign in listing.campaigns}

    def changed_since(self, ago: timedelta = timedelta()) -> list[values.CampaignListing]:
        """List the changes since that long ago, with the overlap of a day that the sync adds."""
        now = self.world.clock.now()
        return self.listings(Period(since=now - ago - OVERLAP, until=now + OVERLAP))

    def read(self, window: DateWindow = WINDOW) -> list[values.MetricsReading]:
        """Read the metrics of the window, from reports if the platform prepares them."""
        if isinstance(self.client, base.AnswersAtOnce):
            return list(self.metrics(window))
        today = self.site.today(self.world.clock.now())
        readings = [
            self.collect(self.request(product, part))
            for product in self.client.products
            for part in self.report_windows(product, window, today)
        ]
        assert None not in readings
        return [reading for reading in readings if reading]

    def rows(self, window: DateWindow = WINDOW) -> dict[tuple[str, date], values.DailyMetrics]:
        rows = [row for reading in self.read(window) for row in reading.rows]
        found = {(row.campaign_id, row.day): row for row in rows}
        assert len(found) == len(rows)
        return found

    def spend(self) -> dict[date, Decimal]:
        """Read the account's spend on each day."""
        read = self.totals()
        assert {total.currency for total in read.days} <= {self.site.currency}
        return {total.day: total.spend for total in read.days if total.spend}

    def spend_of_campaigns(self) -> dict[date, Decimal]:
        rows = self.rows()
        return {on: sum((row.spend for (_, day), row in rows.items() if day == on), Decimal(0)) for _, on in rows}

    def truth(self, window: DateWindow = WINDOW) -> dict[tuple[str, date], Figures]:
        """The world's figures of the account."""
        reported = [c for c in self.site.campaigns.values() if not c.single_ad_group]
        every = {(c.id, day): self.world.figures(self.site, c, day) for c in reported for day in window.days}
        return {key: figures for key, figures in every.items() if figures != ZERO}


def app_at(url: str | None, secret: str = CLIENT_SECRET, **more: Any) -> base.AppCredentials:
    return base.AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr(secret), base_url=url, **more)


def ours(site: Account) -> AdAccount:
    """Our side of an account of the sandbox."""
    return AdAccount(
        external_id=site.id, name=site.name, currency=site.currency, timezone=site.timezone, region=site.region
    )


def figures_of(row: values.DailyMetrics) -> Figures:
    return Figures(row.impressions, row.clicks, row.spend, row.conversions, row.conversion_value)


def static(platform: PlatformName, token: str = TOKEN) -> base.StaticToken:
    return base.StaticToken(SecretStr(token), platform)


def held(access: str = TOKEN, refresh: str | None = None) -> values.GrantTokens:
    return values.GrantTokens(access_token=SecretStr(access), refresh_token=SecretStr(refresh) if refresh else None)


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
