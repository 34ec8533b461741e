"""Only for Amazon: three regions, three products, and reports that are collected later."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from sandbox.amazon_reports import Report
from sandbox.faults import FaultKind
from sivera.breaker import Subject
from sivera.errors import InvalidReply, PlatformError, Throttled, ThrottleScope, TokenRejected, Unavailable
from sivera.platforms import amazon_reports as reports
from sivera.platforms.amazon_json import PRODUCTS
from sivera.platforms.base import ProductNotEnabled, ReportLost
from sivera.platforms.parts import MAX_EMPTY_PAGES
from sivera.platforms.rows import Record
from sivera.values import DateWindow, MetricsReading, ReportRequest
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import AMAZON, WINDOW, Rig, figures_of, ours, refused, static

SP, SB, SD = PRODUCTS
NAMES = tuple(product.name for product in PRODUCTS)


@pytest.fixture
def rig(new_rig: NewRig) -> Rig:
    """A grant with one account of twelve campaigns, four for each product."""
    return new_rig(AMAZON)


@pytest.fixture
def spread(new_rig: NewRig) -> Rig:
    """A grant with accounts in all three regions."""
    rig = new_rig(AMAZON, accounts=20, campaigns=3)
    assert {site.region for site in rig.sites} == {"na", "eu", "fe"}
    return rig


def collected(rig: Rig, request: ReportRequest) -> MetricsReading:
    reading = rig.collect(request)
    assert reading is not None
    return reading


# -- regions and products ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "is_refused"),
    [
        (FaultKind.STATUS, 401, True),
        (FaultKind.STATUS, 403, True),
        (FaultKind.STATUS, 503, False),
        (FaultKind.HTML, 404, False),
    ],
)
def test_a_listing_names_the_regions_that_refused_the_grant_or_failed(
    spread: Rig, kind: FaultKind, status: int, is_refused: bool
) -> None:
    spread.fault(kind, "accounts", match="/eu/", status=status)
    listing = spread.accounts()
    assert {account.region for account in listing.accounts} == {"na", "fe"}
    assert listing.refused_regions == (("eu",) if is_refused else ())
    assert [row.id for row in listing.left_out] == ([] if is_refused else ["region eu"])
    assert all(row.why.startswith("cannot be read: ") and "amazon:" not in row.why for row in listing.left_out)


def test_an_error_in_every_region_is_raised(spread: Rig) -> None:
    with refused(TokenRejected):
        spread.client.list_accounts(static(AMAZON, "Atza|pasted"))
    spread.fault(FaultKind.STATUS, "accounts", match="/fe/", status=503)
    spread.fault(FaultKind.STATUS, "accounts", status=403)
    with refused(Unavailable):  # the region that failed may be that of the accounts
        spread.accounts()


def test_a_product_that_is_not_enabled_costs_no_other_product(rig: Rig) -> None:
    rig.site.products = (SP.name,)
    listing = rig.campaigns(SP.name)
    assert listing.complete
    assert {c.ad_product for c in listing.campaigns} == {SP.name}
    assert collected(rig, rig.request(SP.name)).rows
    for product in NAMES[1:]:
        with refused(ProductNotEnabled):
            rig.campaigns(product)
        with refused(ProductNotEnabled):
            rig.request(product)


def test_brands_campaigns_with_a_single_ad_group_have_unknown_figures(rig: Rig) -> None:
    listed = {c.external_id: c.is_reported for c in rig.listed().values()}
    [single] = [id_ for id_, is_reported in listed.items() if not is_reported]
    assert rig.site.campaigns[single].single_ad_group
    assert rig.site.campaigns[single].product == SB.name
    assert single not in {row.campaign_id for row in collected(rig, rig.request(SB.name)).rows}


def test_pages_that_bring_nothing_new_end_a_listing_after_twenty(rig: Rig) -> None:
    rig.fault(FaultKind.EMPTY_PAGE, "campaigns", times=MAX_EMPTY_PAGES - 1)
    assert len(rig.campaigns(SP.name).campaigns) == 4
    row = {"campaignId": 1, "name": "Brand", "state": "paused", "budget": 1, "budgetType": "daily"}
    again = [row | {"campaignId": number} for number in range(100)]
    rig.fault(FaultKind.BODY, "campaigns", status=200, value=again)
    calls = rig.calls("campaigns")
    with refused(InvalidReply, "nothing new"):
        rig.campaigns(SD.name)
    assert rig.calls("campaigns") - calls == 1 + MAX_EMPTY_PAGES


# -- reports ----------------------------------------------------------------------------------------------------------


def test_reports_are_requested_and_collected_later(rig: Rig) -> None:
    rig.world.report_seconds = 600
    requests = [rig.request(product) for product in NAMES]
    assert [rig.collect(request) for request in requests] == [None] * 3
    assert [rig.request(product) for product in NAMES] == requests  # under way: the same reports
    rig.fault(FaultKind.BODY, "report-status", match="SB-", status=200, value={"status": "PROCESSING"})
    rig.world.clock.advance(timedelta(seconds=600))
    readings = [rig.collect(request) for request in requests]
    assert [reading.window if reading else None for reading in readings] == [WINDOW, None, WINDOW]
    assert rig.calls("report-create") == 6


def test_a_second_row_of_a_day_is_left_out(rig: Rig) -> None:
    request = rig.request(SP.name)
    campaign, day = min(key for key in rig.truth() if rig.site.campaigns[key[0]].product == SP.name)
    rig.fault(FaultKind.ODD_ROW, "report-download", match=str(day + timedelta(1)), field="date", value=str(day))
    reading = collected(rig, request)
    assert {row.id for row in reading.left_out} >= {f"{campaign} {day}"}
    first = next(row for row in reading.rows if (row.campaign_id, row.day) == (campaign, day))
    assert figures_of(first) == rig.truth()[campaign, day]


def test_long_windows_are_split_into_reports_and_end_where_amazon_keeps_no_figures(rig: Rig) -> None:
    today = date(2026, 11, 20)
    for product in PRODUCTS:
        long = DateWindow(since=today - timedelta(days=120), until=today)
        windows = rig.report_windows(product.name, long, today)
        assert all((w.until - w.since).days < 31 for w in windows)
        assert windows[0].since == today - timedelta(days=product.days_kept - 1)
        assert all(later.since - earlier.until == timedelta(days=1) for earlier, later in pairwise(windows))
        assert windows[-1].until == today
        for window in windows:
            rig.request(product.name, window)
    forgotten = DateWindow(since=date(2026, 1, 1), until=date(2026, 1, 31))
    assert list(rig.report_windows(SP.name, forgotten, today)) == []


def test_a_duplicate_of_another_report_puts_off_only_its_product(rig: Rig) -> None:
    rig.world.report_seconds = 600
    report = Report.of(rig.request(SB.name).report_id)
    assert report
    other = replace(report, columns=("date", "campaignId", "cost"))
    rig.world.reports[other.request] = other.id
    with refused(Throttled, "mistakes a report of SPONSORED_BRANDS for another one") as caught:
        rig.request(SB.name)
    assert (caught.value.code, caught.value.scope) == ("425", ThrottleScope.ACCOUNT_ENDPOINT)
    assert [rig.request(product).ad_product for product in (SP.name, SD.name)] == [SP.name, SD.name]
    rig.world.clock.advance(timedelta(seconds=600))
    assert rig.request(SB.name, DateWindow(since=WINDOW.since, until=date(2026, 11, 19))).report_id


@pytest.mark.parametrize(
    "changes",
    [
        {"startDate": "2026-10-31"},
        {"endDate": "2026-11-19"},
        {"status": "FAILED"},
        {"configuration": {"timeUnit": "SUMMARY"}},
        {"configuration": {"adProduct": SP.name}},
        {"configuration": {"reportTypeId": "sbAdGroup"}},
        {"configuration": {"columns": ["date", "campaignId"]}},
        {"configuration": {"columns": None}},
        {"configuration": {"groupBy": ["adGroup"]}},
        {"configuration": {"filters": [{"field": "campaignStatus", "values": ["PAUSED"]}]}},
    ],
)
def test_the_id_of_a_duplicate_is_used_only_if_the_reports_are_the_same(changes: dict[str, Any]) -> None:
    # Amazon describes neither the grouping nor the format.
    columns = ["cost", "clicks", "impressions", "campaignId", "date", "purchases", "sales", "campaignName"]
    configuration = {"adProduct": SB.name, "reportTypeId": "sbCampaigns", "timeUnit": "DAILY", "columns": columns}
    told: dict[str, Any] = {"status": "PENDING", "startDate": str(WINDOW.since), "endDate": str(WINDOW.until)}
    told["configuration"] = configuration
    other = told | changes | {"configuration": configuration | changes.get("configuration", {})}
    asked = reports.body_of(SB, WINDOW)
    assert reports.answers(Record(AMAZON, told), asked)
    assert not reports.answers(Record(AMAZON, other), asked)


def test_a_throttled_request_that_amazon_accepted_is_found_again(rig: Rig) -> None:
    rig.fault(FaultKind.LATE_THROTTLE, "report-create", times=1)
    with refused(Throttled):
        rig.request(SP.name)
    rig.reopen()
    assert collected(rig, rig.request(SP.name)).rows
    assert rig.calls("report-create") == 2


def test_a_report_that_failed_or_is_unknown_is_lost(rig: Rig) -> None:
    request = rig.request(SP.name)
    failed = request.model_copy(update={"report_id": rig.request(SD.name).report_id})
    rig.fault(FaultKind.BODY, "report-status", match="SD-", status=200, value={"status": "FAILED"})
    gone = request.model_copy(update={"report_id": "gone?"})
    retired = request.model_copy(update={"ad_product": "SPONSORED_TELEVISION"})
    for lost in (failed, gone, retired):
        with refused(ReportLost):
            rig.collect(lost)
    assert "/gone%3F" in [text for _, operation, text in rig.world.faults.log if operation == "report-status"][-1]


@pytest.mark.parametrize(
    ("operation", "kind", "status", "error"),
    [
        ("report-status", FaultKind.STATUS, 500, Unavailable),
        ("report-status", FaultKind.BODY, 200, InvalidReply),
        ("report-download", FaultKind.STATUS, 400, Unavailable),
        ("report-download", FaultKind.HTML, 200, InvalidReply),
        ("report-download", FaultKind.TRUNCATED, 200, InvalidReply),
        ("report-download", FaultKind.DISCONNECT, 200, Unavailable),
    ],
)
def test_a_report_that_cannot_be_collected_leaves_the_other_products_alone(
    rig: Rig, operation: str, kind: FaultKind, status: int, error: type[PlatformError]
) -> None:
    requests = {product: rig.request(product) for product in NAMES}
    rig.fault(kind, operation, match="SB-", status=status, value={"status": "CANCELLED"})
    for _ in range(2):
        with refused(error):
            rig.collect(requests[SB.name])
    assert all(collected(rig, requests[product]).rows for product in (SP.name, SD.name))
    rig.world.faults.clear()
    assert collected(rig, requests[SB.name]).rows


# -- throttles --------------------------------------------------------------------------------------------------------


def test_a_throttle_of_a_report_type_stops_only_that_type_in_its_region(spread: Rig) -> None:
    elsewhere = ours(next(site for site in spread.sites if site.region != spread.site.region))
    same = ours(next(site for site in spread.sites[1:] if site.region == spread.site.region))
    spread.fault(FaultKind.HTML, "report-create", match=SB.report_type, status=429)
    with refused(Throttled) as caught:
        spread.request(SB.name)
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ENDPOINT, 600)
    assert spread.breaker.seconds_left(AMAZON) == 0
    spread.world.faults.clear()
    calls = spread.calls("report-create")
    with refused(Throttled):
        spread.request(SB.name, account=same)
    assert spread.calls("report-create") == calls
    assert spread.request(SB.name, account=elsewhere)
    assert all(collected(spread, spread.request(product)) for product in (SP.name, SD.name))
    assert len(spread.listed()) == 3
    assert len(spread.accounts().accounts) == 20


ENDPOINTS = {"/v2/profiles", "/sb/v4/campaigns/list", "/sd/campaigns/extended", "report status", "report download"}


@pytest.mark.parametrize(
    ("operation", "match", "endpoint", "seconds"),
    [
        ("accounts", None, "/v2/profiles", 300),
        ("campaigns", "/sb/", "/sb/v4/campaigns/list", 300),
        ("campaigns", "/sd/", "/sd/campaigns/extended", 300),
        ("report-status", None, "report status", 300),
        ("report-download", None, "report download", 60),  # S3 names no wait
    ],
)
def test_a_throttle_stops_only_its_endpoint(
    rig: Rig, operation: str, match: str | None, endpoint: str, seconds: int
) -> None:
    request = rig.request(SB.name)
    rig.fault(FaultKind.THROTTLE, operation, match=match, seconds=300)
    ask = {
        "accounts": rig.accounts,
        "campaigns": lambda: rig.campaigns(SB.name if match == "/sb/" else SD.name),
    }.get(operation, lambda: rig.collect(request))
    with refused(Throttled) as caught:
        ask()
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ENDPOINT, seconds)
    for other in ENDPOINTS - {endpoint}:
        rig.breaker.check(AMAZON, Subject(endpoint=f"{rig.site.region} {other}"))
    calls = rig.calls(operation)
    with refused(Throttled):
        ask()
    assert rig.calls(operation) == calls
    assert len(rig.campaigns(SP.name).campaigns) == 4
