"""The sandbox's TikTok against TikTok's own SDK, and the requests that it refuses."""

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import business_api_client as sdk
import httpx
import pytest

from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.figures import ZERO, Figures
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import PATIENCE_SECONDS

TIKTOK = PlatformName.TIKTOK
API = "/tiktok/open_api/v1.3"
APP = {"app_id": CLIENT_ID, "secret": CLIENT_SECRET}
GRANTED, INFO, CAMPAIGNS, METRICS = (
    "/oauth2/advertiser/get/",
    "/advertiser/info/",
    "/campaign/get/",
    "/report/integrated/get/",
)
ALL_CAMPAIGNS = {"secondary_status": "CAMPAIGN_STATUS_ALL"}
ALL_ROWS = [{"field_name": "campaign_status", "filter_type": "IN", "filter_value": '["STATUS_ALL"]'}]
REPORT = {
    "service_type": "AUCTION",
    "report_type": "BASIC",
    "data_level": "AUCTION_CAMPAIGN",
    "dimensions": ["campaign_id", "stat_time_day"],
    "metrics": ["spend", "impressions", "clicks", "conversion", "complete_payment", "total_complete_payment_rate"],
    "start_date": "2026-11-01",
    "end_date": "2026-11-20",
}

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def grant(world: World) -> Grant:
    return world.add_grant(TIKTOK, accounts=2, campaigns=16)


@pytest.fixture
def token(world: World, grant: Grant) -> str:
    return world.issue_access(grant)[0]


@pytest.fixture
def ask(sandbox: str, token: str, grant: Grant) -> Ask:
    """Send a GET for the first account and return the reply's JSON; what is not text becomes JSON text."""

    def get(path: str, params: dict[str, Any], token: str | None = token) -> dict[str, Any]:
        asked = {"advertiser_id": grant.account_ids[0], **params} if path in (CAMPAIGNS, METRICS) else params
        encoded = {key: value if isinstance(value, str) else json.dumps(value) for key, value in asked.items()}
        headers = {"Access-Token": token} if token is not None else {}
        reply = httpx.get(sandbox + API + path, params=encoded, headers=headers, timeout=PATIENCE_SECONDS)
        assert reply.status_code == 200
        assert isinstance(reply.json()["request_id"], str)
        return dict(reply.json())

    return get


# -- the SDK ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(sandbox: str) -> Any:
    configuration = sdk.Configuration()
    configuration.host = f"{sandbox}/tiktok"
    return sdk.ApiClient(configuration)


def test_the_sdk_lists_the_advertisers_of_a_grant(client: Any, grant: Grant, token: str) -> None:
    granted = sdk.AuthenticationApi(client).oauth2_advertiser_get(CLIENT_ID, CLIENT_SECRET, token)["data"]
    ids = [record["advertiser_id"] for record in granted["list"]]
    info = sdk.AccountManagementApi(client).advertiser_info(ids, token, fields=["advertiser_id", "currency"])
    assert ids == grant.account_ids == [record["advertiser_id"] for record in info["data"]["list"]]
    assert all(record.keys() == {"advertiser_id", "currency"} for record in info["data"]["list"])


def test_the_sdk_lists_campaigns_over_several_pages(client: Any, world: World, grant: Grant, token: str) -> None:
    filtering, account_id = sdk.FilteringCampaignGet(**ALL_CAMPAIGNS), grant.account_ids[0]
    options = {"page_size": 6, "filtering": filtering, "fields": ["campaign_id", "campaign_name"]}
    api = sdk.CampaignCreationApi(client)
    pages = [api.campaign_get(account_id, token, page=page, **options)["data"] for page in (1, 2, 3)]
    assert pages[2]["page_info"] == {"page": 3, "page_size": 6, "total_number": 16, "total_page": 3}
    listed = [record["campaign_id"] for page in pages for record in page["list"]]
    assert listed == list(world.account(TIKTOK, account_id).campaigns)


def test_the_sdk_reads_a_report(client: Any, world: World, grant: Grant, token: str) -> None:
    account = world.accounts_of(grant)[0]
    first = next(iter(account.campaigns))
    world.restate(first, date(2026, 11, 19), Figures(1000, 20, Decimal("12.34"), Decimal(3), Decimal("99.5")))
    options = {key: value for key, value in REPORT.items() if key != "report_type"}
    api = sdk.ReportingApi(client)
    data = api.report_integrated_get("BASIC", token, advertiser_id=account.id, page_size=1000, **options)["data"]
    dimensions = {"campaign_id": first, "stat_time_day": "2026-11-19 00:00:00"}
    [metrics] = [row["metrics"] for row in data["list"] if row["dimensions"] == dimensions]
    figures = {"spend": "12.340", "impressions": "1000", "clicks": "20", "conversion": "6"}
    assert metrics == {**figures, "complete_payment": "3", "total_complete_payment_rate": "99.5"}


# -- accounts, campaigns and reports ----------------------------------------------------------------------------------


def test_a_report_has_rows_of_zeros_and_by_default_no_deleted_campaigns(world: World, ask: Ask, grant: Grant) -> None:
    account = world.accounts_of(grant)[0]
    deleted = next(c for c in account.campaigns.values() if c.state is CampaignStatus.REMOVED)
    first, one = next(iter(account.campaigns)), Figures(1, 1, Decimal(1), Decimal(1), Decimal(1))
    world.restate(deleted.id, date(2026, 11, 17), one)
    world.restate(first, date(2026, 11, 17), one)
    world.restate(first, date(2026, 11, 18), ZERO)
    params = {**REPORT, "page_size": 1000, "start_date": "2026-11-17", "end_date": "2026-12-01"}

    def reported(**filtering: Any) -> dict[tuple[str, str], str]:
        rows = ask(METRICS, {**params, **filtering})["data"]["list"]
        keys = [(row["dimensions"]["campaign_id"], row["dimensions"]["stat_time_day"][:10]) for row in rows]
        return {key: row["metrics"]["spend"] for key, row in zip(keys, rows, strict=True)}

    assert (reported()[first, "2026-11-17"], reported()[first, "2026-11-18"]) == ("1.000", "0.000")
    assert max(day for _, day in reported()) <= account.today(world.clock.now()).isoformat()
    assert (deleted.id, "2026-11-17") not in reported()
    assert (deleted.id, "2026-11-17") in reported(filtering=ALL_ROWS)
    named = [*ALL_ROWS, {"field_name": "campaign_ids", "filter_type": "IN", "filter_value": json.dumps([deleted.id])}]
    assert {campaign for campaign, _ in reported(filtering=named)} == {deleted.id}
    past = ask(METRICS, {**REPORT, "start_date": "2026-12-01", "end_date": "2026-12-01"})["data"]
    assert (past.keys(), past["page_info"]["total_number"]) == ({"page_info"}, 0)


def test_by_default_a_page_has_ten_records_and_no_deleted_campaigns(ask: Ask) -> None:
    everything = [ask(CAMPAIGNS, {"filtering": ALL_CAMPAIGNS, "page": page})["data"] for page in (1, 2, 9)]
    assert [len(page["list"]) if "list" in page else None for page in everything] == [10, 6, None]
    by_default = ask(CAMPAIGNS, {"page_size": 1000})["data"]["list"]
    assert {record["secondary_status"] for record in by_default} == {
        "CAMPAIGN_STATUS_ENABLE",
        "CAMPAIGN_STATUS_DISABLE",
    }


WRONG: list[tuple[str, dict[str, Any]]] = [
    (GRANTED, {"app_id": CLIENT_ID}),
    (GRANTED, {**APP, "page_token": "x"}),
    (INFO, {"advertiser_ids": ["7100000000000000000"], "page": 1}),
    *((INFO, {"advertiser_ids": ids}) for ids in ([], ["7"] * 101, [7], "{")),
    (CAMPAIGNS, {"page_size": 1001}),
    (CAMPAIGNS, {"page": "two"}),
    (CAMPAIGNS, {"advertiser_id": ""}),
    (CAMPAIGNS, {"fields": ["campaign_id", "modified_at"]}),
    (CAMPAIGNS, {"filtering": {"secondary_status": "DELETED"}}),
    (CAMPAIGNS, {"filtering": {"modify_time": "2026-11-20"}}),
    (METRICS, {"start_date": "2026-10-21"}),
    (METRICS, {"start_date": "2026-11-21"}),
    (METRICS, {"metrics": ["spend", "revenue"]}),
    (METRICS, {"filtering": [{**ALL_ROWS[0], "field_name": "campaign_name"}]}),
    (METRICS, {"filtering": [{**ALL_ROWS[0], "field_name": "campaign_ids", "filter_value": "[]"}]}),
    (METRICS, {"data_level": "AUCTION_ADVERTISER"}),
    (METRICS, {"dimensions": ["campaign_id", "stat_time_hour"]}),
]


def test_wrong_requests_are_refused(ask: Ask) -> None:
    for path, changes in WRONG:
        reply = ask(path, {**REPORT, **changes} if path == METRICS else changes)
        assert (reply["code"], reply["data"]) == (40002, {}), (path, changes)
    assert ask(GRANTED, {**APP, "secret": "wrong"})["code"] == 40113
    assert ask(METRICS, {**REPORT, "start_date": "2026-10-22"})["code"] == 0
