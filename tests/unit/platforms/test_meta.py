"""Our Meta client against the sandbox over real HTTP, and Meta's real error bodies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

import httpx
import pytest
from pydantic import SecretStr

from sandbox.faults import Fault, FaultKind, Quota
from sandbox.world import CLIENT_ID, CLIENT_SECRET, ZERO, Account, Figures, Grant, World
from sivera import values
from sivera.breaker import Breaker
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    Throttled,
    ThrottleScope,
    TokenRejected,
    Unavailable,
)
from sivera.platforms.base import AppCredentials, StaticToken, new_http_client
from sivera.platforms.meta import MetaAds
from sivera.values import (
    AccountStatus,
    AdAccount,
    Budget,
    BudgetKind,
    CampaignStatus,
    DateWindow,
    GrantTokens,
    PlatformName,
)
from tests.conftest import NOW, PATIENCE_SECONDS

META = PlatformName.META
LAST_DAYS = DateWindow(since=date(2026, 11, 18), until=date(2026, 11, 20))


@dataclass
class Tokens:
    """The tokens of a grant that another process renews."""

    world: World
    grant: Grant
    held: str = ""
    rejected: list[str] = field(default_factory=list)

    def current(self) -> str:
        self.held = self.held or self.world.issue_access(self.grant)[0]
        return self.held

    def renewed(self, rejected: str) -> str:
        self.rejected.append(rejected)
        self.held = ""
        return self.current()


@pytest.fixture
def grant(world: World) -> Grant:
    return world.add_grant(META, accounts=3, campaigns=24)


@pytest.fixture
def tokens(world: World, grant: Grant) -> Tokens:
    return Tokens(world, grant)


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(monotonic=lambda: 0.0)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with new_http_client() as client:
        yield client


@pytest.fixture
def client(sandbox: str, http: httpx.Client, breaker: Breaker, world: World) -> MetaAds:
    return MetaAds(app_at(f"{sandbox}/meta"), http, breaker, world.clock.now)


@pytest.fixture
def site(world: World, grant: Grant) -> Account:
    """The sandbox's side of an account."""
    return world.accounts_of(grant)[0]


@pytest.fixture
def account(site: Account) -> AdAccount:
    """Our side of it."""
    return ours(site)


def app_at(url: str, secret: str = CLIENT_SECRET, app_id: str = CLIENT_ID) -> AppCredentials:
    return AppCredentials(client_id=app_id, client_secret=SecretStr(secret), base_url=url)


def ours(site: Account) -> AdAccount:
    return AdAccount(external_id=site.id, name=site.name, currency=site.currency, timezone=site.timezone)


def grant_tokens(text: str) -> GrantTokens:
    return GrantTokens(access_token=SecretStr(text), refresh_token=SecretStr("kept"))


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_accounts_of_all_pages_are_listed_closed_ones_marked(client: MetaAds, world: World) -> None:
    grant = world.add_grant(META, accounts=130)
    sites = world.accounts_of(grant)
    sites[3].closed = True
    listed = client.list_accounts(Tokens(world, grant))
    assert listed[3] == ours(sites[3]).model_copy(update={"status": AccountStatus.CLOSED})
    assert [a for a in listed if a.status is AccountStatus.ACTIVE] == [ours(s) for s in sites if not s.closed]
    assert world.faults.count(META, "accounts") == 2


# -- campaigns --------------------------------------------------------------------------------------------------------


def test_full_listing_is_complete_over_pages(client: MetaAds, world: World) -> None:
    grant = world.add_grant(META, campaigns=230)
    site = world.accounts_of(grant)[0]
    listing = client.list_campaigns(Tokens(world, grant), ours(site))
    assert listing.complete
    assert [campaign.external_id for campaign in listing.campaigns] == list(site.campaigns)
    assert world.faults.count(META, "campaigns") == 3


def test_token_travels_in_the_header_and_never_in_the_address(
    client: MetaAds, world: World, tokens: Tokens, account: AdAccount
) -> None:
    client.list_accounts(tokens)
    client.list_campaigns(tokens, account)
    client.read_metrics(tokens, account, LAST_DAYS)
    addresses = [text for _, _, text in world.faults.log]
    assert all("appsecret_proof=" in address and tokens.held not in address for address in addresses)
    assert len(addresses) == 3


def test_campaign_is_read_in_full(client: MetaAds, world: World, tokens: Tokens, site: Account) -> None:
    site.currency, site.timezone = "EUR", "Europe/Berlin"
    made = world.add_campaign(
        META,
        site.id,
        name="여름 세일",
        state=CampaignStatus.PAUSED,
        product="OUTCOME_SALES",
        budget_kind=BudgetKind.DAILY,
        budget=Decimal("12.34"),
        start=date(2026, 7, 1),
        end=date(2026, 8, 31),
    )
    listing = client.list_campaigns(tokens, ours(site))
    assert listing.campaigns[-1] == values.Campaign(
        external_id=made.id,
        name="여름 세일",
        status=CampaignStatus.PAUSED,
        native_status="PAUSED",
        ad_product="OUTCOME_SALES",
        budget=Budget(kind=BudgetKind.DAILY, amount=Decimal("12.34"), currency="EUR"),
        start_date=date(2026, 7, 1),
        end_date=date(2026, 8, 31),
        updated_at=NOW,
    )


def test_every_state_is_listed(client: MetaAds, world: World, tokens: Tokens, site: Account) -> None:
    expected = {
        world.add_campaign(META, site.id, state=state).id: (status, native)
        for state, status, native in (
            (CampaignStatus.ACTIVE, CampaignStatus.ACTIVE, "ACTIVE"),
            (CampaignStatus.PAUSED, CampaignStatus.PAUSED, "PAUSED"),
            (CampaignStatus.ARCHIVED, CampaignStatus.ARCHIVED, "ARCHIVED"),
            (CampaignStatus.REMOVED, CampaignStatus.REMOVED, "DELETED"),
            (CampaignStatus.OTHER, CampaignStatus.ACTIVE, "WITH_ISSUES"),
        )
    }
    listed = client.list_campaigns(tokens, ours(site)).campaigns
    found = {campaign.external_id: (campaign.status, campaign.native_status) for campaign in listed}
    assert {campaign_id: found[campaign_id] for campaign_id in expected} == expected


def test_budgets_come_back_in_major_units(client: MetaAds, world: World, tokens: Tokens, site: Account) -> None:
    made = [
        world.add_campaign(META, site.id, budget_kind=kind, budget=Decimal(4500), state=CampaignStatus.ACTIVE)
        for kind in (BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL)
    ]
    for currency in ("USD", "KRW", "JPY", "TWD", "HUF"):
        site.currency = currency
        found = {c.external_id: c.budget for c in client.list_campaigns(tokens, ours(site)).campaigns}
        assert [found[campaign.id] for campaign in made] == [
            Budget(kind=BudgetKind.DAILY, amount=Decimal(4500), currency=currency),
            Budget(kind=BudgetKind.LIFETIME, amount=Decimal(4500), currency=currency),
            Budget(kind=BudgetKind.LOWER_LEVEL, amount=None, currency=currency),
        ]


def test_changes_since_a_cursor_reach_back_a_little(
    client: MetaAds, world: World, tokens: Tokens, site: Account
) -> None:
    first, second, third, *_ = site.campaigns
    world.change_campaign(META, site.id, first, name="before the overlap")
    world.clock.advance(timedelta(minutes=11))
    world.remove_campaign(META, site.id, second)
    world.clock.advance(timedelta(minutes=9))
    cursor = world.clock.now()
    world.change_campaign(META, site.id, third, name="at the cursor")
    listing = client.list_campaigns(tokens, ours(site), cursor)
    assert {c.external_id: c.status for c in listing.campaigns} == {
        second: CampaignStatus.REMOVED,
        third: CampaignStatus.ACTIVE,
    }
    assert not listing.complete


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_of_all_pages_are_read(client: MetaAds, world: World) -> None:
    grant = world.add_grant(META, campaigns=70)
    site = world.accounts_of(grant)[0]
    window = DateWindow(since=date(2026, 10, 24), until=date(2026, 11, 20))
    days = [window.since + timedelta(days=offset) for offset in range(28)]
    batch = client.read_metrics(Tokens(world, grant), ours(site), window).batches[0]
    assert batch.window == window
    assert {(row.campaign_id, row.day): figures_of(row) for row in batch.rows} == {
        (campaign.id, day): figures
        for campaign in site.campaigns.values()
        for day in days
        if (figures := world.figures(site, campaign, day)) != ZERO
    }
    assert world.faults.count(META, "metrics") == -(-len(batch.rows) // 500) > 1


def figures_of(row: values.DailyMetrics) -> Figures:
    return Figures(row.impressions, row.clicks, row.spend, row.conversions, row.conversion_value)


def test_restated_zero_and_deleted_days(
    client: MetaAds, world: World, tokens: Tokens, site: Account, account: AdAccount
) -> None:
    first, second, *_ = site.campaigns
    restated = Figures(1000, 50, Decimal("12.34"), Decimal("3.5"), Decimal("700.25"))
    world.restate(first, LAST_DAYS.since, restated)
    world.restate(first, LAST_DAYS.until, ZERO)
    world.restate(second, LAST_DAYS.until, restated)
    world.remove_campaign(META, site.id, second)
    rows = client.read_metrics(tokens, account, LAST_DAYS).batches[0].rows
    found = {(row.campaign_id, row.day): figures_of(row) for row in rows}
    assert found[first, LAST_DAYS.since] == found[second, LAST_DAYS.until] == restated
    assert (first, LAST_DAYS.until) not in found
    assert {row.currency for row in rows} == {account.currency}


def test_too_much_data_is_asked_for_in_smaller_pages(
    client: MetaAds, world: World, tokens: Tokens, account: AdAccount
) -> None:
    window = DateWindow(since=date(2026, 9, 22), until=date(2026, 11, 20))  # 60 days: the sandbox allows 250 rows
    rows = client.read_metrics(tokens, account, window).batches[0].rows
    assert len({(row.campaign_id, row.day) for row in rows}) == len(rows) > 500
    assert world.faults.count(META, "metrics") == 1 + -(-len(rows) // 250)


def test_too_much_data_ends_at_the_smallest_page(
    client: MetaAds, world: World, tokens: Tokens, account: AdAccount
) -> None:
    window = DateWindow(since=date(2024, 1, 1), until=date(2026, 11, 20))
    with pytest.raises(Unavailable, match="so much data"):
        client.read_metrics(tokens, account, window)
    assert world.faults.count(META, "metrics") == 6  # 500, 250, 125, 62, 31, 25


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_renewal_gives_sixty_days(client: MetaAds, tokens: Tokens) -> None:
    renewed = client.renew(grant_tokens(tokens.current()))
    assert renewed.access_token.get_secret_value() != tokens.held
    assert renewed.expires_in == timedelta(days=60)
    assert renewed.refresh_token == SecretStr("kept")
    assert client.list_accounts(StaticToken(renewed.access_token, META))


def test_renewal_of_a_token_without_end(client: MetaAds, grant: Grant, tokens: Tokens) -> None:
    grant.expires = False
    assert client.renew(grant_tokens(tokens.current())).expires_in is None


@pytest.mark.parametrize("end", ["expired", "revoked", "nonsense"])
def test_renewal_of_a_dead_token_needs_a_human(client: MetaAds, world: World, tokens: Tokens, end: str) -> None:
    token = "nonsense" if end == "nonsense" else tokens.current()
    world.expire_access(tokens.grant.id) if end == "expired" else world.revoke_grant(tokens.grant.id)
    with pytest.raises(ReconnectRequired):
        client.renew(grant_tokens(token))


@pytest.mark.parametrize(("app_id", "secret"), [("other", CLIENT_SECRET), (CLIENT_ID, "wrong-secret")])
def test_renewal_with_wrong_keys_is_our_fault(
    sandbox: str, http: httpx.Client, breaker: Breaker, tokens: Tokens, app_id: str, secret: str
) -> None:
    client = MetaAds(app_at(f"{sandbox}/meta", secret, app_id), http, breaker, lambda: NOW)
    with pytest.raises(Misconfigured):
        client.renew(grant_tokens(tokens.current()))


def test_proof_of_another_app_is_our_fault(
    sandbox: str, http: httpx.Client, breaker: Breaker, tokens: Tokens, account: AdAccount
) -> None:
    client = MetaAds(app_at(f"{sandbox}/meta", "wrong-secret"), http, breaker, lambda: NOW)
    with pytest.raises(Misconfigured, match="appsecret_proof"):
        client.list_campaigns(tokens, account)


def test_token_refused_between_pages_is_renewed_once(client: MetaAds, world: World) -> None:
    grant = world.add_grant(META, campaigns=230)
    site, tokens = world.accounts_of(grant)[0], Tokens(world, grant)
    world.faults.add(Fault(FaultKind.STATUS, META, "campaigns", match="after=", status=401, times=1))
    assert len(client.list_campaigns(tokens, ours(site)).campaigns) == 230
    assert len(tokens.rejected) == 1
    assert world.faults.count(META, "campaigns") == 4


def test_token_that_another_process_renewed_is_used(
    client: MetaAds, world: World, tokens: Tokens, account: AdAccount
) -> None:
    stale = tokens.current()
    world.expire_access(tokens.grant.id)
    assert client.list_campaigns(tokens, account).complete
    assert tokens.rejected == [stale]


def test_refusal_of_the_renewed_token_counts(client: MetaAds, world: World, tokens: Tokens, account: AdAccount) -> None:
    world.faults.add(Fault(FaultKind.STATUS, META, status=401))
    with pytest.raises(TokenRejected):
        client.list_campaigns(tokens, account)
    assert (len(tokens.rejected), world.faults.count(META)) == (1, 2)


def test_revoked_grant_needs_a_human_at_once(client: MetaAds, world: World, tokens: Tokens, account: AdAccount) -> None:
    tokens.current()
    world.revoke_grant(tokens.grant.id)
    with pytest.raises(ReconnectRequired, match="removed our app"):
        client.list_campaigns(tokens, account)
    assert tokens.rejected == []


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_closed_foreign_and_unknown_accounts(client: MetaAds, world: World, tokens: Tokens, site: Account) -> None:
    foreign = world.accounts_of(world.add_grant(META))[0]
    site.closed = True
    unknown = ours(site).model_copy(update={"external_id": "1"})
    for account in (ours(site), ours(foreign), unknown):
        with pytest.raises(AccountInaccessible):
            client.read_metrics(tokens, account, LAST_DAYS)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(FaultKind.STATUS, status=500), Unavailable),
        (Fault(FaultKind.STATUS, status=503), Unavailable),
        (Fault(FaultKind.STATUS, status=400), InvalidRequest),
        (Fault(FaultKind.STATUS, status=403), AccountInaccessible),
        (Fault(FaultKind.HTML, status=502), Unavailable),
        (Fault(FaultKind.HTML, status=200), InvalidReply),
        (Fault(FaultKind.TRUNCATED), InvalidReply),
        (Fault(FaultKind.MALFORMED), InvalidReply),
        (Fault(FaultKind.DISCONNECT), Unavailable),
        (Fault(FaultKind.HANG), Unavailable),
        (Fault(FaultKind.THROTTLE), Throttled),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_faults_become_errors_without_secrets(
    sandbox: str, world: World, tokens: Tokens, account: AdAccount, fault: Fault, expected: type[PlatformError]
) -> None:
    world.faults.add(fault)
    reading = 0.3 if fault.kind is FaultKind.HANG else PATIENCE_SECONDS
    with httpx.Client(timeout=httpx.Timeout(PATIENCE_SECONDS, read=reading)) as http:
        client = MetaAds(app_at(f"{sandbox}/meta"), http, Breaker(), lambda: NOW)
        calls: tuple[Callable[[], object], ...] = (
            lambda: client.list_campaigns(tokens, account),
            lambda: client.renew(grant_tokens(tokens.current())),
        )
        with pytest.raises(expected) as caught:
            calls[0]()
        with pytest.raises(PlatformError) as renewing:
            calls[1]()
    for error in (caught.value, renewing.value):
        assert_no_secret(error, tokens.held)


def assert_no_secret(error: PlatformError, *secrets: str) -> None:
    assert not any(secret in str(error) for secret in (*secrets, CLIENT_SECRET, "http:", "https:"))
    assert error.__cause__ is None
    assert len(str(error)) < 220


def test_throttled_app_stops_everyone(
    client: MetaAds, world: World, breaker: Breaker, tokens: Tokens, account: AdAccount
) -> None:
    world.faults.add(Fault(FaultKind.THROTTLE, META, times=1))
    with pytest.raises(Throttled) as caught:
        client.list_campaigns(tokens, account)
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.PLATFORM, 600)
    assert breaker.seconds_left(META) == 600
    with pytest.raises(Throttled, match="put off"):
        client.list_accounts(tokens)
    assert world.faults.count(META) == 1


def test_throttled_account_stops_nobody_else(
    client: MetaAds, world: World, breaker: Breaker, tokens: Tokens, account: AdAccount
) -> None:
    world.faults.add(Fault(FaultKind.THROTTLE, META, match=account.external_id, seconds=90))
    with pytest.raises(Throttled) as caught:
        client.list_campaigns(tokens, account)
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ACCOUNT, 120)
    assert breaker.seconds_left(META) == 0
    assert client.list_campaigns(tokens, ours(world.accounts_of(tokens.grant)[1])).complete


@pytest.mark.parametrize(("calls", "pause"), [(2, 600), (7, 120), (20, 0)])
def test_busy_app_pauses_once_the_account_is_read(
    client: MetaAds, world: World, breaker: Breaker, tokens: Tokens, account: AdAccount, calls: int, pause: int
) -> None:
    world.faults.quotas[META] = Quota(calls, 60)
    for _ in range(min(calls - 1, 5)):
        assert client.list_campaigns(tokens, account).complete
        assert breaker.seconds_left(META) == 0
    assert client.read_metrics(tokens, account, LAST_DAYS).batches[0].rows
    assert breaker.seconds_left(META) == pause


# -- replies whose pages or tokens are not what Meta documents --------------------------------------------------------


def client_of(*bodies: object) -> MetaAds:
    """Return a client of a server that gives these answers in turn, and the last one for ever."""
    answers = list(bodies)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers.pop(0) if len(answers) > 1 else answers[0])

    return MetaAds(
        app_at("http://meta.test"), httpx.Client(transport=httpx.MockTransport(answer)), Breaker(), lambda: NOW
    )


def page(*rows: object, after: object = "a") -> dict[str, object]:
    return {"data": list(rows), "paging": {"cursors": {"after": after}, "next": "http://meta.test/next"}}


ACCOUNT = AdAccount(external_id="1", name="A", currency="USD", timezone="America/New_York")
CAMPAIGN_ROW = {"id": "1", "name": "Sale", "status": "ACTIVE", "effective_status": "ACTIVE"}
LAST_PAGE = {"data": [CAMPAIGN_ROW], "paging": {"cursors": {"after": "z"}}}
PASTED = StaticToken(SecretStr("EAABpasted"), META)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({"data": None}, "data"),
        ({"data": [1]}, "data"),
        ({"data": [], "paging": []}, "paging"),
        (page(after=7), "cursors.after"),
        (page(after=""), "cursors.after"),
        ({"data": [], "paging": {"next": "http://meta.test/next"}}, "cursors.after"),
    ],
)
def test_malformed_pages_are_refused(body: object, field: str) -> None:
    with pytest.raises(InvalidReply, match=field):
        client_of(body).list_campaigns(PASTED, ACCOUNT)


def test_paging_that_goes_in_a_circle_is_refused() -> None:
    with pytest.raises(InvalidReply, match="same page twice"):
        client_of(page(after="a"), page(after="b"), page(after="a")).list_campaigns(PASTED, ACCOUNT)


def test_campaign_on_two_pages_is_listed_once_and_the_last_page_may_be_empty() -> None:
    other = CAMPAIGN_ROW | {"id": "2"}
    listing = client_of(page(CAMPAIGN_ROW, other), LAST_PAGE).list_campaigns(PASTED, ACCOUNT)
    assert [campaign.external_id for campaign in listing.campaigns] == [CAMPAIGN_ROW["id"], "2"]
    assert client_of({"data": []}).list_campaigns(PASTED, ACCOUNT).campaigns == ()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"token_type": "bearer"}, "access_token"),
        ({"access_token": ""}, "access_token"),
        ({"access_token": "EAABnew", "expires_in": "soon"}, "expires_in"),
        ({"access_token": "EAABnew", "expires_in": -1}, "expires_in"),
        (None, "body"),
    ],
)
def test_malformed_renewals_are_refused(body: object, field: str) -> None:
    with pytest.raises(InvalidReply, match=field) as caught:
        client_of(body).renew(grant_tokens("EAABold"))
    assert_no_secret(caught.value, "EAABold", "EAABnew")
