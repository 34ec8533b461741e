"""The sandbox's Amazon against the formats and limits that Amazon documents, since there is no official SDK.

The tests of our client cover the rest.
"""

import base64
import gzip
import json
from dataclasses import astuple
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest

from sandbox.amazon_reports import Report
from sandbox.facts import CLIENT_ID
from sivera.values import CampaignStatus, PlatformName
from tests.unit.sandbox.conftest import Changes, NewUser, Request, User

AMAZON = PlatformName.AMAZON
SP_MEDIA = "application/vnd.spCampaign.v3+json"
SB_MEDIA = "application/vnd.sbcampaignresource.v4+json"
REPORT_MEDIA = "application/vnd.createasyncreportrequest.v3+json"
TODAY = date(2026, 11, 20)

COLUMNS = ["date", "campaignId", "impressions", "clicks", "cost", "purchases14d", "sales14d"]
BRANDS = {"adProduct": "SPONSORED_BRANDS", "reportTypeId": "sbCampaigns", "columns": ["purchases", "sales"]}


def configured(**changes: Any) -> Changes:
    configuration = {"adProduct": "SPONSORED_PRODUCTS", "groupBy": ["campaign"], "columns": COLUMNS}
    configuration |= {"reportTypeId": "spCampaigns", "timeUnit": "DAILY", "format": "GZIP_JSON"}
    return {"configuration": configuration | changes}


REQUESTS = {
    "profiles": Request("GET", "{region}/v2/profiles"),
    "sp": Request("POST", "{region}/sp/campaigns/list", media=SP_MEDIA),
    "sb": Request("POST", "{region}/sb/v4/campaigns/list", media=SB_MEDIA),
    "sd": Request("GET", "{region}/sd/campaigns/extended"),
    "report": Request(
        "POST",
        "{region}/reporting/reports",
        {"startDate": "2026-11-01", "endDate": str(TODAY), **configured()},
        REPORT_MEDIA,
    ),
    "state": Request("GET", "{region}/reporting/reports/{report}"),
}
ALL_STATES = {"stateFilter": {"include": ["ENABLED", "PAUSED", "ARCHIVED"]}}


@pytest.fixture
def amazon(new_user: NewUser) -> User:
    """The user of an account with twelve campaigns."""
    user = new_user(AMAZON, campaigns=12)
    user.requests = REQUESTS
    user.http.headers["Amazon-Advertising-API-ClientId"] = CLIENT_ID
    user.http.headers["Amazon-Advertising-API-Scope"] = user.account.id
    return user


def days(since: int, until: int = 0, **of: Any) -> Changes:
    """A report's days, counted back from today."""
    first, last = (str(TODAY - timedelta(days=ago)) for ago in (since, until))
    return {"startDate": first, "endDate": last, **configured(**of)}


REFUSED: list[tuple[str, Changes, int, str]] = [
    *(
        ("sp", changes, 400, "INVALID_ARGUMENT")
        for changes in (
            {"maxResults": 101},
            {"maxResults": True},
            {"nextToken": "page-1-forged"},
            {"stateFilter": {"include": ["DELETED"]}},
            {"stateFilter": {"include": ["ENABLED"], "exclude": []}},
            {"updatedSince": "2026-01-01"},
        )
    ),
    *((product, {"Accept": "application/json"}, 415, "UNSUPPORTED_MEDIA_TYPE") for product in ("sp", "sb")),
    *((product, {"Content-Type": "application/json"}, 415, "UNSUPPORTED_MEDIA_TYPE") for product in ("sp", "sb")),
    ("sd", {"updatedSince": "2026"}, 400, '"400"'),
    ("sd", {"count": 101}, 400, '"400"'),
    ("sd", {"startIndex": -1}, 400, '"400"'),
    ("sd", {"stateFilter": "deleted"}, 400, '"400"'),
    ("profiles", {"limit": 5}, 400, '"400"'),
    ("profiles", {"/region": "mars"}, 404, "Not Found"),
    ("sd", {"Authorization": ""}, 401, "Unauthorized"),
    ("sd", {"Authorization": "Bearer Atza|forged"}, 401, "Unauthorized"),
    ("sd", {"Amazon-Advertising-API-ClientId": "other"}, 401, "ClientId header is missing"),
    ("sd", {"Amazon-Advertising-API-Scope": ""}, 401, "Scope header is missing"),
    ("sd", {"Amazon-Advertising-API-Scope": "1"}, 401, "No matching advertiser found for scope"),
    ("state", {"/report": "11111111-2222"}, 404, '"404"'),
    ("state", {"/report": "1", "verbose": "x"}, 400, '"400"'),
    ("report", {"Content-Type": "text/plain"}, 415, '"415"'),
    ("report", configured(columns=[]), 400, "configuration.columns"),
    ("report", configured(**BRANDS | {"columns": COLUMNS}), 400, "includes invalid values: (purchases14d, sales14d)"),
    ("report", configured(reportTypeId="spSearchTerm"), 400, "reportTypeId is unknown or invalid"),
    ("report", configured(adProduct="SPONSORED_TELEVISION"), 400, "configuration.adProduct"),
    ("report", configured(timeUnit="SUMMARY"), 400, "configuration.timeUnit"),
    ("report", configured(lookback=7), 400, "configuration.lookback"),
    ("report", days(31), 400, "31 days"),
    ("report", days(0, -2), 400, "up to today"),
    ("report", days(100, 80), 400, "data retention start date"),
    ("report", days(65, 45, **BRANDS), 400, "data retention start date"),
]


@pytest.mark.parametrize(("name", "changes", "status", "words"), REFUSED, ids=lambda value: str(value)[:60])
def test_amazon_refuses_an_invalid_request(amazon: User, name: str, changes: Changes, status: int, words: str) -> None:
    reply = amazon.ask(name, changes)
    assert reply.status_code == status
    assert words in reply.text


def test_a_profile_and_its_reports_belong_to_a_grant_and_a_region(amazon: User) -> None:
    others = amazon.world.accounts_of(amazon.world.add_grant(AMAZON, accounts=12))
    here = next(other for other in others if other.region == amazon.account.region)
    elsewhere = next(other for other in others if other.region != amazon.account.region)
    scope, report_id = "Amazon-Advertising-API-Scope", amazon.ask("report").json()["reportId"]
    assert "Not authorized to access scope" in amazon.ask("sd", {scope: here.id}).text
    here.grant_id = elsewhere.grant_id = amazon.grant.id
    assert amazon.ask("sd", {scope: here.id}).status_code == 200
    assert "No matching advertiser found" in amazon.ask("sd", {scope: elsewhere.id}).text
    assert amazon.ask("state", {scope: here.id, "/report": report_id}).status_code == 404
    assert amazon.ask("state", {"/report": report_id}).status_code == 200


def test_each_product_has_its_own_encoding(amazon: User) -> None:
    one_of_each = list(amazon.account.campaigns.values())[:3]
    changes: dict[str, Any] = {"state": CampaignStatus.PAUSED, "budget": Decimal("12.5")}
    sp, sb, sd = [amazon.world.change_campaign(AMAZON, amazon.account.id, each.id, **changes) for each in one_of_each]
    updated, serving = 1_795_176_000_000, {"servingStatus": "CAMPAIGN_PAUSED"}
    budget = {"budget": 12.5, "budgetType": "DAILY"}
    first = {"campaignId": sp.id, "name": sp.name, "state": "PAUSED", "startDate": str(sp.start), "endDate": None}
    second = {"campaignId": sb.id, "name": sb.name, "state": "PAUSED", "startDate": str(sb.start)}
    third = {"campaignId": int(sd.id), "name": sd.name, "state": "paused", "startDate": f"{sd.start:%Y%m%d}"}
    extended = {"includeExtendedDataFields": True}
    assert amazon.ask("sp", extended).json()["campaigns"][0] == first | {
        "budget": budget,
        "extendedData": serving | {"lastUpdateDateTime": "2026-11-20T12:00:00.000Z"},
    }
    assert amazon.ask("sb", extended).json()["campaigns"][0] == second | budget | {
        "isMultiAdGroupsEnabled": True,
        "extendedData": serving | {"lastUpdateDate": updated},
    }
    assert amazon.ask("sd").json()[0] == third | serving | {
        "budget": 12.5,
        "budgetType": "daily",
        "lastUpdatedDate": updated,
    }


def test_archived_campaigns_and_extended_data_are_hidden_by_default(amazon: User) -> None:
    shown = [amazon.ask(product).json()["campaigns"] for product in ("sp", "sb")] + [amazon.ask("sd").json()]
    assert {row["state"].upper() for rows in shown for row in rows} == {"ENABLED", "PAUSED"}
    everything = [amazon.ask(product, ALL_STATES).json()["campaigns"] for product in ("sp", "sb")]
    assert [len(rows) for rows in everything] == [4, 4]
    assert len(amazon.ask("sd", {"stateFilter": "enabled,paused,archived"}).json()) == 4
    assert not [row for rows in everything for row in rows if "extendedData" in row]


def test_a_report_is_requested_polled_and_downloaded(amazon: User) -> None:
    amazon.world.report_seconds = 600
    asked = amazon.ask("report").json()
    assert (asked["status"], asked["url"]) == ("PENDING", None)
    again = amazon.ask("report", configured(columns=["cost"]))
    assert (again.status_code, again.json()["detail"].split()[-1]) == (425, asked["reportId"])

    def polled() -> Any:
        return amazon.ask("state", {"/report": asked["reportId"]}).json()

    assert polled()["status"] == "PROCESSING"
    amazon.world.clock.advance(timedelta(seconds=600))
    done = polled()
    assert (done["status"], done["urlExpiresAt"]) == ("COMPLETED", "2026-11-20T13:10:00.000Z")
    assert amazon.ask("report").json()["reportId"] != asked["reportId"], "a finished report has no duplicate"
    download = httpx.get(done["url"])
    assert {frozenset(row) for row in json.loads(gzip.decompress(download.content))} == {frozenset(COLUMNS)}
    assert amazon.http.get(done["url"]).status_code == 400, "a second kind of authorisation"
    assert httpx.get(done["url"][:-1] + "?").status_code == 403
    amazon.world.clock.advance(timedelta(seconds=3600))
    assert "Request has expired" in httpx.get(done["url"]).text


def test_a_restarted_sandbox_restores_a_report_from_its_id(amazon: User) -> None:
    report_id = amazon.ask("report", configured(**BRANDS)).json()["reportId"]
    known = Report.of(report_id)
    assert known
    assert (known.id, known.profile_id, known.until) == (report_id, amazon.account.id, TODAY)


@pytest.mark.parametrize(
    ("place", "value"), [(1, "SPONSORED_TELEVISION"), (2, "yesterday"), (4, None), (4, [1]), (5, "now"), (6, [])]
)
def test_an_id_that_the_sandbox_never_gave_is_not_found(amazon: User, place: int, value: Any) -> None:
    known = Report.of(amazon.ask("report").json()["reportId"])
    assert known
    parts = [*astuple(known)]
    parts[place] = value
    odd = "SP-" + base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")
    assert amazon.ask("state", {"/report": odd}).status_code == 404
