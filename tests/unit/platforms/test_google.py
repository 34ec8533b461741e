"""The Google Ads client against the sandbox over real HTTP, and against error bodies and rows as Google writes them."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import google.auth.transport.requests
import httpx
import orjson
import pytest
from google.ads.googleads.v26.errors.types import errors as google_errors
from google.ads.googleads.v26.services.types.google_ads_service import GoogleAdsRow
from google.auth.exceptions import RefreshError
from google.oauth2 import _client as google_oauth
from google.oauth2.credentials import Credentials
from pydantic import SecretStr
from tenacity import Retrying, stop_after_delay, wait_fixed

from sandbox.faults import Fault, FaultKind
from sandbox.world import CLIENT_ID, CLIENT_SECRET, LOCALES, Account, Figures, World
from sivera.breaker import Breaker
from sivera.errors import (
    AccountInaccessible,
    GrantRevoked,
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
from sivera.platforms.base import AppCredentials, Reply, StaticToken, TokenSource
from sivera.platforms.google import NAMES_PER_QUERY, GoogleAds
from sivera.platforms.google_errors import ADS_VERDICTS, oauth_error
from sivera.values import (
    AccountStatus,
    AdAccount,
    BudgetKind,
    Campaign,
    CampaignStatus,
    DateWindow,
    GrantTokens,
    PlatformName,
)
from tests.conftest import PATIENCE_SECONDS

GOOGLE = PlatformName.GOOGLE
TOKEN = "ya29.a-token-that-nobody-may-see"
WINDOW = DateWindow(since=date(2026, 11, 1), until=date(2026, 11, 20))
ACCOUNT = AdAccount(
    external_id="1000000000", name="A", currency="USD", timezone="America/New_York", manager_id="9000000001"
)
OURS = {
    CampaignStatus.ACTIVE: "ENABLED",
    CampaignStatus.PAUSED: "PAUSED",
    CampaignStatus.REMOVED: "REMOVED",
}


class RenewingToken:
    """The token of a grant that is renewed when it is refused, as a grant's tokens are."""

    def __init__(self, client: GoogleAds, tokens: GrantTokens) -> None:
        self.client, self.tokens = client, tokens

    def current(self) -> str:
        return self.tokens.access_token.get_secret_value()

    def renewed(self, rejected: str) -> str:
        assert rejected == self.current()
        self.tokens = self.client.renew(self.tokens)
        return self.current()


class Desk:
    """A client at work for one grant of the sandbox."""

    def __init__(self, world: World, url: str, http: httpx.Client, accounts: int = 3, campaigns: int = 8) -> None:
        self.world, self.url, self.http = world, f"{url}/google", http
        self.client = self.new_client()
        self.grant = world.add_grant(GOOGLE, accounts, campaigns)
        self.tokens = self.new_tokens()

    def new_client(self, http: httpx.Client | None = None, secret: str = CLIENT_SECRET) -> GoogleAds:
        app = AppCredentials(client_id=CLIENT_ID, client_secret=SecretStr(secret), base_url=self.url)
        return GoogleAds(app, http or self.http, Breaker(monotonic=lambda: 0.0), self.world.clock.now)

    def new_tokens(self) -> RenewingToken:
        access, _ = self.world.issue_access(self.grant)
        return RenewingToken(self.client, grant_tokens(access, self.world.issue_refresh(self.grant)))

    def accounts(self) -> tuple[AdAccount, ...]:
        return self.client.list_accounts(self.tokens)

    def campaigns(self, account: AdAccount) -> dict[str, Campaign]:
        listing = self.client.list_campaigns(self.tokens, account)
        assert listing.complete
        return {campaign.external_id: campaign for campaign in listing.campaigns}

    def calls(self, operation: str) -> int:
        return self.world.faults.count(GOOGLE, operation)

    def change(self, account: AdAccount, digit: int, **changes: Any) -> str:
        """Change an account's campaign, named by its place; return its id."""
        campaign_id = list(self.world.account(GOOGLE, account.external_id).campaigns)[digit]
        self.world.change_campaign(GOOGLE, account.external_id, campaign_id, **changes)
        return campaign_id


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
def desk(world: World, sandbox: str, http: httpx.Client) -> Desk:
    return Desk(world, sandbox, http)


def grant_tokens(access: str, refresh: str | None) -> GrantTokens:
    return GrantTokens(access_token=SecretStr(access), refresh_token=SecretStr(refresh) if refresh else None)


def answering(answer: Callable[[httpx.Request], httpx.Response], **app: Any) -> GoogleAds:
    """Return a client of the live platform whose network answers as told."""
    http = httpx.Client(transport=httpx.MockTransport(answer))
    credentials = AppCredentials(client_id="id", client_secret=SecretStr("the-secret"), **app)
    return GoogleAds(credentials, http, Breaker(), lambda: datetime(2026, 11, 20, tzinfo=UTC))


def static(token: str = TOKEN) -> TokenSource:
    return StaticToken(SecretStr(token), GOOGLE)


# -- accounts -----------------------------------------------------------------------------------------------------


def test_each_account_once_by_the_shortest_way_and_no_manager(desk: Desk) -> None:
    first, second, third = desk.world.accounts_of(desk.grant)

    accounts = {account.external_id: account for account in desk.accounts()}

    assert {id_: account.manager_id for id_, account in accounts.items()} == {
        first.id: None,
        second.id: desk.grant.manager_id,
        third.id: desk.grant.manager_id,
    }
    assert accounts[second.id] == AdAccount(
        external_id=second.id,
        name=second.name,
        currency=second.currency,
        timezone=second.timezone,
        manager_id=desk.grant.manager_id,
    )


def test_every_listed_account_can_be_read(desk: Desk) -> None:
    assert [len(desk.campaigns(account)) for account in desk.accounts()] == [8, 8, 8]


def test_closed_accounts_are_marked_even_if_they_answer_no_more(desk: Desk) -> None:
    direct, below, open_ = desk.world.accounts_of(desk.grant)
    direct.closed = below.closed = True

    status = {account.external_id: account.status for account in desk.accounts()}

    assert status == {
        direct.id: AccountStatus.CLOSED,
        below.id: AccountStatus.CLOSED,
        open_.id: AccountStatus.ACTIVE,
    }


@pytest.mark.parametrize("order", [["1", "2"], ["2", "1"]])
def test_an_account_below_two_managers_is_reached_through_the_nearer(order: list[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"resourceNames": [f"customers/{id_}" for id_ in order]})
        level = "2" if "/customers/1/" in request.url.path else "1"
        client = {"id": "77", "currencyCode": "EUR", "timeZone": "Europe/Berlin", "status": "ENABLED", "level": level}
        return httpx.Response(200, json=[{"results": [{"customerClient": client}], "fieldMask": "x"}])

    (account,) = answering(answer).list_accounts(static())

    assert (account.external_id, account.manager_id, account.name) == ("77", "2", "77")


def test_a_user_without_customers_has_no_accounts() -> None:
    assert answering(lambda _: httpx.Response(200, json={})).list_accounts(static()) == ()


# -- campaigns ----------------------------------------------------------------------------------------------------


def test_campaigns_in_all_states_and_with_all_budgets(desk: Desk) -> None:
    account = desk.accounts()[0]
    ended = desk.change(account, 0, end=date(2026, 11, 19))
    lower = desk.change(account, 1, budget_kind=BudgetKind.LOWER_LEVEL)
    unknown = desk.change(account, 3, state=CampaignStatus.OTHER)

    listed = desk.campaigns(account)

    theirs = desk.world.account(GOOGLE, account.external_id).campaigns
    assert list(listed) == list(theirs)
    for id_, campaign in listed.items():
        one = theirs[id_]
        assert (campaign.name, campaign.ad_product, campaign.start_date) == (one.name, one.product, one.start)
        if id_ not in (ended, unknown):
            assert (campaign.status, campaign.native_status) == (one.state, OURS[one.state])
        assert campaign.budget.kind is one.budget_kind
        if id_ != lower:
            assert (campaign.budget.amount, campaign.budget.budget_id) == (one.budget, one.budget_id)
    assert {campaign.budget.kind for campaign in listed.values()} == set(BudgetKind)
    assert (listed[ended].status, listed[ended].native_status) == (CampaignStatus.ENDED, "ENDED")
    assert listed[ended].end_date == date(2026, 11, 19)
    assert (listed[unknown].status, listed[unknown].native_status) == (CampaignStatus.OTHER, "UNKNOWN")
    assert listed[lower].budget.amount is None


def test_a_removed_campaign_is_removed_even_if_its_last_day_is_over(desk: Desk) -> None:
    account = desk.accounts()[0]
    id_ = desk.change(account, 0, end=date(2026, 11, 19), state=CampaignStatus.REMOVED)

    assert desk.campaigns(account)[id_].status is CampaignStatus.REMOVED


def test_money_is_exact_in_every_currency(desk: Desk) -> None:
    grant = desk.world.add_grant(GOOGLE, accounts=24, campaigns=1)
    client = desk.client
    tokens = static(desk.world.issue_access(grant)[0])
    accounts = client.list_accounts(tokens)
    for account in accounts:
        desk.change(account, 0, budget=Decimal("9876543210.123456"))
        (campaign,) = client.list_campaigns(tokens, account).campaigns
        assert campaign.budget.amount == Decimal("9876543210.123456")
        assert campaign.budget.currency == account.currency
    assert {account.currency for account in accounts} == {currency for _, currency in LOCALES}


def test_a_long_listing_is_whole(desk: Desk) -> None:
    grant = desk.world.add_grant(GOOGLE, accounts=1, campaigns=230)
    tokens = static(desk.world.issue_access(grant)[0])
    (account,) = desk.client.list_accounts(tokens)

    listing = desk.client.list_campaigns(tokens, account)

    assert listing.complete
    assert [c.external_id for c in listing.campaigns] == list(desk.world.accounts_of(grant)[0].campaigns)


# -- changes ------------------------------------------------------------------------------------------------------


def test_a_listing_without_changes_costs_one_call(desk: Desk) -> None:
    account = desk.accounts()[1]

    listing = desk.client.list_campaigns(desk.tokens, account, desk.world.clock.now() - timedelta(hours=1))

    assert (listing.campaigns, listing.complete) == ((), False)
    assert (desk.calls("changes"), desk.calls("campaigns")) == (1, 0)


def test_changes_are_found_removed_and_new_ones_too(desk: Desk) -> None:
    account = desk.accounts()[1]
    since = desk.world.clock.now()
    desk.world.clock.advance(timedelta(minutes=50))
    renamed = desk.change(account, 0, name="Renamed")
    removed = desk.change(account, 1, state=CampaignStatus.REMOVED)
    added = desk.world.add_campaign(GOOGLE, account.external_id, budget_kind=BudgetKind.DAILY).id

    listing = desk.client.list_campaigns(desk.tokens, account, since)

    found = {campaign.external_id: campaign for campaign in listing.campaigns}
    assert found.keys() == {renamed, removed, added}
    assert len(listing.campaigns) == 3
    assert not listing.complete
    assert found[renamed].name == "Renamed"
    assert found[removed].status is CampaignStatus.REMOVED
    assert found == {id_: campaign for id_, campaign in desk.campaigns(account).items() if id_ in found}


def test_a_changed_shared_budget_brings_all_campaigns_that_draw_on_it(desk: Desk) -> None:
    account = desk.accounts()[1]
    changed = desk.change(account, 2, budget=Decimal(77))

    listing = desk.client.list_campaigns(desk.tokens, account, desk.world.clock.now())

    theirs = desk.world.account(GOOGLE, account.external_id).campaigns
    sharers = {id_ for id_, one in theirs.items() if one.budget_kind is BudgetKind.SHARED}
    assert len(sharers) == 2
    assert changed in sharers
    assert {campaign.external_id for campaign in listing.campaigns} == sharers
    assert {campaign.budget.amount for campaign in listing.campaigns} == {Decimal(77)}
    assert {campaign.budget.kind for campaign in listing.campaigns} == {BudgetKind.SHARED}


@pytest.mark.parametrize(("hours_before", "found"), [(0, True), (23, True), (25, False)])
def test_changes_overlap_by_a_day_in_every_time_zone(desk: Desk, hours_before: int, found: bool) -> None:
    grant = desk.world.add_grant(GOOGLE, accounts=24, campaigns=1)
    tokens = static(desk.world.issue_access(grant)[0])
    accounts = desk.client.list_accounts(tokens)
    assert {account.timezone for account in accounts} == {zone for zone, _ in LOCALES}
    for account in accounts:
        desk.change(account, 0, name="Renamed")
    since = desk.world.clock.now() + timedelta(hours=hours_before)
    desk.world.clock.advance(timedelta(hours=hours_before))
    tokens = static(desk.world.issue_access(grant)[0])

    listings = [desk.client.list_campaigns(tokens, account, since) for account in accounts]

    assert {len(listing.campaigns) for listing in listings} == {int(found)}


def test_changes_of_long_ago_are_a_full_listing(desk: Desk) -> None:
    account = desk.accounts()[1]

    listing = desk.client.list_campaigns(desk.tokens, account, desk.world.clock.now() - timedelta(days=90))

    assert listing.complete
    assert len(listing.campaigns) == 8


def test_more_changes_than_google_tells_are_a_full_listing(desk: Desk) -> None:
    account = desk.accounts()[1]
    for _ in range(6_000):  # a campaign and its budget are two changes, except where a budget is shared
        desk.world.add_campaign(GOOGLE, account.external_id, budget_kind=BudgetKind.DAILY)

    listing = desk.client.list_campaigns(desk.tokens, account, desk.world.clock.now())

    assert listing.complete
    assert len(listing.campaigns) == 6_008


def test_many_changes_are_asked_for_in_parts(desk: Desk) -> None:
    account = desk.accounts()[1]
    for _ in range(NAMES_PER_QUERY + 1):
        desk.world.add_campaign(GOOGLE, account.external_id, budget_kind=BudgetKind.LOWER_LEVEL)

    listing = desk.client.list_campaigns(desk.tokens, account, desk.world.clock.now())

    assert not listing.complete
    assert len({campaign.external_id for campaign in listing.campaigns}) == len(listing.campaigns) == 1_001
    assert desk.calls("campaigns") == 2


# -- metrics ------------------------------------------------------------------------------------------------------


def test_metrics_are_those_of_the_world_restated_days_too_and_zero_days_absent(desk: Desk) -> None:
    account = desk.accounts()[1]
    theirs = desk.world.account(GOOGLE, account.external_id)
    first = next(iter(theirs.campaigns))
    desk.world.restate(first, date(2026, 11, 3), Figures(9, 8, Decimal("7.654321"), Decimal("0.3"), Decimal("1.1")))
    desk.world.restate(first, date(2026, 11, 4), Figures(0, 0, Decimal(0), Decimal(0), Decimal(0)))

    (batch,) = desk.client.read_metrics(desk.tokens, account, WINDOW).batches

    assert batch.window == WINDOW
    read = {
        (row.campaign_id, row.day): Figures(
            row.impressions, row.clicks, row.spend, row.conversions, row.conversion_value
        )
        for row in batch.rows
    }
    assert len(read) == len(batch.rows)
    assert read == figures_of(desk.world, theirs)
    assert read[first, date(2026, 11, 3)].spend == Decimal("7.654321")
    assert (first, date(2026, 11, 4)) not in read
    assert {row.currency for row in batch.rows} == {account.currency}


def figures_of(world: World, account: Account) -> dict[tuple[str, date], Figures]:
    days = [WINDOW.since + timedelta(days=i) for i in range((WINDOW.until - WINDOW.since).days + 1)]
    all_days = {(c.id, day): world.figures(account, c, day) for c in account.campaigns.values() for day in days}
    return {key: figures for key, figures in all_days.items() if figures.impressions}


def test_the_day_is_the_accounts(desk: Desk) -> None:
    """At noon UTC of the 20th it is the 20th everywhere but in Auckland, so the clock goes on by six hours."""
    desk.world.clock.advance(timedelta(hours=6))
    tomorrow = DateWindow(since=date(2026, 11, 21), until=date(2026, 11, 21))

    days = {
        account.timezone: bool(desk.client.read_metrics(desk.tokens, account, tomorrow).batches[0].rows)
        for account in desk.accounts()
    }

    assert days == {"Australia/Sydney": True, "Europe/Berlin": False, "America/New_York": False}


# -- tokens -------------------------------------------------------------------------------------------------------


def test_a_refused_token_is_renewed_once_and_the_call_repeated_once(desk: Desk) -> None:
    account = desk.accounts()[1]
    desk.world.expire_access(desk.grant.id)

    assert len(desk.campaigns(account)) == 8

    assert (desk.calls("token"), desk.calls("campaigns")) == (1, 2)


def test_a_revoked_grant_needs_its_human(desk: Desk) -> None:
    account = desk.accounts()[1]
    desk.world.revoke_grant(desk.grant.id)

    with pytest.raises(ReconnectRequired, match="OAUTH_TOKEN_REVOKED"):
        desk.client.list_campaigns(desk.tokens, account)
    with pytest.raises(ReconnectRequired, match="invalid_grant"):
        desk.client.renew(desk.tokens.tokens)


def test_renewal_keeps_the_refresh_token_and_tells_when_the_new_one_ends(desk: Desk) -> None:
    before = desk.tokens.tokens

    after = desk.client.renew(before)

    assert after.refresh_token == before.refresh_token
    assert after.expires_in == timedelta(seconds=3599)
    assert desk.world.grant_of_access(GOOGLE, after.access_token.get_secret_value()) is desk.grant


def test_renewal_takes_over_a_rotated_refresh_token(desk: Desk) -> None:
    desk.grant.rotates = True
    first = desk.client.renew(desk.tokens.tokens)

    second = desk.client.renew(first)

    tokens = [each.refresh_token for each in (desk.tokens.tokens, first, second)]
    assert len(set(tokens)) == 3


def test_a_grant_without_refresh_token_needs_its_human(desk: Desk) -> None:
    with pytest.raises(ReconnectRequired):
        desk.client.renew(grant_tokens(TOKEN, None))
    assert desk.calls("token") == 0


def broken_token_endpoint(status: int) -> Callable[[Desk], None]:
    kind = FaultKind.THROTTLE if status == 429 else FaultKind.STATUS
    return lambda desk: desk.world.faults.add(Fault(kind, GOOGLE, "token", status=status, seconds=7))


@pytest.mark.parametrize(
    ("spoil", "secret", "verdict", "code"),
    [
        (lambda desk: desk.world.revoke_grant(desk.grant.id), CLIENT_SECRET, ReconnectRequired, "invalid_grant"),
        (lambda desk: setattr(desk.grant, "needs_login", True), CLIENT_SECRET, ReconnectRequired, "invalid_rapt"),
        (lambda _: None, "another secret", Misconfigured, "invalid_client"),
        (broken_token_endpoint(400), CLIENT_SECRET, Unavailable, "internal_failure"),
        (broken_token_endpoint(408), CLIENT_SECRET, Unavailable, "internal_failure"),
        (broken_token_endpoint(429), CLIENT_SECRET, Throttled, "rate_limit_exceeded"),
        (broken_token_endpoint(500), CLIENT_SECRET, Unavailable, "internal_failure"),
        (broken_token_endpoint(503), CLIENT_SECRET, Unavailable, "internal_failure"),
        (broken_token_endpoint(504), CLIENT_SECRET, Unavailable, "internal_failure"),
    ],
)
def test_google_auth_agrees_on_which_refusals_are_worth_another_try(
    desk: Desk, spoil: Callable[[Desk], None], secret: str, verdict: type[PlatformError], code: str
) -> None:
    spoil(desk)
    refresh = desk.tokens.tokens.refresh_token
    assert refresh is not None

    with pytest.raises(verdict) as ours:
        desk.new_client(secret=secret).renew(desk.tokens.tokens)
    with pytest.raises(RefreshError) as theirs:
        # The function below Credentials.refresh: it can be told not to wait and try three times by itself.
        google_oauth.refresh_grant(
            google.auth.transport.requests.Request(),  # type: ignore[no-untyped-call]
            f"{desk.url}/token",
            refresh.get_secret_value(),
            CLIENT_ID,
            secret,
            can_retry=False,
        )

    assert theirs.value.retryable is isinstance(ours.value, Unavailable | Throttled)
    assert ours.value.code == code
    assert refresh.get_secret_value() not in str(ours.value)


GOOGLES_STATUSES = sorted({400, 401, 403, *google.auth.transport.DEFAULT_RETRYABLE_STATUS_CODES})
GOOGLES_ERRORS = (
    "internal_failure",
    "server_error",
    "temporarily_unavailable",
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_request",
    "invalid_scope",
    "deleted_client",
)


@pytest.mark.parametrize("status", GOOGLES_STATUSES)
@pytest.mark.parametrize("error", GOOGLES_ERRORS)
def test_google_auth_agrees_on_every_status_and_error_that_it_knows(status: int, error: str) -> None:
    body = {"error": error, "error_description": "in words"}
    ours = oauth_error(Reply(status, httpx.Headers(), body))
    assert isinstance(ours, Unavailable | Throttled) is google_oauth._can_retry(status, body)  # type: ignore[no-untyped-call]


def test_google_auths_credentials_give_up_where_we_ask_a_human(desk: Desk) -> None:
    desk.grant.needs_login = True
    refresh = desk.world.issue_refresh(desk.grant)
    credentials = Credentials(None, refresh, None, f"{desk.url}/token", CLIENT_ID, CLIENT_SECRET)  # type: ignore[no-untyped-call]

    with pytest.raises(RefreshError, match="Reauthentication is needed") as error:
        credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]

    assert error.value.retryable is False


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "access_token"),
        ([], "access_token"),
        ({"access_token": 5, "expires_in": 3599}, "access_token"),
        ({"access_token": "ya29.x"}, "expires_in"),
        ({"access_token": "ya29.x", "expires_in": "soon"}, "expires_in"),
        ({"access_token": "ya29.x", "expires_in": -1}, "expires_in"),
        ({"access_token": "ya29.x", "expires_in": 3599, "refresh_token": 7}, "refresh_token"),
    ],
)
def test_a_token_answer_of_another_shape_is_not_taken(body: Any, named: str) -> None:
    client = answering(lambda _: httpx.Response(200, json=body))

    with pytest.raises(InvalidReply, match=named):
        client.renew(grant_tokens("old", "1//refresh"))


# -- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(FaultKind.THROTTLE, GOOGLE, seconds=512), Throttled),
        (Fault(FaultKind.STATUS, GOOGLE, status=500), Unavailable),
        (Fault(FaultKind.STATUS, GOOGLE, status=503), Unavailable),
        (Fault(FaultKind.HTML, GOOGLE, status=502), Unavailable),
        (Fault(FaultKind.HTML, GOOGLE, status=200), InvalidReply),
        (Fault(FaultKind.TRUNCATED, GOOGLE), InvalidReply),
        (Fault(FaultKind.MALFORMED, GOOGLE), InvalidReply),
        (Fault(FaultKind.DISCONNECT, GOOGLE), Unavailable),
        (Fault(FaultKind.HANG, GOOGLE), Unavailable),
    ],
    ids=lambda value: f"{value.kind.value} {value.status}" if isinstance(value, Fault) else "",
)
def test_each_fault_is_told_as_what_it_is_by_each_question(
    desk: Desk, fault: Fault, error: type[PlatformError]
) -> None:
    desk.world.faults.add(fault)
    tokens, since = desk.tokens, desk.world.clock.now()
    questions: list[Callable[[GoogleAds], object]] = [
        lambda client: client.list_accounts(tokens),
        lambda client: client.list_campaigns(tokens, ACCOUNT),
        lambda client: client.list_campaigns(tokens, ACCOUNT, since),
        lambda client: client.read_metrics(tokens, ACCOUNT, WINDOW),
        lambda client: client.renew(tokens.tokens),
    ]
    reading = 0.3 if fault.kind is FaultKind.HANG else PATIENCE_SECONDS
    with httpx.Client(timeout=httpx.Timeout(PATIENCE_SECONDS, read=reading)) as http:
        for ask in questions:
            with pytest.raises(error) as raised:
                ask(desk.new_client(http))
            assert type(raised.value) is error
            assert_tells_no_secret(raised.value, tokens.current())

    # The server may take up a call after its caller has given it up.
    for attempt in Retrying(wait=wait_fixed(0.01), stop=stop_after_delay(PATIENCE_SECONDS), reraise=True):
        with attempt:
            assert desk.world.faults.count(GOOGLE) == len(questions)


def assert_tells_no_secret(error: PlatformError, *secrets: str) -> None:
    assert not any(secret in f"{error} {error.args}" for secret in (*secrets, TOKEN, CLIENT_SECRET))
    assert "://" not in str(error)
    assert len(str(error)) < 200


def test_a_throttle_names_the_wait_and_keeps_everyone_from_calling(desk: Desk) -> None:
    desk.world.faults.add(Fault(FaultKind.THROTTLE, GOOGLE, seconds=512, times=1))

    for _ in range(2):
        with pytest.raises(Throttled) as raised:
            desk.accounts()
        assert raised.value.retry_after == 512
        assert raised.value.scope is ThrottleScope.PLATFORM

    assert desk.world.faults.count(GOOGLE) == 1


def failure(status: int, category: str, code: str, details: dict[str, Any] | None = None, message: str = "No.") -> Any:
    """Return an error body of Google Ads (PERMISSION_DENIED and the like are not looked at)."""
    error = {"errorCode": {category: code}, "message": message} | ({"details": details} if details else {})
    kind = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"
    return {"error": {"code": status, "message": "x", "status": "X", "details": [{"@type": kind, "errors": [error]}]}}


def gateway_error(status: int, reason: str) -> Any:
    """Return an error body of Google's gateway, which answers before Google Ads does."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
    return {"error": {"code": status, "message": "See https://x.test/?key=1", "status": "X", "details": [info]}}


ERROR_BODIES: list[tuple[int, Any, type[PlatformError]]] = [
    (401, failure(401, "authenticationError", "OAUTH_TOKEN_EXPIRED"), TokenRejected),
    (401, failure(401, "authenticationError", "OAUTH_TOKEN_INVALID"), TokenRejected),
    (401, failure(401, "authenticationError", "OAUTH_TOKEN_REVOKED"), GrantRevoked),
    (401, failure(401, "authenticationError", "OAUTH_TOKEN_DISABLED"), ReconnectRequired),
    (401, failure(401, "authenticationError", "GOOGLE_ACCOUNT_DELETED"), ReconnectRequired),
    (401, failure(401, "authenticationError", "NOT_ADS_USER"), ReconnectRequired),
    (401, failure(401, "authenticationError", "TWO_STEP_VERIFICATION_NOT_ENROLLED"), ReconnectRequired),
    (401, failure(401, "authenticationError", "ADVANCED_PROTECTION_NOT_ENROLLED"), ReconnectRequired),
    (401, failure(401, "authenticationError", "CUSTOMER_NOT_FOUND"), AccountInaccessible),
    (401, failure(401, "authenticationError", "A_CODE_OF_TOMORROW"), TokenRejected),
    (401, gateway_error(401, "ACCESS_TOKEN_EXPIRED"), TokenRejected),
    (401, None, TokenRejected),
    (403, failure(403, "authorizationError", "USER_PERMISSION_DENIED"), AccountInaccessible),
    (403, failure(403, "authorizationError", "CUSTOMER_NOT_ENABLED"), AccountInaccessible),
    (403, failure(403, "authorizationError", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION"), Misconfigured),
    (403, failure(403, "authorizationError", "PROJECT_DISABLED"), Misconfigured),
    (403, failure(403, "authorizationError", "DEVELOPER_TOKEN_NOT_APPROVED"), Misconfigured),
    (403, gateway_error(403, "SERVICE_DISABLED"), Misconfigured),
    (403, gateway_error(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), ReconnectRequired),
    (403, failure(403, "quotaError", "ACCESS_PROHIBITED"), Misconfigured),
    (400, failure(400, "requestError", "UNSUPPORTED_VERSION"), Misconfigured),
    (400, failure(400, "queryError", "UNRECOGNIZED_FIELD"), InvalidRequest),
    (400, failure(400, "queryError", "REQUESTED_METRICS_FOR_MANAGER"), InvalidRequest),
    (400, {"error": {"code": 400, "message": "Invalid JSON payload received."}}, InvalidRequest),
    (400, {"error": "a shape of tomorrow"}, InvalidRequest),
    (400, {"error": {"details": ["text", {"errors": ["text", {"errorCode": "text"}]}]}}, InvalidRequest),
    (404, {"error": {"code": 404, "message": "Not found."}}, InvalidRequest),
    (302, None, InvalidReply),
    (429, failure(429, "quotaError", "RESOURCE_EXHAUSTED"), Throttled),
    (429, failure(429, "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED"), Throttled),
    (429, failure(429, "quotaError", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION"), Throttled),
    (429, failure(429, "quotaError", "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION"), Throttled),
    (429, gateway_error(429, "RATE_LIMIT_EXCEEDED"), Throttled),
    (500, failure(500, "internalError", "INTERNAL_ERROR"), Unavailable),
    (500, failure(500, "internalError", "TRANSIENT_ERROR"), Unavailable),
    (504, failure(504, "internalError", "DEADLINE_EXCEEDED"), Unavailable),
    (503, {"error": {"code": 503, "message": "The service is unavailable.", "status": "UNAVAILABLE"}}, Unavailable),
    (502, None, Unavailable),
    (408, None, Unavailable),
    (200, failure(500, "internalError", "INTERNAL_ERROR"), Unavailable),
    (200, {"error": {"message": "The stream broke off."}}, Unavailable),
]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    ERROR_BODIES,
    ids=[f"{status} {re.sub(r'[^A-Z_]+', ' ', str(body)).split()[-1:]}" for status, body, _ in ERROR_BODIES],
)
@pytest.mark.parametrize("as_array", [False, True])
def test_googles_errors_mean(status: int, body: Any, error: type[PlatformError], as_array: bool) -> None:
    content = b"" if body is None else orjson.dumps([{"results": [], "fieldMask": "x"}, body] if as_array else body)
    client = answering(lambda _: httpx.Response(status, content=content))

    with pytest.raises(error) as raised:
        client.list_campaigns(static(), ACCOUNT)

    assert type(raised.value) is error
    if error is not TokenRejected:  # StaticToken says in its own words that it cannot be renewed
        assert raised.value.code
    assert_tells_no_secret(raised.value)


@pytest.mark.parametrize(
    ("details", "seconds", "scope"),
    [
        (
            {"rateScope": "ACCOUNT", "rateName": "Requests per account", "retryDelay": "12s"},
            12.0,
            ThrottleScope.ACCOUNT,
        ),
        ({"rateScope": "DEVELOPER", "retryDelay": "7.250s"}, 7.25, ThrottleScope.PLATFORM),
        ({"rateScope": "UNKNOWN", "retryDelay": "later"}, 60.0, ThrottleScope.PLATFORM),
        ({}, 60.0, ThrottleScope.PLATFORM),
    ],
)
def test_who_has_to_wait_and_how_long(details: dict[str, str], seconds: float, scope: ThrottleScope) -> None:
    body = failure(429, "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", {"quotaErrorDetails": details})
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(429, json=[body])

    client = answering(answer)
    with pytest.raises(Throttled) as raised:
        client.list_campaigns(static(), ACCOUNT)
    with pytest.raises(Throttled):
        client.list_campaigns(static(), ACCOUNT)

    assert (raised.value.retry_after, raised.value.scope) == (seconds, scope)
    assert len(calls) == (2 if scope is ThrottleScope.ACCOUNT else 1)


def test_a_refused_request_tells_googles_words_without_links() -> None:
    message = "Unrecognized field 'campaign.start_date'. See https://developers.test/?secret=1 for more. " + "x" * 500
    body = failure(400, "queryError", "UNRECOGNIZED_FIELD", message=message)

    with pytest.raises(
        InvalidRequest, match=r"Unrecognized field 'campaign.start_date'.*\(UNRECOGNIZED_FIELD\)"
    ) as raised:
        answering(lambda _: httpx.Response(400, json=[body])).list_campaigns(static(), ACCOUNT)

    assert_tells_no_secret(raised.value)


def test_every_error_code_of_ours_is_googles() -> None:
    descriptor = google_errors.ErrorCode.pb(google_errors.ErrorCode()).DESCRIPTOR
    known = {value.name for field in descriptor.fields for value in field.enum_type.values}

    # The last two are reasons of google.rpc.ErrorInfo, which is open text.
    assert ADS_VERDICTS.keys() - known == {"ACCESS_TOKEN_SCOPE_INSUFFICIENT", "SERVICE_DISABLED"}


CAMPAIGN_ROW: dict[str, dict[str, Any]] = {
    "campaign": {"id": "1", "name": "A", "status": "ENABLED", "startDateTime": "2026-11-01 00:00:00"},
    "campaignBudget": {"id": "2", "amountMicros": "1", "period": "DAILY"},
}
METRICS_ROW: dict[str, dict[str, Any]] = {
    "campaign": {"id": "1"},
    "segments": {"date": "2026-11-01"},
    "metrics": {"impressions": "1", "clicks": "1", "costMicros": "1", "conversions": 1.5, "conversionsValue": 1},
}
ACCOUNT_ROW: dict[str, dict[str, Any]] = {
    "customerClient": {"id": "1", "currencyCode": "EUR", "timeZone": "Europe/Berlin", "status": "ENABLED", "level": "0"}
}
CHANGE_ROW: dict[str, dict[str, Any]] = {
    "changeStatus": {"resourceType": "CAMPAIGN", "campaign": "customers/1/campaigns/2"}
}
SPOILT: list[tuple[dict[str, dict[str, Any]], str, Any]] = [
    (CAMPAIGN_ROW, "campaign", None),
    (CAMPAIGN_ROW, "campaign.id", None),
    (CAMPAIGN_ROW, "campaign.id", 1),
    (CAMPAIGN_ROW, "campaign.name", ""),
    (CAMPAIGN_ROW, "campaign.status", None),
    (CAMPAIGN_ROW, "campaign.servingStatus", 4),
    (CAMPAIGN_ROW, "campaign.startDateTime", "soon"),
    (CAMPAIGN_ROW, "campaignBudget", "text"),
    (CAMPAIGN_ROW, "campaignBudget.id", None),
    (CAMPAIGN_ROW, "campaignBudget.amountMicros", None),
    (CAMPAIGN_ROW, "campaignBudget.amountMicros", "many"),
    (CAMPAIGN_ROW, "campaignBudget.amountMicros", "1.5"),
    (CAMPAIGN_ROW, "campaignBudget.period", 2),
    (METRICS_ROW, "metrics", []),
    (METRICS_ROW, "campaign.id", None),
    (METRICS_ROW, "segments.date", "2026-02-30"),
    (METRICS_ROW, "metrics.impressions", None),
    (METRICS_ROW, "metrics.clicks", "9" * 30),
    (METRICS_ROW, "metrics.costMicros", True),
    (METRICS_ROW, "metrics.conversions", "NaN"),
    (METRICS_ROW, "metrics.conversionsValue", True),
    (ACCOUNT_ROW, "customerClient", None),
    (ACCOUNT_ROW, "customerClient.id", "../1"),
    (ACCOUNT_ROW, "customerClient.level", None),
    (ACCOUNT_ROW, "customerClient.status", None),
    (ACCOUNT_ROW, "customerClient.currencyCode", None),
    (CHANGE_ROW, "changeStatus", None),
    (CHANGE_ROW, "changeStatus.resourceType", "AD_GROUP"),
    (CHANGE_ROW, "changeStatus.campaign", None),
    (CHANGE_ROW, "changeStatus.campaign", "x') OR ('"),
]


def reading(row: Any) -> Callable[[], object]:
    """Return what reads an answer of this row only."""

    def answer(request: httpx.Request) -> httpx.Response:
        customers = {"resourceNames": ["customers/1"]}
        return httpx.Response(
            200, json=customers if request.method == "GET" else [{"results": [row], "fieldMask": "x"}]
        )

    client, since = answering(answer), datetime(2026, 11, 19, tzinfo=UTC)
    if "customerClient" in row:
        return lambda: client.list_accounts(static())
    if "metrics" in row:
        return lambda: client.read_metrics(static(), ACCOUNT, WINDOW)
    return lambda: client.list_campaigns(static(), ACCOUNT, since if "changeStatus" in row else None)


@pytest.mark.parametrize("row", [CAMPAIGN_ROW, METRICS_ROW, ACCOUNT_ROW])
def test_a_row_of_the_documented_shape_is_taken(row: Any) -> None:
    reading(row)()


@pytest.mark.parametrize(("row", "path", "wrong"), SPOILT, ids=[f"{path} {wrong!r}" for _, path, wrong in SPOILT])
def test_a_row_of_another_shape_is_not_taken_and_the_field_is_named(row: Any, path: str, wrong: Any) -> None:
    resource, _, name = path.partition(".")
    spoilt = {**row, resource: {**row[resource], name: wrong} if name else wrong}

    with pytest.raises(InvalidReply, match=name or resource) as raised:
        reading(spoilt)()

    assert_tells_no_secret(raised.value)


def test_an_account_in_a_time_zone_that_nobody_knows_is_not_taken() -> None:
    row = {"customerClient": ACCOUNT_ROW["customerClient"] | {"timeZone": "Mars/Olympus"}}

    with pytest.raises(InvalidReply, match="time zone"):
        reading(row)()


@pytest.mark.parametrize(
    "body", [{}, {"results": []}, "text", [{}], ["text"], [{"results": {}}], [{"results": ["text"]}], None]
)
def test_an_answer_that_is_no_stream_of_rows_is_not_taken(body: Any) -> None:
    with pytest.raises(InvalidReply):
        answering(lambda _: httpx.Response(200, json=body)).list_campaigns(static(), ACCOUNT)


@pytest.mark.parametrize("body", [[], {"resourceNames": "customers/1"}, {"resourceNames": ["people/1"]}, {"x": 1}])
def test_a_list_of_customers_of_another_shape_is_not_taken(body: Any) -> None:
    with pytest.raises(InvalidReply, match="resourceNames"):
        answering(lambda _: httpx.Response(200, json=body)).list_accounts(static())


# -- what is sent -------------------------------------------------------------------------------------------------


def gaql_field(name: str) -> Any:
    """Return the protobuf field that a GAQL name stands for; None if Google has none."""
    descriptor, field = GoogleAdsRow.pb(GoogleAdsRow()).DESCRIPTOR, None
    for part in name.split("."):
        field = descriptor.fields_by_name.get(part)
        if field is None:
            return None
        descriptor = field.message_type
    return field


def test_every_gaql_name_that_we_send_is_googles(desk: Desk) -> None:
    account = desk.accounts()[1]
    desk.change(account, 2, name="Renamed")
    desk.client.list_campaigns(desk.tokens, account, desk.world.clock.now())
    desk.campaigns(account)
    desk.client.read_metrics(desk.tokens, account, WINDOW)

    sent = " ".join(text for _, _, text in desk.world.faults.log)
    names = set(re.findall(r"\b[a-z_]+\.[a-z_]+\b", sent))

    assert names >= {"campaign.campaign_budget", "change_status.campaign", "customer_client.level", "segments.date"}
    assert {name for name in names if gaql_field(name) is None} == set()


@pytest.mark.parametrize("developer_token", [None, SecretStr("dev-token")])
def test_the_live_platform_is_called_with_its_headers(developer_token: SecretStr | None) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        token = {"access_token": "ya29.new", "expires_in": 3599}
        return httpx.Response(200, json=token if request.url.path == "/token" else [])

    client = answering(answer, developer_token=developer_token)
    client.list_campaigns(static(), ACCOUNT)
    client.list_campaigns(static(), ACCOUNT.model_copy(update={"manager_id": None}))
    client.renew(grant_tokens("old", "1//refresh"))

    through_manager, direct, renewal = seen
    assert (
        str(through_manager.url) == "https://googleads.googleapis.com/v26/customers/1000000000/googleAds:searchStream"
    )
    assert through_manager.headers["authorization"] == f"Bearer {TOKEN}"
    assert through_manager.headers["login-customer-id"] == "9000000001"
    assert "login-customer-id" not in direct.headers
    assert direct.headers.get("developer-token") == (developer_token and "dev-token")
    assert str(renewal.url) == "https://oauth2.googleapis.com/token"
    assert b"grant_type=refresh_token" in renewal.content
