"""Amazon's side of the sandbox: the shapes and limits that Amazon documents, since there is no official SDK.

What the tests of our client show through the sandbox is not repeated here.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sandbox.accounts import Account
from sandbox.amazon_reports import Report
from sandbox.facts import CLIENT_ID
from sandbox.world import World
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import PATIENCE_SECONDS

AMAZON = PlatformName.AMAZON
SP_MEDIA = "application/vnd.spCampaign.v3+json"
SB_MEDIA = "application/vnd.sbcampaignresource.v4+json"
REPORT_MEDIA = "application/vnd.createasyncreportrequest.v3+json"
ALL_STATES = {"stateFilter": {"include": ["ENABLED", "PAUSED", "ARCHIVED"]}}
TODAY = date(2026, 11, 20)


@dataclass
class Amazon:
    """The sandbox as one grant sees it."""

    world: World
    account: Account
    http: httpx.Client
    headers: dict[str, str]

    def get(self, path: str, **params: Any) -> Any:
        return self.http.get(path, params=params, headers=self.headers).json()

    def post(self, path: str, body: Any, media: str, **headers: str) -> httpx.Response:
        sent = self.headers | {"Accept": media, "Content-Type": media} | headers
        return self.http.post(path, headers=sent, content=json.dumps(body))

    def sp(self, **body: Any) -> Any:
        return self.post("sp/campaigns/list", body, SP_MEDIA).json()

    def sb(self, **body: Any) -> Any:
        return self.post("sb/v4/campaigns/list", body, SB_MEDIA).json()

    def sd(self, **params: Any) -> Any:
        return self.get("sd/campaigns/extended", **params)

    def ask(self, product: str = "SP", days: int = 20, until: date = TODAY, **changes: Any) -> httpx.Response:
        attributed = ["purchases14d", "sales14d"] if product == "SP" else ["purchases", "sales"]
        name = {"SP": "SPONSORED_PRODUCTS", "SB": "SPONSORED_BRANDS", "SD": "SPONSORED_DISPLAY"}[product]
        configuration = {
            "adProduct": name,
            "groupBy": ["campaign"],
            "columns": ["date", "campaignId", "impressions", "clicks", "cost", *attributed],
            "reportTypeId": f"{product.lower()}Campaigns",
            "timeUnit": "DAILY",
            "format": "GZIP_JSON",
        } | changes
        body = {"startDate": str(until - timedelta(days=days - 1)), "endDate": str(until)}
        return self.post("reporting/reports", {**body, "configuration": configuration}, REPORT_MEDIA)

    def poll(self, report_id: str) -> Any:
        return self.get(f"reporting/reports/{report_id}")


@pytest.fixture
def amazon(world: World, sandbox: str) -> Iterator[Amazon]:
    """A grant with an account of twelve campaigns."""
    grant = world.add_grant(AMAZON, campaigns=12)
    [account] = world.accounts_of(grant)
    headers = {
        "Authorization": f"Bearer {world.issue_access(grant)[0]}",
        "Amazon-Advertising-API-ClientId": CLIENT_ID,
        "Amazon-Advertising-API-Scope": account.id,
    }
    with httpx.Client(base_url=f"{sandbox}/amazon/{account.region}/", timeout=PATIENCE_SECONDS) as http:
        yield Amazon(world, account, http, headers)


# -- campaigns --------------------------------------------------------------------------------------------------------


def test_each_product_has_its_own_encoding(amazon: Amazon) -> None:
    campaigns = list(amazon.account.campaigns.values())
    for campaign in campaigns[:3]:
        changes: dict[str, Any] = {"state": CampaignStatus.PAUSED, "budget": Decimal("12.5")}
        amazon.world.change_campaign(AMAZON, amazon.account.id, campaign.id, **changes)
    [sp] = [c for c in amazon.sp(includeExtendedDataFields=True)["campaigns"] if c["campaignId"] == campaigns[0].id]
    [sb] = [c for c in amazon.sb(includeExtendedDataFields=True)["campaigns"] if c["campaignId"] == campaigns[1].id]
    [sd] = [c for c in amazon.sd() if c["campaignId"] == int(campaigns[2].id)]
    assert (sp["state"], sb["state"], sd["state"]) == ("PAUSED", "PAUSED", "paused")
    assert sp["budget"] == {"budget": 12.5, "budgetType": "DAILY"}
    assert (sb["budget"], sb["budgetType"], sd["budget"], sd["budgetType"]) == (12.5, "DAILY", 12.5, "daily")
    assert sp["extendedData"]["lastUpdateDateTime"] == "2026-11-20T12:00:00.000Z"
    assert sb["extendedData"]["lastUpdateDate"] == sd["lastUpdatedDate"] == 1_795_176_000_000
    assert (sp["startDate"], sb["startDate"]) == tuple(c.start.isoformat() for c in campaigns[:2])
    assert sd["startDate"] == f"{campaigns[2].start:%Y%m%d}"


def test_archived_campaigns_are_hidden_unless_asked_for(amazon: Amazon) -> None:
    shown = {c["state"] for c in amazon.sp()["campaigns"] + amazon.sb()["campaigns"]}
    assert shown | {c["state"].upper() for c in amazon.sd()} == {"ENABLED", "PAUSED"}
    everything = amazon.sp(**ALL_STATES)["campaigns"] + amazon.sb(**ALL_STATES)["campaigns"]
    everything += amazon.sd(stateFilter="enabled,paused,archived")
    assert len(everything) == 12
    assert all("extendedData" not in campaign for campaign in everything)


def test_requests_that_amazon_does_not_know_are_refused(amazon: Amazon) -> None:
    bodies: list[dict[str, Any]] = [
        {"maxResults": 101},
        {"maxResults": True},
        {"nextToken": "page-1-forged"},
        {"stateFilter": {"include": ["DELETED"]}},
        {"stateFilter": {"include": ["ENABLED"], "exclude": []}},
        {"updatedSince": "2026-01-01"},
    ]
    assert {amazon.sp(**body)["code"] for body in bodies} == {"INVALID_ARGUMENT"}
    queries: list[dict[str, Any]] = [
        {"updatedSince": "2026"},
        {"count": 101},
        {"startIndex": -1},
        {"stateFilter": "deleted"},
    ]
    assert {amazon.sd(**query)["code"] for query in queries} == {"400"}
    assert amazon.get("v2/profiles", limit=5)["code"] == amazon.get("reporting/reports/1", verbose="x")["code"] == "400"
    for path, media in (("sp/campaigns/list", SP_MEDIA), ("sb/v4/campaigns/list", SB_MEDIA)):
        for name in ("Accept", "Content-Type"):
            assert amazon.post(path, {}, media, **{name: "application/json"}).status_code == 415
    assert amazon.post("reporting/reports", {}, "text/plain").status_code == 415


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Authorization": ""}, "Unauthorized"),
        ({"Authorization": "Bearer Atza|forged"}, "Unauthorized"),
        ({"Amazon-Advertising-API-ClientId": "other"}, "ClientId header is missing"),
        ({"Amazon-Advertising-API-Scope": ""}, "Scope header is missing"),
        ({"Amazon-Advertising-API-Scope": "1"}, "No matching advertiser found for scope"),
    ],
)
def test_required_headers(amazon: Amazon, changes: dict[str, str], text: str) -> None:
    reply = amazon.http.get("sd/campaigns/extended", headers=amazon.headers | changes)
    assert reply.status_code == 401
    assert text in reply.text


# -- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_is_asked_for_polled_and_downloaded(amazon: Amazon) -> None:
    amazon.world.report_seconds = 600
    asked = amazon.ask().json()
    assert (asked["status"], asked["url"]) == ("PENDING", None)
    assert amazon.poll(asked["reportId"])["status"] == "PROCESSING"
    amazon.world.clock.advance(timedelta(seconds=600))
    done = amazon.poll(asked["reportId"])
    assert (done["status"], done["urlExpiresAt"]) == ("COMPLETED", "2026-11-20T13:10:00.000Z")
    rows = json.loads(gzip.decompress(amazon.http.get(done["url"]).content))
    assert rows
    for row in rows:
        campaign = amazon.account.campaigns[str(row["campaignId"])]
        figures = amazon.world.figures(amazon.account, campaign, date.fromisoformat(row["date"]))
        assert (row.pop("impressions"), row.pop("clicks")) == (figures.impressions, figures.clicks)
        assert Decimal(str(row.pop("cost"))) == figures.spend
        assert Decimal(str(row.pop("purchases14d"))) == figures.conversions
        assert row.keys() == {"date", "campaignId", "sales14d"}
    assert amazon.http.get(done["url"], headers=amazon.headers).status_code == 400
    assert amazon.http.get(done["url"][:-1] + "?").status_code == 403
    amazon.world.clock.advance(timedelta(seconds=3600))
    assert "Request has expired" in amazon.http.get(done["url"]).text


def test_the_same_request_is_a_duplicate_until_it_is_done(amazon: Amazon) -> None:
    report_id = amazon.ask().json()["reportId"]
    again = amazon.ask()
    assert again.status_code == 425
    assert again.json() == {"code": "425", "detail": f"The Request is a duplicate of : {report_id}"}
    assert amazon.ask(columns=["date", "cost"]).status_code == 425
    assert amazon.ask(days=19).status_code == amazon.ask("SB").status_code == 200
    assert amazon.poll(report_id)["status"] == "COMPLETED"
    assert amazon.ask().json()["reportId"] != report_id


def test_the_id_of_a_report_says_all_of_it_so_that_a_restarted_sandbox_knows_it(amazon: Amazon) -> None:
    report_id = amazon.ask("SB").json()["reportId"]
    report = Report.of(report_id)
    assert report
    assert (report.id, report.profile_id, report.until) == (report_id, amazon.account.id, "2026-11-20")
    assert amazon.poll("11111111-2222-3333")["code"] == "404"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"product": "SB", "columns": ["date", "purchases14d"]}, "columns includes invalid values: (purchases14d)"),
        ({"columns": []}, "configuration.columns"),
        ({"reportTypeId": "spSearchTerm"}, "reportTypeId is unknown or invalid"),
        ({"adProduct": "SPONSORED_TELEVISION"}, "configuration.adProduct"),
        ({"timeUnit": "SUMMARY"}, "configuration.timeUnit"),
        ({"lookback": 7}, "configuration.lookback"),
        ({"days": 32}, "31 days"),
        ({"until": TODAY + timedelta(days=2)}, "up to today"),
        ({"until": TODAY - timedelta(days=80)}, "data retention start date"),
        ({"product": "SB", "until": TODAY - timedelta(days=45)}, "data retention start date"),
    ],
)
def test_a_report_that_amazon_does_not_make_is_refused(amazon: Amazon, options: dict[str, Any], text: str) -> None:
    reply = amazon.ask(**options)
    assert (reply.status_code, reply.json()["code"]) == (400, "400")
    assert text in reply.json()["detail"]
