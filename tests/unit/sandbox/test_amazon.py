"""Amazon's side of the sandbox, called with code that is not ours: requests, oauthlib and gzip.

There is no official Amazon Ads SDK. So the token endpoint is proven by an OAuth client, and the rest by the shapes and
limits that Amazon documents. What the tests of our client show through the sandbox is not repeated here.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
from oauthlib.oauth2 import WebApplicationClient  # type: ignore[import-untyped]

from sandbox.app import create_app
from sandbox.server import serve
from sandbox.world import CLIENT_ID, CLIENT_SECRET, Account, Grant, World
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import NOW, PATIENCE_SECONDS

AMAZON = PlatformName.AMAZON
SP_MEDIA = "application/vnd.spCampaign.v3+json"
SB_MEDIA = "application/vnd.sbcampaignresource.v4+json"
REPORT_MEDIA = "application/vnd.createasyncreportrequest.v3+json"
ALL_STATES = {"stateFilter": {"include": ["ENABLED", "PAUSED", "ARCHIVED"]}}
TODAY = date(2026, 11, 20)


@dataclass
class Amazon:
    """The sandbox as one grant sees it, through requests."""

    world: World
    url: str
    grant: Grant
    account: Account
    http: requests.Session = field(default_factory=requests.Session)

    def headers(self, **changes: str | None) -> dict[str, str]:
        own = {
            "Authorization": f"Bearer {self.world.issue_access(self.grant)[0]}",
            "Amazon-Advertising-API-ClientId": CLIENT_ID,
            "Amazon-Advertising-API-Scope": self.account.id,
        }
        return {name: value for name, value in (own | changes).items() if value is not None}

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        region = options.pop("region", self.account.region)
        headers = options.pop("headers", self.headers())
        return self.http.request(
            method, f"{self.url}/amazon/{region}{path}", headers=headers, timeout=PATIENCE_SECONDS, **options
        )

    def list(self, path: str, media: str, body: dict[str, Any]) -> Any:
        headers = self.headers() | {"Accept": media, "Content-Type": media}
        return self.call("POST", path, headers=headers, data=json.dumps(body)).json()

    def sp(self, **body: Any) -> Any:
        return self.list("/sp/campaigns/list", SP_MEDIA, body)

    def sb(self, **body: Any) -> Any:
        return self.list("/sb/v4/campaigns/list", SB_MEDIA, body)

    def sd(self, **params: Any) -> Any:
        return self.call("GET", "/sd/campaigns/extended", params=params).json()

    def ask(self, product: str = "SP", days: int = 20, until: date = TODAY, **changes: Any) -> requests.Response:
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
        since = until - timedelta(days=days - 1)
        return self.ask_for({"startDate": str(since), "endDate": str(until), "configuration": configuration})

    def ask_for(self, body: Any, media: str = REPORT_MEDIA) -> requests.Response:
        headers = self.headers() | {"Content-Type": media}
        return self.call("POST", "/reporting/reports", headers=headers, data=json.dumps(body))

    def poll(self, report_id: str) -> Any:
        return self.call("GET", f"/reporting/reports/{report_id}").json()

    def download(self, url: str, **headers: str) -> requests.Response:
        return self.http.get(url, headers=headers, timeout=PATIENCE_SECONDS)


@pytest.fixture
def amazon(world: World, sandbox: str) -> Iterator[Amazon]:
    """A grant with six accounts of twelve campaigns each."""
    grant = world.add_grant(AMAZON, accounts=6, campaigns=12)
    with requests.Session() as http:
        yield Amazon(world, sandbox, grant, world.accounts_of(grant)[0], http)


# -- the token endpoint -----------------------------------------------------------------------------------------------


def test_an_oauth_client_accepts_a_renewed_token(amazon: Amazon) -> None:
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    form["refresh_token"] = amazon.world.issue_refresh(amazon.grant)
    reply = amazon.http.post(f"{amazon.url}/amazon/na/auth/o2/token", data=form, timeout=PATIENCE_SECONDS)
    token = WebApplicationClient(CLIENT_ID).parse_request_body_response(reply.text)
    assert token["token_type"] == "bearer"
    assert token["expires_in"] == 3600
    assert token["access_token"].startswith("Atza|")
    assert token["refresh_token"].startswith("Atzr|")
    assert reply.headers["Cache-Control"] == "no-store"  # RFC 6749, 5.1
    headers = amazon.headers(Authorization=f"Bearer {token['access_token']}")
    assert amazon.call("GET", "/v2/profiles", headers=headers).status_code == 200


# -- profiles ---------------------------------------------------------------------------------------------------------


def test_profile_ids_are_numbers_that_a_double_cannot_hold(amazon: Amazon) -> None:
    row = amazon.call("GET", "/v2/profiles").json()[0]
    assert row["profileId"] == int(amazon.account.id) > 2**53
    assert int(float(row["profileId"])) != row["profileId"]
    assert (row["currencyCode"], row["timezone"]) == (amazon.account.currency, amazon.account.timezone)


# -- campaigns --------------------------------------------------------------------------------------------------------


def test_each_product_has_its_own_encoding(amazon: Amazon) -> None:
    campaigns = list(amazon.account.campaigns.values())
    updated = campaigns[0].updated
    for campaign in campaigns[:3]:
        amazon.world.change_campaign(
            AMAZON, amazon.account.id, campaign.id, state=CampaignStatus.PAUSED, budget=Decimal("12.5")
        )
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
    assert updated < NOW


def test_archived_campaigns_are_hidden_unless_asked_for(amazon: Amazon) -> None:
    shown = {c["state"] for c in amazon.sp()["campaigns"] + amazon.sb()["campaigns"]}
    assert shown | {c["state"].upper() for c in amazon.sd()} == {"ENABLED", "PAUSED"}
    everything = amazon.sp(**ALL_STATES)["campaigns"] + amazon.sb(**ALL_STATES)["campaigns"]
    everything += amazon.sd(stateFilter="enabled,paused,archived")
    assert len(everything) == 12
    assert "ARCHIVED" in {c["state"].upper() for c in everything}
    assert all("extendedData" not in campaign for campaign in everything)


@pytest.mark.parametrize(
    "body",
    [
        {"maxResults": 101},
        {"maxResults": True},
        {"nextToken": "page-1-forged"},
        {"nextToken": 7},
        {"stateFilter": {"include": ["DELETED"]}},
        {"stateFilter": {"include": [{}]}},
        {"stateFilter": {"include": ["ENABLED"], "exclude": []}},
        {"updatedSince": "2026-01-01"},
    ],
)
def test_a_list_request_that_amazon_does_not_know_is_refused(amazon: Amazon, body: dict[str, Any]) -> None:
    assert amazon.sp(**body)["code"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v2/profiles", {"limit": 5}),
        ("/sd/campaigns/extended", {"updatedSince": "2026-01-01"}),
        ("/sd/campaigns/extended", {"count": 101}),
        ("/sd/campaigns/extended", {"startIndex": -1}),
        ("/sd/campaigns/extended", {"stateFilter": "deleted"}),
        ("/reporting/reports/1", {"verbose": "true"}),
    ],
)
def test_a_query_that_amazon_does_not_know_is_refused(amazon: Amazon, path: str, params: dict[str, Any]) -> None:
    assert amazon.call("GET", path, params=params).status_code in (400, 422)


@pytest.mark.parametrize("missing", ["Accept", "Content-Type"])
def test_lists_and_reports_need_their_media_types(amazon: Amazon, missing: str) -> None:
    for path, media in (("/sp/campaigns/list", SP_MEDIA), ("/sb/v4/campaigns/list", SB_MEDIA)):
        headers = amazon.headers() | {"Accept": media, "Content-Type": media} | {missing: "application/json"}
        assert amazon.call("POST", path, headers=headers, data="{}").status_code == 415
    assert amazon.ask_for({}, media="text/plain").status_code == 415


# -- who may call -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Authorization": None}, "Unauthorized"),
        ({"Authorization": "Bearer Atza|forged"}, "Unauthorized"),
        ({"Amazon-Advertising-API-ClientId": None}, "ClientId header is missing"),
        ({"Amazon-Advertising-API-ClientId": "other"}, "ClientId header is missing"),
        ({"Amazon-Advertising-API-Scope": None}, "Scope header is missing"),
        ({"Amazon-Advertising-API-Scope": "1"}, "No matching advertiser found for scope"),
    ],
)
def test_required_headers(amazon: Amazon, changes: dict[str, str | None], text: str) -> None:
    reply = amazon.call("GET", "/sd/campaigns/extended", headers=amazon.headers(**changes))
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
    rows = json.loads(gzip.decompress(amazon.download(done["url"]).content))
    columns = {"date", "campaignId", "impressions", "clicks", "cost", "purchases14d", "sales14d"}
    assert all(row.keys() == columns for row in rows)
    for row in rows:
        campaign = amazon.account.campaigns[str(row["campaignId"])]
        figures = amazon.world.figures(amazon.account, campaign, date.fromisoformat(row["date"]))
        assert (row["impressions"], row["clicks"]) == (figures.impressions, figures.clicks)
        assert Decimal(str(row["cost"])) == figures.spend
        assert Decimal(str(row["purchases14d"])) == figures.conversions
    active = [c for c in amazon.account.campaigns.values() if c.product == "SPONSORED_PRODUCTS" and c.state == "active"]
    assert 0 < len(rows) < 20 * len(active)  # days without figures are left out


def _rows(amazon: Amazon, report_id: str) -> Any:
    return json.loads(gzip.decompress(amazon.download(amazon.poll(report_id)["url"]).content))


def test_the_same_request_is_a_duplicate_until_it_is_done(amazon: Amazon) -> None:
    report_id = amazon.ask().json()["reportId"]
    again = amazon.ask()
    assert again.status_code == 425
    assert again.json() == {"code": "425", "detail": f"The Request is a duplicate of : {report_id}"}
    assert amazon.ask(columns=["date", "cost"]).status_code == 425
    assert amazon.ask(days=19).status_code == amazon.ask("SB").status_code == 200
    assert amazon.poll(report_id)["status"] == "COMPLETED"
    assert amazon.ask().json()["reportId"] != report_id


def test_a_download_wants_its_signature_and_nothing_else(amazon: Amazon) -> None:
    url = amazon.poll(amazon.ask().json()["reportId"])["url"]
    assert amazon.download(url, Authorization="Bearer Atza|any").status_code == 400
    assert amazon.download(url[:-1] + "?").status_code == 403
    amazon.world.clock.advance(timedelta(seconds=3600))
    expired = amazon.download(url)
    assert (expired.status_code, "Request has expired" in expired.text) == (403, True)


def test_a_restarted_sandbox_knows_its_reports(amazon: Amazon) -> None:
    report_id = amazon.ask().json()["reportId"]
    before = _rows(amazon, report_id)
    world = World(seed=amazon.world.seed, now=NOW)
    grant = world.add_grant(AMAZON, accounts=6, campaigns=12)
    with serve(create_app(world)) as url, requests.Session() as http:
        assert _rows(Amazon(world, url, grant, world.accounts_of(grant)[0], http), report_id) == before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"product": "SB", "columns": ["date", "purchases14d"]}, "columns includes invalid values: (purchases14d)"),
        ({"columns": []}, "configuration.columns"),
        ({"columns": ["date", {}]}, "configuration.columns"),
        ({"reportTypeId": "spSearchTerm"}, "reportTypeId is unknown or invalid"),
        ({"adProduct": "SPONSORED_TELEVISION"}, "configuration.adProduct"),
        ({"groupBy": ["adGroup"]}, "configuration.groupBy"),
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
    assert amazon.ask_for([]).status_code == amazon.ask_for({"since": "2026-11-01"}).status_code == 400
