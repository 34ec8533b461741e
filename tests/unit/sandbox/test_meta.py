"""The sandbox's Meta against Meta's own SDK, and the requests that it refuses."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.user import User as MetaUser
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from sandbox import meta_fields
from sandbox import meta_json as wire
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.faults import Fault, FaultKind
from sandbox.figures import ZERO, Figures
from sivera.platforms import meta_json, meta_login
from sivera.values import CampaignStatus, PlatformName
from tests.unit.sandbox.conftest import Changes, NewUser, Request, User

META = PlatformName.META
LISTED = ["ACTIVE", "PAUSED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES"]
HIDDEN = (CampaignStatus.ARCHIVED, CampaignStatus.REMOVED)
WINDOW = {"since": "2026-11-01", "until": "2026-11-20"}
DAYS = [date(2026, 11, 1) + timedelta(days=n) for n in range(20)]


@pytest.fixture
def meta(new_user: NewUser) -> User:
    """The user of two accounts with sixty campaigns each."""
    user = new_user(META, accounts=2, campaigns=60)
    exchange = {"grant_type": "fb_exchange_token", "fb_exchange_token": user.token}
    exchange |= {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    user.requests = {
        "accounts": Request("GET", "v26.0/me/adaccounts"),
        "campaigns": Request("GET", "v26.0/act_{id}/campaigns"),
        "insights": Request(
            "GET", "v26.0/act_{id}/insights", {"level": "campaign", "time_increment": "1", "time_range": WINDOW}
        ),
        "exchange": Request("GET", "v26.0/oauth/access_token", exchange),
        "debug": Request("GET", "v26.0/debug_token", {"input_token": user.token}),
        "objects": Request("GET", "v26.0/", {"ids": next(iter(user.account.campaigns))}),
        "unheard of": Request("GET", "v26.0/act_{id}/unheard_of"),
        "retired": Request("GET", "v25.0/act_{id}/campaigns"),
        "write": Request("DELETE", "v26.0/act_{id}/campaigns"),
    }
    return user


# -- the SDK ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sdk(sandbox: str, meta: User, monkeypatch: pytest.MonkeyPatch) -> Iterator[FacebookAdsApi]:
    """Meta's SDK, pointed at the sandbox; its warnings about unknown fields are errors here."""
    monkeypatch.setattr(FacebookSession, "GRAPH", f"{sandbox}/meta")
    session = FacebookSession(CLIENT_ID, CLIENT_SECRET, meta.token)
    yield FacebookAdsApi(session)
    session.requests.close()


@pytest.fixture
def ours(sdk: FacebookAdsApi, meta: User) -> AdAccount:
    """The SDK's object for the first account."""
    return AdAccount(f"act_{meta.account.id}", api=sdk)


def test_the_sdk_lists_accounts(sdk: FacebookAdsApi, meta: User) -> None:
    sites = meta.world.accounts_of(meta.grant)
    sites[1].closed = True
    listed = MetaUser("me", api=sdk).get_ad_accounts(fields=list(meta_json.ACCOUNT_FIELDS), params={"limit": 1})
    assert [(a["account_id"], a["name"], a["currency"], a["timezone_name"], a["account_status"]) for a in listed] == [
        (a.id, a.name, a.currency, a.timezone, 101 if a.closed else 1) for a in sites
    ]
    assert meta.world.faults.count(META, "accounts") == 2


@pytest.mark.parametrize(
    "params",
    [
        {"effective_status": LISTED},
        {"filtering": [{"field": "campaign.effective_status", "operator": "IN", "value": LISTED}]},
    ],
)
def test_the_sdk_lists_campaigns_of_all_statuses_except_deleted_over_pages(
    meta: User, ours: AdAccount, params: dict[str, Any]
) -> None:
    listed = list(ours.get_campaigns(fields=list(meta_json.CAMPAIGN_FIELDS), params=params))
    alive = [c.id for c in meta.account.campaigns.values() if c.state is not CampaignStatus.REMOVED]
    assert [campaign["id"] for campaign in listed] == alive
    assert {campaign["effective_status"] for campaign in listed} == {"ACTIVE", "PAUSED", "ARCHIVED"}
    assert meta.world.faults.count(META, "campaigns") == 3  # of 25, Meta's default


def test_the_sdk_reads_insights_over_pages(meta: User, ours: AdAccount) -> None:
    def read(level: str, fields: tuple[str, ...]) -> list[Any]:
        params = {"level": level, "time_increment": 1, "time_range": WINDOW, "limit": 100}
        return list(ours.get_insights(fields=list(fields), params=params))

    world, account = meta.world, meta.account
    expected = {
        (campaign.id, str(day)): (str(figures.impressions), f"{figures.spend:f}")
        for campaign in account.campaigns.values()
        for day in DAYS
        if (figures := world.figures(account, campaign, day)) != ZERO
    }
    rows = read("campaign", meta_json.INSIGHT_FIELDS)
    assert {(r["campaign_id"], r["date_start"]): (r["impressions"], r["spend"]) for r in rows} == expected
    # The last page is empty. It links to another one, but the SDK stops at an empty page.
    assert world.faults.count(META, "metrics") == 1 + -(-len(expected) // 100) > 2
    spent = {row["date_start"]: Decimal(row["spend"]) for row in read("account", meta_json.TOTAL_FIELDS)}
    assert spent == {str(day): world.account_spend(account, day) for day in DAYS}


def test_the_sdk_understands_the_errors(meta: User, ours: AdAccount) -> None:
    for fault, expected in (
        (Fault(FaultKind.THROTTLE, META, match=meta.account.id, seconds=100, times=1), (80004, 400, False)),
        (Fault(FaultKind.STATUS, META, status=503, times=1), (2, 503, True)),
    ):
        meta.world.faults.add(fault)
        with pytest.raises(FacebookRequestError) as caught:
            ours.get_campaigns()
        error = caught.value
        assert (error.api_error_code(), error.http_status(), bool(error.api_transient_error())) == expected


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
def test_the_sdk_knows_our_names_and_version(known: type, ours: set[str]) -> None:
    assert ours <= {value for name, value in vars(known).items() if not name.startswith("_")}
    assert f"/{FacebookAdsApi.API_VERSION}" == meta_login.BASE_PATH


# -- filters ----------------------------------------------------------------------------------------------------------


def by_status(*statuses: str, operator: str = "IN") -> Changes:
    return {"filtering": [{"field": "campaign.effective_status", "operator": operator, "value": statuses}]}


def test_deleted_and_archived_campaigns_are_hidden_by_default(meta: User) -> None:
    visible = [campaign.id for campaign in meta.account.campaigns.values() if campaign.state not in HIDDEN]
    assert [row["id"] for row in meta.ask("campaigns", {"limit": 100}).json()["data"]] == visible
    hidden = next(campaign.id for campaign in meta.account.campaigns.values() if campaign.state in HIDDEN)
    meta.world.restate(hidden, DAYS[-2], Figures(10, 1, Decimal("0.50"), Decimal(0), Decimal(0)))
    for changes, is_shown in (({}, False), (by_status(*LISTED, "DELETED"), True)):
        rows = meta.ask("insights", {"limit": 700, "fields": "campaign_id", **changes}).json()["data"]
        assert (hidden in {row["campaign_id"] for row in rows}) is is_shown


def test_the_filter_of_updated_time_is_strict(meta: User) -> None:
    first = next(iter(meta.account.campaigns))
    at = int(meta.world.change_campaign(META, meta.account.id, first, name="New name").updated.timestamp())
    for value, expected in ((at, []), (at - 1, [{"id": first, "name": "New name"}])):
        rule = {"field": "campaign.updated_time", "operator": "GREATER_THAN", "value": value}
        assert meta.ask("campaigns", {"filtering": [rule], "fields": "name"}).json()["data"] == expected


def test_the_campaigns_of_a_closed_account_do_not_exist(meta: User) -> None:
    assert meta.ask("objects").status_code == 200
    meta.account.closed = True
    assert meta.ask("objects").json()["error"]["code"] == 803


# -- refusals ---------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, Changes, int, str]] = [
    ("campaigns", {"fields": "no_such_field"}, 400, "100"),
    ("campaigns", {"limit": 0}, 400, "100"),
    ("campaigns", {"limit": "9" * 5000}, 400, "100"),
    ("campaigns", {"limit": 20_000}, 500, "1"),
    ("campaigns", {"after": "nonsense"}, 400, "100"),
    ("campaigns", {"effective_status": []}, 400, "100"),
    ("campaigns", {"effective_status": "ACTIVE"}, 400, "100"),
    ("campaigns", {"effective_status": ["ACTIVE", "DELETED"]}, 400, "100/1815001"),
    ("campaigns", by_status("DELETED"), 400, "100/1815001"),
    ("campaigns", by_status("DELETED", operator="CONTAIN"), 400, "100"),
    ("campaigns", {"date_preset": "today"}, 400, "100"),
    ("campaigns", {"/id": "1"}, 400, "100/33"),
    ("campaigns", {"appsecret_proof": "0"}, 400, "100"),
    ("insights", {"level": "account", "fields": "campaign_id"}, 400, "100"),
    ("insights", {"level": "ad"}, 400, "100"),
    ("insights", {"time_increment": "7"}, 400, "100"),
    ("insights", {"time_range": {}}, 400, "100"),
    ("insights", {"time_range": {"since": "2026-11-20", "until": "2026-11-01"}}, 400, "100"),
    ("insights", {"time_range": {"since": "2020-01-01", "until": "2020-01-02"}}, 400, "3018"),
    ("insights", {"time_range": {"since": "2026-09-01", "until": "2026-11-20"}, "limit": 500}, 500, "1"),
    ("accounts", {"Authorization": ""}, 400, "104"),
    ("exchange", {"grant_type": "client_credentials"}, 400, "1"),
    ("exchange", {"client_id": "other"}, 400, "101"),
    ("exchange", {"client_secret": "wrong"}, 400, "1"),
    ("exchange", {"fb_exchange_token": ""}, 400, "1"),
    ("exchange", {"fb_exchange_token": "nonsense"}, 400, "190"),
    ("debug", {"Authorization": "", "access_token": "a|b"}, 400, "190"),
    ("objects", {"ids": "77"}, 404, "803"),
    ("unheard of", {}, 400, "2500"),
    ("retired", {}, 400, "2635"),
    ("write", {}, 400, "100/33"),
]


@pytest.mark.parametrize(("name", "changes", "status", "code"), REFUSED, ids=lambda value: str(value)[:60])
def test_meta_refuses_an_invalid_request(meta: User, name: str, changes: Changes, status: int, code: str) -> None:
    reply = meta.ask(name, changes)
    error = reply.json()["error"]
    codes = [str(error[each]) for each in ("code", "error_subcode") if each in error]
    assert (reply.status_code, "/".join(codes)) == (status, code)
