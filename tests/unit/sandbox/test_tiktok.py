"""The sandbox's TikTok against TikTok's own SDK, and the requests that it refuses."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import business_api_client as sdk
import pytest

from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.figures import ZERO, Figures
from sivera.values import CampaignStatus, PlatformName
from tests.unit.sandbox.conftest import Changes, NewUser, Request, User

TIKTOK = PlatformName.TIKTOK
API = "open_api/v1.3"
APP = {"app_id": CLIENT_ID, "secret": CLIENT_SECRET}
RENEWAL = {"grant_type": "refresh_token", "refresh_token": "rft.forged"}
ALL_CAMPAIGNS = {"secondary_status": "CAMPAIGN_STATUS_ALL"}
BY_STATUS = {"field_name": "campaign_status", "filter_type": "IN", "filter_value": '["STATUS_ALL"]'}
REPORT = {
    "service_type": "AUCTION",
    "data_level": "AUCTION_CAMPAIGN",
    "dimensions": ["campaign_id", "stat_time_day"],
    "metrics": ["spend", "impressions", "clicks", "conversion", "complete_payment", "total_complete_payment_rate"],
    "start_date": "2026-11-01",
    "end_date": "2026-11-20",
}


@pytest.fixture
def tiktok(new_user: NewUser) -> User:
    """The user of two accounts with sixteen campaigns each."""
    user = new_user(TIKTOK, "Access-Token: ", accounts=2, campaigns=16)
    of_account = {"advertiser_id": user.account.id}
    user.requests = {
        "granted": Request("GET", f"{API}/oauth2/advertiser/get/", APP),
        "info": Request("GET", f"{API}/advertiser/info/", {"advertiser_ids": [user.account.id]}),
        "campaigns": Request("GET", f"{API}/campaign/get/", of_account),
        "redemption": Request("POST", f"{API}/oauth2/access_token/", {**APP, "auth_code": "made-up"}),
        "renewal": Request("POST", f"{API}/tt_user/oauth2/refresh_token/", {**APP, **RENEWAL}),
        "revocation": Request("POST", f"{API}/oauth2/revoke_token/", {**APP, "access_token": "act.forged"}),
        "report": Request("GET", f"{API}/report/integrated/get/", {**of_account, **REPORT, "report_type": "BASIC"}),
    }
    return user


# -- the SDK ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(sandbox: str) -> Any:
    configuration = sdk.Configuration()
    configuration.host = f"{sandbox}/tiktok"
    return sdk.ApiClient(configuration)


def test_the_sdk_lists_the_advertisers_of_a_grant(client: Any, tiktok: User) -> None:
    granted = sdk.AuthenticationApi(client).oauth2_advertiser_get(CLIENT_ID, CLIENT_SECRET, tiktok.token)["data"]
    ids = [record["advertiser_id"] for record in granted["list"]]
    info = sdk.AccountManagementApi(client).advertiser_info(ids, tiktok.token, fields=["advertiser_id", "currency"])
    assert ids == tiktok.grant.account_ids == [record["advertiser_id"] for record in info["data"]["list"]]
    assert all(record.keys() == {"advertiser_id", "currency"} for record in info["data"]["list"])


def test_the_sdk_lists_campaigns_over_several_pages(client: Any, tiktok: User) -> None:
    options = {"page_size": 6, "filtering": sdk.FilteringCampaignGet(**ALL_CAMPAIGNS), "fields": ["campaign_id"]}
    api, account = sdk.CampaignCreationApi(client), tiktok.account
    pages = [api.campaign_get(account.id, tiktok.token, page=page, **options)["data"] for page in (1, 2, 3)]
    assert pages[2]["page_info"] == {"page": 3, "page_size": 6, "total_number": 16, "total_page": 3}
    assert [record["campaign_id"] for page in pages for record in page["list"]] == list(account.campaigns)


def test_the_sdk_reads_a_report(client: Any, tiktok: User) -> None:
    first = next(iter(tiktok.account.campaigns))
    tiktok.world.restate(first, date(2026, 11, 19), Figures(1000, 20, Decimal("12.34"), Decimal(3), Decimal("99.5")))
    options = {"advertiser_id": tiktok.account.id, "page_size": 1000, **REPORT}
    data = sdk.ReportingApi(client).report_integrated_get("BASIC", tiktok.token, **options)["data"]
    dimensions = {"campaign_id": first, "stat_time_day": "2026-11-19 00:00:00"}
    [metrics] = [row["metrics"] for row in data["list"] if row["dimensions"] == dimensions]
    figures = {"spend": "12.340", "impressions": "1000", "clicks": "20", "conversion": "6"}
    assert metrics == {**figures, "complete_payment": "3", "total_complete_payment_rate": "99.5"}


# -- answers ----------------------------------------------------------------------------------------------------------


def test_a_report_has_rows_of_zeros_but_no_deleted_campaigns_by_default(tiktok: User) -> None:
    first, one = next(iter(tiktok.account.campaigns)), Figures(1, 1, Decimal(1), Decimal(1), Decimal(1))
    deleted = next(c.id for c in tiktok.account.campaigns.values() if c.state is CampaignStatus.REMOVED)
    for campaign, day, figures in ((deleted, 17, one), (first, 17, one), (first, 18, ZERO)):
        tiktok.world.restate(campaign, date(2026, 11, day), figures)

    def reported(*filtering: Changes) -> dict[tuple[str, str], str]:
        days = {"start_date": "2026-11-17", "end_date": "2026-12-01"}
        rows = tiktok.ask("report", {"page_size": 1000, "filtering": filtering, **days}).json()["data"]["list"]
        keys = [(row["dimensions"]["campaign_id"], row["dimensions"]["stat_time_day"][:10]) for row in rows]
        return {key: row["metrics"]["spend"] for key, row in zip(keys, rows, strict=True)}

    assert (reported()[first, "2026-11-17"], reported()[first, "2026-11-18"]) == ("1.000", "0.000")
    assert max(day for _, day in reported()) <= tiktok.account.today(tiktok.world.clock.now()).isoformat()
    assert deleted not in {campaign for campaign, _ in reported()}
    assert (deleted, "2026-11-17") in reported(BY_STATUS)
    named = {"field_name": "campaign_ids", "filter_type": "IN", "filter_value": json.dumps([deleted])}
    assert {campaign for campaign, _ in reported(BY_STATUS, named)} == {deleted}
    future = tiktok.ask("report", {"start_date": "2026-12-01", "end_date": "2026-12-01"}).json()["data"]
    assert (future.keys(), future["page_info"]["total_number"]) == ({"page_info"}, 0)


def test_a_page_has_ten_records_and_no_deleted_campaigns_by_default(tiktok: User) -> None:
    pages = [tiktok.ask("campaigns", {"filtering": ALL_CAMPAIGNS, "page": n}).json()["data"] for n in (1, 2, 9)]
    assert [len(page["list"]) if "list" in page else None for page in pages] == [10, 6, None]
    by_default = tiktok.ask("campaigns", {"page_size": 1000}).json()["data"]["list"]
    states = {record["secondary_status"] for record in by_default}
    assert states == {"CAMPAIGN_STATUS_ENABLE", "CAMPAIGN_STATUS_DISABLE"}


BAD_PARAMETER = 40002
REFUSED: list[tuple[str, Changes, int]] = [
    ("granted", {"secret": ""}, BAD_PARAMETER),
    ("granted", {"page_token": "x"}, BAD_PARAMETER),
    ("granted", {"secret": "wrong"}, 40113),
    ("granted", {"Access-Token": ""}, 40104),
    ("granted", {"Access-Token": "act.forged"}, 40105),
    *((name, {"secret": "wrong"}, 40113) for name in ("redemption", "renewal", "revocation")),
    *((name, {"more": 1}, BAD_PARAMETER) for name in ("redemption", "renewal", "revocation")),
    ("redemption", {}, 40110),
    ("renewal", {}, 40107),
    ("revocation", {}, 40105),
    ("info", {"page": 1}, BAD_PARAMETER),
    *(("info", {"advertiser_ids": ids}, BAD_PARAMETER) for ids in ([], ["7"] * 101, [7], "{")),
    ("info", {"advertiser_ids": ["1"]}, 40001),
    ("campaigns", {"page_size": 1001}, BAD_PARAMETER),
    ("campaigns", {"page": "two"}, BAD_PARAMETER),
    ("campaigns", {"advertiser_id": ""}, BAD_PARAMETER),
    ("campaigns", {"fields": ["campaign_id", "modified_at"]}, BAD_PARAMETER),
    ("campaigns", {"filtering": {"secondary_status": "DELETED"}}, BAD_PARAMETER),
    ("campaigns", {"filtering": {"modify_time": "2026-11-20"}}, BAD_PARAMETER),
    ("report", {"start_date": "2026-10-21"}, BAD_PARAMETER),
    ("report", {"start_date": "2026-10-22"}, 0),
    ("report", {"start_date": "2026-11-21"}, BAD_PARAMETER),
    ("report", {"metrics": ["spend", "revenue"]}, BAD_PARAMETER),
    ("report", {"filtering": [{**BY_STATUS, "field_name": "campaign_name"}]}, BAD_PARAMETER),
    ("report", {"filtering": [{**BY_STATUS, "field_name": "campaign_ids", "filter_value": "[]"}]}, BAD_PARAMETER),
    ("report", {"data_level": "AUCTION_ADVERTISER"}, BAD_PARAMETER),
    ("report", {"dimensions": ["campaign_id", "stat_time_hour"]}, BAD_PARAMETER),
]


@pytest.mark.parametrize(("name", "changes", "code"), REFUSED, ids=lambda value: str(value)[:60])
def test_tiktok_refuses_an_invalid_request_in_the_body(tiktok: User, name: str, changes: Changes, code: int) -> None:
    reply = tiktok.ask(name, changes)
    assert (reply.status_code, reply.json()["code"]) == (200, code)
    assert isinstance(reply.json()["request_id"], str)
    assert bool(reply.json()["data"]) is (code == 0)
