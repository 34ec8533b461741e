"""The sandbox's Meta against Meta's own SDK, and the requests that it refuses."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, get_args

import httpx
import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from sandbox import meta_fields
from sandbox import meta_json as wire
from sandbox.accounts import Account
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.faults import Fault, FaultKind
from sandbox.figures import ZERO, Figures
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.platforms import meta_json, meta_login
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import PATIENCE_SECONDS

META = PlatformName.META
LISTED = ["ACTIVE", "PAUSED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES"]
ALL = [*LISTED, "DELETED"]
HIDDEN = (CampaignStatus.ARCHIVED, CampaignStatus.REMOVED)
INSIGHTS = {"level": "campaign", "time_increment": "1", "time_range": '{"since":"2026-11-18","until":"2026-11-20"}'}
ACCOUNTS, EXCHANGE = "/v26.0/me/adaccounts", "/v26.0/oauth/access_token"
APP = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
APP_TOKEN = f"{CLIENT_ID}|{CLIENT_SECRET}"


@pytest.fixture
def grant(world: World) -> Grant:
    return world.add_grant(META, accounts=2, campaigns=60)


@pytest.fixture
def account(world: World, grant: Grant) -> Account:
    return world.accounts_of(grant)[0]


@pytest.fixture
def token(world: World, grant: Grant) -> str:
    return world.issue_access(grant)[0]


@pytest.fixture
def http(sandbox: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{sandbox}/meta", timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
def sdk(sandbox: str, token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FacebookAdsApi]:
    """Meta's SDK, aimed at the sandbox; it warns of fields it does not know, and warnings are errors here."""
    monkeypatch.setattr(FacebookSession, "GRAPH", f"{sandbox}/meta")
    session = FacebookSession(CLIENT_ID, CLIENT_SECRET, token)
    yield FacebookAdsApi(session)
    session.requests.close()


def act(account: Account, edge: str) -> str:
    return f"/v26.0/act_{account.id}/{edge}"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def rows_of(http: httpx.Client, account: Account, edge: str, token: str, **params: str | int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = http.get(act(account, edge), params=params, headers=bearer(token)).json()["data"]
    return rows


def error_of(response: httpx.Response) -> tuple[int, int, int | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error.get("error_subcode")


# -- the SDK ----------------------------------------------------------------------------------------------------------


def test_the_sdk_lists_accounts(sdk: FacebookAdsApi, world: World, grant: Grant) -> None:
    world.accounts_of(grant)[1].closed = True
    listed = User("me", api=sdk).get_ad_accounts(fields=list(meta_json.ACCOUNT_FIELDS), params={"limit": 1})
    assert [(a["account_id"], a["name"], a["currency"], a["timezone_name"], a["account_status"]) for a in listed] == [
        (a.id, a.name, a.currency, a.timezone, 101 if a.closed else 1) for a in world.accounts_of(grant)
    ]
    assert world.faults.count(META, "accounts") == 2


@pytest.mark.parametrize("ask", ["effective_status", "filtering"])
def test_the_sdk_lists_campaigns_of_all_statuses_but_deleted_over_pages(
    sdk: FacebookAdsApi, world: World, account: Account, ask: str
) -> None:
    rules = {"field": "campaign.effective_status", "operator": "IN", "value": LISTED}
    params: dict[str, Any] = {"effective_status": LISTED} if ask == "effective_status" else {"filtering": [rules]}
    fields = list(meta_json.CAMPAIGN_FIELDS)
    listed = list(AdAccount(f"act_{account.id}", api=sdk).get_campaigns(fields=fields, params=params))
    alive = [campaign.id for campaign in account.campaigns.values() if campaign.state is not CampaignStatus.REMOVED]
    assert [campaign["id"] for campaign in listed] == alive
    assert {campaign["effective_status"] for campaign in listed} == {"ACTIVE", "PAUSED", "ARCHIVED"}
    assert world.faults.count(META, "campaigns") == 3  # of 25, Meta's default


def test_the_sdk_reads_insights_over_pages(sdk: FacebookAdsApi, world: World, account: Account) -> None:
    window = {"since": "2026-11-01", "until": "2026-11-20"}
    rows = AdAccount(f"act_{account.id}", api=sdk).get_insights(
        fields=list(meta_json.INSIGHT_FIELDS),
        params={"level": "campaign", "time_increment": 1, "time_range": window, "limit": 100},
    )
    expected = {
        (campaign.id, str(day)): (str(figures.impressions), f"{figures.spend:f}")
        for campaign in account.campaigns.values()
        for day in (date(2026, 11, 1) + timedelta(days=offset) for offset in range(20))
        if (figures := world.figures(account, campaign, day)) != ZERO
    }
    assert {(r["campaign_id"], r["date_start"]): (r["impressions"], r["spend"]) for r in rows} == expected
    # The last page is empty. It leads to another one, but the SDK ends at an empty page.
    assert world.faults.count(META, "metrics") == 1 + -(-len(expected) // 100) > 2
    totals = AdAccount(f"act_{account.id}", api=sdk).get_insights(
        fields=list(meta_json.TOTAL_FIELDS),
        params={"level": "account", "time_increment": 1, "time_range": window, "limit": 100},
    )
    assert {row["date_start"]: Decimal(row["spend"]) for row in totals} == {
        str(day): world.account_spend(account, day)
        for day in (date(2026, 11, 1) + timedelta(days=n) for n in range(20))
    }


def test_the_sdk_exchanges_and_debugs_tokens(sdk: FacebookAdsApi, world: World, token: str) -> None:
    query = {"grant_type": "fb_exchange_token", **APP, "fb_exchange_token": token}
    fresh = sdk.call("GET", ("oauth", "access_token"), params=query).json()
    assert (fresh["token_type"], fresh["expires_in"]) == ("bearer", 60 * 86_400)
    debug = {"input_token": fresh["access_token"], "access_token": APP_TOKEN}
    data = sdk.call("GET", ("debug_token",), params=debug).json()["data"]
    assert data["is_valid"]
    assert data["expires_at"] == world.clock.now().timestamp() + fresh["expires_in"]


def test_the_sdk_understands_the_errors(sdk: FacebookAdsApi, world: World, account: Account) -> None:
    world.faults.add(Fault(FaultKind.THROTTLE, META, match=account.id, seconds=100, times=1))
    with pytest.raises(FacebookRequestError) as caught:
        AdAccount(f"act_{account.id}", api=sdk).get_campaigns()
    assert (caught.value.api_error_code(), caught.value.http_status()) == (80004, 400)
    world.faults.add(Fault(FaultKind.STATUS, META, status=503, times=1))
    with pytest.raises(FacebookRequestError) as caught:
        AdAccount(f"act_{account.id}", api=sdk).get_campaigns()
    assert caught.value.api_transient_error()


@pytest.mark.parametrize(
    ("known", "ours"),
    [
        (AdAccount.Field, {*meta_json.ACCOUNT_FIELDS, *meta_fields.ACCOUNT_FIELDS}),
        (Campaign.Field, {*meta_json.CAMPAIGN_FIELDS, *meta_fields.CAMPAIGN_FIELDS}),
        (AdsInsights.Field, {*meta_json.INSIGHT_FIELDS, *meta_fields.INSIGHT_LEVELS["campaign"]}),
        (AdsInsights.Field, {*meta_json.TOTAL_FIELDS, *meta_fields.INSIGHT_LEVELS["account"]}),
        (Campaign.EffectiveStatus, {*meta_json.LISTED_STATUSES, meta_json.DELETED, *get_args(wire.EffectiveStatus)}),
        (AdAccount.Currency, meta_json.OFFSET_ONE),
    ],
)
def test_our_names_and_version_are_the_sdks(known: type, ours: set[str]) -> None:
    assert ours <= {value for name, value in vars(known).items() if not name.startswith("_")}
    assert f"/{FacebookAdsApi.API_VERSION}" == meta_login.BASE_PATH


# -- accounts, campaigns and figures ----------------------------------------------------------------------------------


def test_deleted_and_archived_campaigns_are_hidden_by_default(
    http: httpx.Client, world: World, account: Account, token: str
) -> None:
    visible = [campaign.id for campaign in account.campaigns.values() if campaign.state not in HIDDEN]
    assert [row["id"] for row in rows_of(http, account, "campaigns", token, limit=100)] == visible
    hidden = next(campaign for campaign in account.campaigns.values() if campaign.state in HIDDEN)
    world.restate(hidden.id, date(2026, 11, 19), Figures(10, 1, Decimal("0.50"), Decimal(0), Decimal(0)))
    shown = {"filtering": f'[{{"field":"campaign.effective_status","operator":"IN","value":{ALL}}}]'.replace("'", '"')}
    for query, expected in ((INSIGHTS, False), (INSIGHTS | shown, True)):
        rows = rows_of(http, account, "insights", token, **query, limit=500, fields="campaign_id")
        assert (hidden.id in [row["campaign_id"] for row in rows]) is expected


def test_the_filter_of_updated_time_is_strict(http: httpx.Client, world: World, account: Account, token: str) -> None:
    changed = world.change_campaign(META, account.id, next(iter(account.campaigns)), name="New name")
    at = int(changed.updated.timestamp())
    for value, expected in ((at, []), (at - 1, [{"id": changed.id, "name": "New name"}])):
        rule = f'[{{"field":"campaign.updated_time","operator":"GREATER_THAN","value":{value}}}]'
        assert rows_of(http, account, "campaigns", token, filtering=rule, fields="name") == expected


BAD_PARAMETER, TOO_MUCH, DELETED_REFUSED = (400, 100, None), (500, 1, None), (400, 100, 1815001)
BY_STATUS = '[{"field":"campaign.effective_status","operator":"IN","value":["DELETED"]}]'
WRONG: list[tuple[str, dict[str, str], tuple[int, int, int | None]]] = [
    ("campaigns", {"fields": "no_such_field"}, BAD_PARAMETER),
    ("campaigns", {"limit": "0"}, BAD_PARAMETER),
    ("campaigns", {"limit": "9" * 5000}, BAD_PARAMETER),
    ("campaigns", {"limit": "20000"}, TOO_MUCH),
    ("campaigns", {"after": "nonsense"}, BAD_PARAMETER),
    ("campaigns", {"effective_status": "[]"}, BAD_PARAMETER),
    ("campaigns", {"effective_status": "ACTIVE"}, BAD_PARAMETER),
    ("campaigns", {"effective_status": '["ACTIVE","DELETED"]'}, DELETED_REFUSED),
    ("campaigns", {"filtering": BY_STATUS}, DELETED_REFUSED),
    ("campaigns", {"filtering": BY_STATUS.replace("IN", "CONTAIN")}, BAD_PARAMETER),
    ("campaigns", {"date_preset": "today"}, BAD_PARAMETER),
    ("insights", {"level": "account", "fields": "campaign_id"}, BAD_PARAMETER),
    ("insights", {"level": "ad"}, BAD_PARAMETER),
    ("insights", {"time_increment": "7"}, BAD_PARAMETER),
    ("insights", {"time_range": "{}"}, BAD_PARAMETER),
    ("insights", {"time_range": '{"since":"2026-11-20","until":"2026-11-01"}'}, BAD_PARAMETER),
    ("insights", {"time_range": '{"since":"2020-01-01","until":"2020-01-02"}'}, (400, 3018, None)),
    ("insights", {"time_range": '{"since":"2026-09-01","until":"2026-11-20"}', "limit": "500"}, TOO_MUCH),
    ("unheard_of", {}, (400, 2500, None)),
]


def test_wrong_requests_are_refused(http: httpx.Client, account: Account, token: str) -> None:
    for edge, query, expected in WRONG:
        params = {**(INSIGHTS if edge == "insights" else {}), **query}
        assert error_of(http.get(act(account, edge), params=params, headers=bearer(token))) == expected, query
    assert error_of(http.get(ACCOUNTS)) == (400, 104, None)
    for changes, code in (
        ({"grant_type": "client_credentials"}, 1),
        ({"client_id": "other"}, 101),
        ({"client_secret": "wrong"}, 1),
        ({"fb_exchange_token": ""}, 1),
        ({"fb_exchange_token": "nonsense"}, 190),
    ):
        query = {"grant_type": "fb_exchange_token", **APP, "fb_exchange_token": token, **changes}
        assert error_of(http.get(EXCHANGE, params=query)) == (400, code, None), changes
    debug = {"input_token": token, "access_token": "a|b"}
    assert error_of(http.get("/v26.0/debug_token", params=debug)) == (400, 190, None)
