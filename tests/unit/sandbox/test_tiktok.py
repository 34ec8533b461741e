"""TikTok's side of the sandbox, proven against TikTok's own SDK and by the rules that it enforces."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import business_api_client as sdk
import httpx
import pytest
from business_api_client.tiktok_business.tiktok_exceptions import TiktokSDKError

from sandbox.faults import Fault, FaultKind
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Figures, Grant, World
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import PATIENCE_SECONDS

TIKTOK = PlatformName.TIKTOK
API = "/tiktok/open_api/v1.3"
APP = {"app_id": CLIENT_ID, "secret": CLIENT_SECRET}
ALL_CAMPAIGNS = {"secondary_status": "CAMPAIGN_STATUS_ALL"}
ALL_ROWS = [{"field_name": "campaign_status", "filter_type": "IN", "filter_value": '["STATUS_ALL"]'}]
REPORT = {
    "service_type": "AUCTION",
    "report_type": "BASIC",
    "data_level": "AUCTION_CAMPAIGN",
    "dimensions": ["campaign_id", "stat_time_day"],
    "metrics": ["spend", "impressions", "clicks", "conversion", "total_complete_payment_rate"],
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
def ask(sandbox: str, token: str) -> Ask:
    """Send a GET and return the reply's JSON; what is not text goes as JSON text, and `token` replaces the grant's."""

    def get(path: str, params: dict[str, Any], token: str | None = token) -> dict[str, Any]:
        encoded = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
        headers = {"Access-Token": token} if token is not None else {}
        reply = httpx.get(sandbox + API + path, params=encoded, headers=headers, timeout=PATIENCE_SECONDS)
        assert reply.status_code == 200
        assert isinstance(reply.json()["request_id"], str)
        return dict(reply.json())

    return get


class TestOfficialSdk:
    @pytest.fixture
    def client(self, sandbox: str) -> sdk.ApiClient:
        configuration = sdk.Configuration()
        configuration.host = f"{sandbox}/tiktok"
        return sdk.ApiClient(configuration)

    def test_lists_the_advertisers_of_a_grant(self, client: Any, grant: Grant, token: str) -> None:
        granted = sdk.AuthenticationApi(client).oauth2_advertiser_get(CLIENT_ID, CLIENT_SECRET, token)["data"]
        ids = [record["advertiser_id"] for record in granted["list"]]
        details = sdk.AccountManagementApi(client).advertiser_info(ids, token, fields=["advertiser_id", "currency"])[
            "data"
        ]

        assert ids == grant.account_ids
        assert [record["advertiser_id"] for record in details["list"]] == ids
        assert all(record.keys() == {"advertiser_id", "currency"} for record in details["list"])

    def test_exchanges_an_auth_code(self, client: Any, world: World, grant: Grant) -> None:
        body = sdk.Oauth2AccessTokenBody(app_id=CLIENT_ID, secret=CLIENT_SECRET, auth_code=f"code-{grant.id}")
        data = sdk.AuthenticationApi(client).oauth2_access_token(body=body)["data"]

        assert data["advertiser_ids"] == grant.account_ids
        assert world.grant_of_access(TIKTOK, data["access_token"]) is grant
        assert data.keys() == {"access_token", "advertiser_ids", "scope"}

    def test_lists_campaigns_over_several_pages(self, client: Any, world: World, grant: Grant, token: str) -> None:
        account_id = grant.account_ids[0]
        filtering = sdk.FilteringCampaignGet(**ALL_CAMPAIGNS)
        pages = [
            sdk.CampaignCreationApi(client).campaign_get(
                account_id, token, page=page, page_size=6, filtering=filtering, fields=["campaign_id", "campaign_name"]
            )["data"]
            for page in (1, 2, 3)
        ]

        assert [len(page["list"]) for page in pages] == [6, 6, 4]
        assert pages[2]["page_info"] == {"page": 3, "page_size": 6, "total_number": 16, "total_page": 3}
        listed = [record["campaign_id"] for page in pages for record in page["list"]]
        assert listed == list(world.account(TIKTOK, account_id).campaigns)

    def test_reads_a_report(self, client: Any, world: World, grant: Grant, token: str) -> None:
        account = world.accounts_of(grant)[0]
        campaign = next(iter(account.campaigns.values()))
        figures = Figures(1000, 20, Decimal("12.34"), Decimal(3), Decimal("99.5"))
        world.restate(campaign.id, date(2026, 11, 19), figures)
        options = {key: value for key, value in REPORT.items() if key != "report_type"}
        data = sdk.ReportingApi(client).report_integrated_get(
            "BASIC", token, advertiser_id=account.id, page_size=1000, **options
        )["data"]

        [row] = [
            row["metrics"]
            for row in data["list"]
            if row["dimensions"] == {"campaign_id": campaign.id, "stat_time_day": "2026-11-19 00:00:00"}
        ]
        assert row == {
            "spend": "12.34",
            "impressions": "1000",
            "clicks": "20",
            "conversion": "3",
            "total_complete_payment_rate": "99.5",
        }

    def test_raises_its_own_error_for_a_code(self, client: Any, world: World, grant: Grant, token: str) -> None:
        world.revoke_grant(grant.id)
        with pytest.raises(TiktokSDKError, match="Error Code: 40105"):
            sdk.CampaignCreationApi(client).campaign_get(grant.account_ids[0], token)


class TestTokens:
    @pytest.fixture
    def rotating(self, world: World) -> Grant:
        return world.add_grant(TIKTOK, rotates=True)

    @pytest.fixture
    def refresh(self, sandbox: str) -> Ask:
        def post(**changes: Any) -> dict[str, Any]:
            body = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "grant_type": "refresh_token", **changes}
            reply = httpx.post(f"{sandbox}{API}/tt_user/oauth2/refresh_token/", json=body, timeout=PATIENCE_SECONDS)
            assert reply.status_code == 200
            return dict(reply.json())

        return post

    def test_a_refresh_rotates_the_token(self, world: World, rotating: Grant, refresh: Ask) -> None:
        spent = world.issue_refresh(rotating)
        data = refresh(refresh_token=spent)["data"]

        assert data["refresh_token"] != spent
        assert (data["expires_in"], data["token_type"]) == (86_400, "Bearer")
        assert world.grant_of_access(TIKTOK, data["access_token"]) is rotating

    def test_reuse_of_a_spent_refresh_token_ends_the_grant(
        self, world: World, rotating: Grant, refresh: Ask, ask: Ask
    ) -> None:
        spent = world.issue_refresh(rotating)
        access = refresh(refresh_token=spent)["data"]["access_token"]

        assert refresh(refresh_token=spent)["code"] == 40107
        assert ask("/oauth2/advertiser/get/", APP, access)["code"] == 40105

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"refresh_token": "rft.forged"}, 40107),
            ({"refresh_token": "rft.forged", "client_secret": "wrong"}, 40113),
            ({"refresh_token": "rft.forged", "grant_type": "client_credentials"}, 40108),
            ({}, 40002),
        ],
    )
    def test_refuses_a_wrong_refresh(self, refresh: Ask, changes: dict[str, str], code: int) -> None:
        assert refresh(**changes)["code"] == code

    @pytest.mark.parametrize(
        ("changes", "code"),
        [({"auth_code": "code-99"}, 40110), ({"auth_code": "rubbish"}, 40110), ({"secret": "wrong"}, 40113)],
    )
    def test_refuses_a_wrong_exchange(self, sandbox: str, grant: Grant, changes: dict[str, str], code: int) -> None:
        body = {**APP, "auth_code": f"code-{grant.id}", **changes}
        reply = httpx.post(f"{sandbox}{API}/oauth2/access_token/", json=body, timeout=PATIENCE_SECONDS)
        assert reply.json()["code"] == code

    def test_the_body_must_be_declared_as_json(self, sandbox: str, grant: Grant) -> None:
        form = {**APP, "auth_code": f"code-{grant.id}"}
        reply = httpx.post(f"{sandbox}{API}/oauth2/access_token/", data=form, timeout=PATIENCE_SECONDS)
        assert reply.json()["code"] == 40002

    def test_a_short_lived_token_expires(self, world: World, rotating: Grant, ask: Ask) -> None:
        access, seconds = world.issue_access(rotating)
        assert ask("/oauth2/advertiser/get/", APP, access)["code"] == 0

        world.clock.advance(timedelta(seconds=seconds or 0))
        assert ask("/oauth2/advertiser/get/", APP, access)["code"] == 40102

    def test_a_long_lived_token_does_not(self, world: World, ask: Ask) -> None:
        world.clock.advance(timedelta(days=3650))
        assert ask("/oauth2/advertiser/get/", APP)["code"] == 0

    @pytest.mark.parametrize(("text", "code"), [(None, 40104), ("", 40104), ("act.forged", 40105)])
    def test_every_call_needs_a_token(self, ask: Ask, grant: Grant, text: str | None, code: int) -> None:
        account = {"advertiser_id": grant.account_ids[0]}
        calls = {
            "/oauth2/advertiser/get/": APP,
            "/advertiser/info/": {"advertiser_ids": grant.account_ids},
            "/campaign/get/": account,
            "/report/integrated/get/": {**REPORT, **account},
        }
        assert {path: ask(path, params, text)["code"] for path, params in calls.items()} == dict.fromkeys(calls, code)

    def test_listing_the_grant_needs_the_app(self, ask: Ask) -> None:
        assert ask("/oauth2/advertiser/get/", {**APP, "secret": "wrong"})["code"] == 40113
        assert ask("/oauth2/advertiser/get/", {"app_id": CLIENT_ID})["code"] == 40002


class TestAccounts:
    def test_a_closed_account_is_listed_but_cannot_be_read(self, world: World, grant: Grant, ask: Ask) -> None:
        closed, live = world.accounts_of(grant)
        closed.closed = True
        data = ask("/advertiser/info/", {"advertiser_ids": [closed.id, live.id], "fields": ["status"]})["data"]

        assert data["list"] == [{"status": "STATUS_DISABLE"}, {"status": "STATUS_ENABLE"}]
        assert ask("/campaign/get/", {"advertiser_id": closed.id})["code"] == 40300

    def test_an_account_of_another_grant_is_refused(self, world: World, ask: Ask) -> None:
        foreign = world.add_grant(TIKTOK).account_ids[0]
        assert ask("/advertiser/info/", {"advertiser_ids": [foreign]})["code"] == 40001
        assert ask("/campaign/get/", {"advertiser_id": foreign})["code"] == 40001

    @pytest.mark.parametrize("ids", [[], ["7"] * 101, "7", [7], "{"])
    def test_asks_for_a_hundred_ids_at_most_and_as_json(self, ask: Ask, ids: Any) -> None:
        assert ask("/advertiser/info/", {"advertiser_ids": ids})["code"] == 40002

    def test_an_account_shared_with_a_grant_can_be_read(self, world: World, grant: Grant, ask: Ask) -> None:
        shared = world.add_grant(TIKTOK).account_ids[0]
        grant.account_ids.append(shared)
        assert ask("/campaign/get/", {"advertiser_id": shared})["code"] == 0


class TestCampaigns:
    @pytest.mark.parametrize(
        ("filtering", "statuses"),
        [
            (None, {"ENABLE", "DISABLE"}),
            ({"secondary_status": "CAMPAIGN_STATUS_ALL"}, {"ENABLE", "DISABLE", "DELETE"}),
            ({"primary_status": "STATUS_DELETE"}, {"DELETE"}),
            ({"secondary_status": "CAMPAIGN_STATUS_DISABLE"}, {"DISABLE"}),
        ],
    )
    def test_deleted_campaigns_are_hidden_unless_asked_for(
        self, ask: Ask, grant: Grant, filtering: dict[str, str] | None, statuses: set[str]
    ) -> None:
        params = {"advertiser_id": grant.account_ids[0], "page_size": 1000}
        data = ask("/campaign/get/", params if filtering is None else {**params, "filtering": filtering})["data"]
        assert {record["secondary_status"] for record in data["list"]} == {f"CAMPAIGN_STATUS_{s}" for s in statuses}

    def test_pages_hold_ten_unless_asked_for_more(self, ask: Ask, grant: Grant) -> None:
        params = {"advertiser_id": grant.account_ids[0], "filtering": ALL_CAMPAIGNS}
        assert len(ask("/campaign/get/", params)["data"]["list"]) == 10
        assert len(ask("/campaign/get/", {**params, "page_size": 1000})["data"]["list"]) == 16
        assert ask("/campaign/get/", {**params, "page": 9})["data"]["list"] == []

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"page_size": 1001}, 40002),
            ({"page_size": 0}, 40002),
            ({"page": 0}, 40002),
            ({"page": "two"}, 40002),
            ({"advertiser_id": ""}, 40002),
            ({"fields": ["campaign_id", "modified_at"]}, 40002),
            ({"fields": "campaign_id"}, 40002),
            ({"filtering": []}, 40002),
            ({"filtering": {"secondary_status": "DELETED"}}, 40002),
            ({"filtering": {"modify_time": "2026-11-20"}}, 40009),
        ],
    )
    def test_refuses_a_wrong_request(self, ask: Ask, grant: Grant, changes: dict[str, Any], code: int) -> None:
        reply = ask("/campaign/get/", {"advertiser_id": grant.account_ids[0], **changes})
        assert (reply["code"], reply["data"]) == (code, {})

    def test_a_campaign_deleted_for_good_is_not_even_listed_as_deleted(
        self, world: World, ask: Ask, grant: Grant
    ) -> None:
        account = world.accounts_of(grant)[0]
        gone = next(iter(account.campaigns))
        world.hard_delete_campaign(TIKTOK, account.id, gone)
        params = {"advertiser_id": account.id, "filtering": ALL_CAMPAIGNS, "page_size": 1000}
        assert gone not in {record["campaign_id"] for record in ask("/campaign/get/", params)["data"]["list"]}


class TestReport:
    def test_days_without_figures_and_the_future_are_left_out(self, world: World, ask: Ask, grant: Grant) -> None:
        account = world.accounts_of(grant)[0]
        for campaign in list(account.campaigns.values())[1:]:
            world.hard_delete_campaign(TIKTOK, account.id, campaign.id)
        [campaign] = account.campaigns.values()
        zero = Figures(0, 0, Decimal(0), Decimal(0), Decimal(0))
        for day in (date(2026, 11, 17), date(2026, 11, 19)):
            world.restate(campaign.id, day, Figures(1, 1, Decimal(1), Decimal(1), Decimal(1)))
        world.restate(campaign.id, date(2026, 11, 18), zero)
        params = {**REPORT, "advertiser_id": account.id, "start_date": "2026-11-17", "end_date": "2026-12-01"}
        days = [
            row["dimensions"]["stat_time_day"][:10] for row in ask("/report/integrated/get/", params)["data"]["list"]
        ]

        assert {"2026-11-17", "2026-11-19"} <= set(days)
        assert "2026-11-18" not in days
        assert max(days) <= account.today(world.clock.now()).isoformat()

    def test_rows_of_deleted_campaigns_are_hidden_unless_asked_for(self, world: World, ask: Ask, grant: Grant) -> None:
        account = world.accounts_of(grant)[0]
        deleted = next(c for c in account.campaigns.values() if c.state is CampaignStatus.REMOVED)
        world.restate(deleted.id, date(2026, 11, 2), Figures(1, 1, Decimal(1), Decimal(0), Decimal(0)))
        params = {**REPORT, "advertiser_id": account.id, "page_size": 1000}

        def reported(**filtering: Any) -> set[str]:
            data = ask("/report/integrated/get/", {**params, **filtering})["data"]
            return {row["dimensions"]["campaign_id"] for row in data["list"]}

        assert deleted.id not in reported()
        assert deleted.id in reported(filtering=ALL_ROWS)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"start_date": "2026-10-21", "end_date": "2026-11-20"}, 40002),
            ({"start_date": "2026-11-21"}, 40002),
            ({"start_date": "yesterday"}, 40002),
            ({"metrics": ["spend", "revenue"]}, 40002),
            ({"page_size": 1001}, 40002),
            ({"report_type": ""}, 40002),
            ({"filtering": [{"field_name": "campaign_status", "filter_type": "IN", "filter_value": "ALL"}]}, 40002),
            ({"filtering": [{"field_name": "campaign_name", "filter_type": "IN", "filter_value": "[]"}]}, 40009),
            ({"data_level": "AUCTION_AD"}, 40009),
            ({"dimensions": ["campaign_id", "stat_time_hour"]}, 40009),
        ],
    )
    def test_refuses_a_wrong_request(self, ask: Ask, grant: Grant, changes: dict[str, Any], code: int) -> None:
        params = {**REPORT, "advertiser_id": grant.account_ids[0], **changes}
        assert ask("/report/integrated/get/", params)["code"] == code

    def test_thirty_days_are_allowed(self, ask: Ask, grant: Grant) -> None:
        params = {**REPORT, "advertiser_id": grant.account_ids[0], "start_date": "2026-10-22"}
        assert ask("/report/integrated/get/", params)["code"] == 0


class TestTrouble:
    def test_slow_down_comes_in_a_reply_of_status_200_without_a_wait(self, world: World, sandbox: str) -> None:
        world.faults.add(Fault(FaultKind.THROTTLE, TIKTOK, seconds=7))
        reply = httpx.get(f"{sandbox}{API}/campaign/get/", timeout=PATIENCE_SECONDS)
        assert (reply.status_code, reply.json()["code"]) == (200, 40100)
        assert "retry-after" not in reply.headers

    def test_a_broken_platform_answers_with_its_own_body(self, world: World, sandbox: str) -> None:
        world.faults.add(Fault(FaultKind.STATUS, TIKTOK, status=502))
        reply = httpx.get(f"{sandbox}{API}/campaign/get/", timeout=PATIENCE_SECONDS)
        assert (reply.status_code, reply.json()["code"]) == (502, 50000)

    def test_calls_are_counted_by_operation(self, world: World, ask: Ask, grant: Grant) -> None:
        ask("/oauth2/advertiser/get/", APP)
        ask("/campaign/get/", {"advertiser_id": grant.account_ids[0]})
        ask("/campaign/get/", {"advertiser_id": grant.account_ids[0]})
        assert [world.faults.count(TIKTOK, name) for name in ("validate", "campaigns", "metrics")] == [1, 2, 0]
