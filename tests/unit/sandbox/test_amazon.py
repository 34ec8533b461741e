"""Amazon's side of the sandbox, called with code that is not ours: requests, oauthlib and gzip.

There is no official Amazon Ads SDK. So the token endpoint is proven by an OAuth client, and the rest by the shapes and
limits that Amazon documents.
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
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient  # type: ignore[import-untyped]

from sandbox.app import create_app
from sandbox.faults import Fault, FaultKind
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

    def token(self, **changes: str | None) -> requests.Response:
        form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | changes
        if "refresh_token" not in form:
            form["refresh_token"] = self.world.issue_refresh(self.grant)
        return self.http.post(f"{self.url}/amazon/na/auth/o2/token", data=form, timeout=PATIENCE_SECONDS)

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
    reply = amazon.token()
    token = WebApplicationClient(CLIENT_ID).parse_request_body_response(reply.text)
    assert token["token_type"] == "bearer"
    assert token["expires_in"] == 3600
    assert token["access_token"].startswith("Atza|")
    assert token["refresh_token"].startswith("Atzr|")
    assert reply.headers["Cache-Control"] == "no-store"  # RFC 6749, 5.1
    headers = amazon.headers(Authorization=f"Bearer {token['access_token']}")
    assert amazon.call("GET", "/v2/profiles", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"refresh_token": "Atzr|not-ours"}, 400, "invalid_grant"),
        ({"refresh_token": None}, 400, "invalid_request"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "amzn1.application-oa2-client.other"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_assertion": "x"}, 400, "invalid_request"),
    ],
)
def test_an_oauth_client_understands_each_refusal(
    amazon: Amazon, changes: dict[str, str | None], status: int, code: str
) -> None:
    reply = amazon.token(**changes)
    with pytest.raises(OAuth2Error) as caught:
        WebApplicationClient(CLIENT_ID).parse_request_body_response(reply.text)
    assert (reply.status_code, caught.value.error) == (status, code)


# -- profiles ---------------------------------------------------------------------------------------------------------


def test_a_region_lists_only_its_own_profiles(amazon: Amazon) -> None:
    accounts = amazon.world.accounts_of(amazon.grant)
    for region in ("na", "eu", "fe"):
        rows = amazon.call("GET", "/v2/profiles", region=region).json()
        assert [row["profileId"] for row in rows] == [int(a.id) for a in accounts if a.region == region]
    assert {a.region for a in accounts} == {"na", "eu", "fe"}


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


def test_lists_come_in_pages(amazon: Amazon) -> None:
    first = amazon.sp(maxResults=3, **ALL_STATES)
    second = amazon.sp(maxResults=3, nextToken=first["nextToken"], **ALL_STATES)
    assert [len(page["campaigns"]) for page in (first, second)] == [3, 1]
    assert "nextToken" not in second
    assert first["totalResults"] == 4
    states = "enabled,paused,archived"
    assert [len(amazon.sd(startIndex=n, count=3, stateFilter=states)) for n in (0, 3, 6)] == [3, 1, 0]


@pytest.mark.parametrize(
    "body",
    [
        {"maxResults": 101},
        {"maxResults": 0},
        {"maxResults": True},
        {"nextToken": "page-1-forged"},
        {"nextToken": 7},
        {"stateFilter": {"include": ["DELETED"]}},
        {"stateFilter": {"include": [{}]}},
        {"stateFilter": {"include": 7}},
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
        ("/reporting/reports/1", {"verbose": "true"}),
    ],
)
def test_an_unknown_query_parameter_is_refused(amazon: Amazon, path: str, params: dict[str, Any]) -> None:
    reply = amazon.call("GET", path, params=params)
    assert reply.status_code == 400
    assert f"Unknown query parameters: {next(iter(params))}" in reply.text


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", "/v2/sp/campaigns", "Could not find resource for full path"),
        ("PUT", "/sp/campaigns/list", "Method Not Found"),
        ("DELETE", "/reporting/reports/1", "Method Not Found"),
    ],
)
def test_unknown_paths_and_methods_have_the_gateways_answer(amazon: Amazon, method: str, path: str, words: str) -> None:
    reply = amazon.call(method, path)
    assert (reply.status_code, reply.json()["code"]) == (404, "NOT_FOUND")
    assert words in reply.json()["details"]


@pytest.mark.parametrize("params", [{"count": 101}, {"startIndex": -1}, {"stateFilter": "deleted"}])
def test_a_display_list_that_amazon_does_not_know_is_refused(amazon: Amazon, params: dict[str, Any]) -> None:
    assert amazon.sd(**params)["code"] in ("400", "422")


@pytest.mark.parametrize(("path", "media"), [("/sp/campaigns/list", SP_MEDIA), ("/sb/v4/campaigns/list", SB_MEDIA)])
@pytest.mark.parametrize("missing", ["Accept", "Content-Type"])
def test_lists_need_the_vendor_media_type_both_ways(amazon: Amazon, path: str, media: str, missing: str) -> None:
    headers = amazon.headers() | {"Accept": media, "Content-Type": media} | {missing: "application/json"}
    assert amazon.call("POST", path, headers=headers, data="{}").status_code == 415


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


def test_expired_and_revoked_tokens_are_refused(amazon: Amazon) -> None:
    headers = amazon.headers()
    amazon.world.clock.advance(timedelta(hours=1))
    assert amazon.call("GET", "/v2/profiles", headers=headers).json() == {"message": "Unauthorized"}
    headers = amazon.headers()
    amazon.world.expire_access(amazon.grant.id)
    assert amazon.call("GET", "/v2/profiles", headers=headers).status_code == 401
    headers = amazon.headers()
    assert amazon.call("GET", "/v2/profiles", headers=headers).status_code == 200
    amazon.world.revoke_grant(amazon.grant.id)
    assert amazon.call("GET", "/v2/profiles", headers=headers).status_code == 401


def test_foreign_closed_and_displaced_accounts_are_refused(amazon: Amazon) -> None:
    foreign = amazon.world.accounts_of(amazon.world.add_grant(AMAZON))[0]
    headers = amazon.headers(**{"Amazon-Advertising-API-Scope": foreign.id})
    reply = amazon.call("GET", "/sd/campaigns/extended", headers=headers, region=foreign.region)
    assert (reply.status_code, reply.json()["details"]) == (401, f"Not authorized to access scope {foreign.id}")
    other = next(region for region in ("na", "eu", "fe") if region != amazon.account.region)
    assert amazon.call("GET", "/sd/campaigns/extended", region=other).status_code == 401
    amazon.account.closed = True
    assert amazon.sd()["details"] == "No matching advertiser found for scope"


def test_a_product_that_is_not_enabled_is_refused(amazon: Amazon) -> None:
    amazon.account.products = ("SPONSORED_PRODUCTS",)
    assert amazon.sp()["campaigns"]
    assert amazon.sb() == {"code": "ACCESS_DENIED", "message": "Advertiser is not authorized for Sponsored Brands."}
    assert amazon.sd()["details"] == "Advertiser is not authorized for Sponsored Display."
    assert amazon.ask("SD").status_code == 403


@pytest.mark.parametrize(
    ("operation", "call", "body"),
    [
        ("token", Amazon.token, {"error": "temporarily_unavailable", "error_description": "Too Many Requests"}),
        ("campaigns", lambda amazon: amazon.call("POST", "/sp/campaigns/list"), {"code": "THROTTLED"}),
        ("campaigns", lambda amazon: amazon.call("GET", "/sd/campaigns/extended"), {"code": "429"}),
        ("report-create", Amazon.ask, {"code": "429", "detail": "Too Many Requests"}),
    ],
)
def test_throttling_has_the_body_of_the_api_that_was_called(
    amazon: Amazon, operation: str, call: Any, body: dict[str, str]
) -> None:
    amazon.world.faults.add(Fault(FaultKind.THROTTLE, AMAZON, operation, seconds=17))
    reply = call(amazon)
    wait = None if operation == "report-create" else "17"  # live, this one names no wait
    assert (reply.status_code, reply.headers.get("Retry-After")) == (429, wait)
    assert body.items() <= reply.json().items()


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
    assert amazon.ask(days=19).status_code == amazon.ask("SB").status_code == 200
    assert amazon.poll(report_id)["status"] == "COMPLETED"
    assert amazon.ask().json()["reportId"] != report_id


def test_a_request_of_another_time_unit_is_taken_for_the_same(amazon: Amazon) -> None:
    columns = ["startDate", "endDate", "campaignId", "cost"]
    summary = amazon.ask(timeUnit="SUMMARY", columns=columns).json()
    assert amazon.ask().json()["detail"] == f"The Request is a duplicate of : {summary['reportId']}"
    told = amazon.poll(summary["reportId"])["configuration"]
    assert (told["timeUnit"], told["columns"]) == ("SUMMARY", columns)
    daily = amazon.ask().json()["reportId"]  # the other one is done
    days = _rows(amazon, daily)
    for row in _rows(amazon, summary["reportId"]):
        assert (row["startDate"], row["endDate"]) == ("2026-11-01", "2026-11-20")
        spent = sum(Decimal(str(day["cost"])) for day in days if day["campaignId"] == row["campaignId"])
        assert Decimal(str(row["cost"])) == spent


def test_brands_campaigns_with_a_single_ad_group_are_listed_and_not_reported_on(amazon: Amazon) -> None:
    listed = {row["campaignId"]: row["isMultiAdGroupsEnabled"] for row in amazon.sb(**ALL_STATES)["campaigns"]}
    [single] = [id_ for id_, is_multi in listed.items() if not is_multi]
    assert amazon.account.campaigns[single].state is CampaignStatus.ACTIVE
    rows = _rows(amazon, amazon.ask("SB").json()["reportId"])
    assert {str(row["campaignId"]) for row in rows} < listed.keys() - {single}


def test_a_report_can_stay_pending(amazon: Amazon) -> None:
    report_id = amazon.ask("SB").json()["reportId"]
    amazon.world.faults.add(Fault(FaultKind.PENDING, AMAZON, "report-status", match="SB-"))
    amazon.world.clock.advance(timedelta(hours=9))
    assert amazon.poll(report_id)["status"] == "PENDING"
    assert amazon.ask("SB").status_code == 425
    assert amazon.poll(amazon.ask("SP").json()["reportId"])["status"] == "COMPLETED"


def test_a_throttled_request_can_have_been_taken_all_the_same(amazon: Amazon) -> None:
    amazon.world.faults.add(Fault(FaultKind.LATE_THROTTLE, AMAZON, "report-create", times=1))
    assert amazon.ask().status_code == 429
    again = amazon.ask()
    assert again.status_code == 425
    assert amazon.poll(again.json()["detail"].rpartition(" ")[2])["configuration"]["timeUnit"] == "DAILY"


def test_a_throttle_of_one_report_type_can_be_a_page(amazon: Amazon) -> None:
    amazon.world.faults.add(Fault(FaultKind.HTML, AMAZON, "report-create", match="sbCampaigns", status=429))
    reply = amazon.ask("SB")
    assert (reply.status_code, reply.headers.get("Retry-After")) == (429, None)
    assert "<h1>429 Too Many Requests</h1>" in reply.text
    assert amazon.ask("SP").status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [(FaultKind.STATUS, 400, b"<Error>"), (FaultKind.STATUS, 403, b"<Error>"), (FaultKind.TRUNCATED, 200, b"")],
)
def test_a_report_that_is_done_can_be_lost_in_storage(
    amazon: Amazon, kind: FaultKind, status: int, body: bytes
) -> None:
    amazon.world.faults.add(Fault(kind, AMAZON, "report-download", match="SB-", status=status))
    done = amazon.poll(amazon.ask("SB").json()["reportId"])
    for _ in range(2):
        reply = amazon.download(done["url"])
        assert (done["status"], reply.status_code, body in reply.content) == ("COMPLETED", status, True)
    if kind is FaultKind.TRUNCATED:
        with pytest.raises(EOFError):
            gzip.decompress(reply.content)


def test_a_report_can_fail(amazon: Amazon) -> None:
    report_id = amazon.ask().json()["reportId"]
    next(iter(amazon.world.reports.values()))["failure"] = "Internal error"
    failed = amazon.poll(report_id)
    assert (failed["status"], failed["failureReason"], failed["url"]) == ("FAILED", "Internal error", None)
    assert amazon.ask().status_code == 200


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


def test_an_unknown_or_foreign_report_is_not_found(amazon: Amazon) -> None:
    report_id = amazon.ask().json()["reportId"]
    assert amazon.poll("11111111-2222-3333")["code"] == "404"
    amazon.account = amazon.world.accounts_of(amazon.grant)[1]
    assert amazon.poll(report_id)["code"] == "404"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"product": "SB", "columns": ["date", "purchases14d"]}, "columns includes invalid values: (purchases14d)"),
        ({"columns": []}, "columns includes invalid values"),
        ({"reportTypeId": "spSearchTerm"}, "reportTypeId is unknown or invalid"),
        ({"adProduct": "SPONSORED_TELEVISION"}, "reportTypeId is unknown or invalid"),
        ({"groupBy": ["adGroup"]}, "groupBy"),
        ({"timeUnit": "HOURLY"}, "timeUnit must be one of"),
        ({"timeUnit": "SUMMARY"}, "columns includes invalid values: (date)"),
        ({"columns": ["date", {}]}, "columns includes invalid values: ({})"),
        ({"columns": "date"}, "columns includes invalid values"),
        ({"lookback": 7}, "unknown fields: (lookback)"),
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


@pytest.mark.parametrize("body", [None, [], {"startDate": 7}, {"configuration": []}, {"since": "2026-11-01"}])
def test_a_report_request_of_another_shape_is_refused(amazon: Amazon, body: Any) -> None:
    assert amazon.ask_for(body).status_code == 400


def test_a_report_request_of_another_media_type_is_refused(amazon: Amazon) -> None:
    assert amazon.ask_for({}, media="text/plain").status_code == 415
