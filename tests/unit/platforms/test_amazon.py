"""What only the Amazon client does: three regions, three products, and reports that are collected later."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from sandbox.amazon_reports import Report
from sandbox.faults import Fault, FaultKind
from sivera.breaker import Subject
from sivera.errors import InvalidReply, PlatformError, Throttled, ThrottleScope, TokenRejected, Unavailable
from sivera.platforms import amazon_reports as reports
from sivera.platforms.amazon_json import PRODUCTS
from sivera.platforms.base import PreparesReports, ProductNotEnabled, ReportLost
from sivera.platforms.parts import MAX_EMPTY_PAGES
from sivera.platforms.rows import Record
from sivera.values import CampaignListing, DateWindow, MetricsReading, ReportRequest
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import AMAZON, WINDOW, Desk, figures_of, ours, refused, static

SP, SB, SD = PRODUCTS
NAMES = tuple(product.name for product in PRODUCTS)


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    """A grant with one account of twelve campaigns, four for each product."""
    return new_desk(AMAZON)


@pytest.fixture
def spread(new_desk: NewDesk) -> Desk:
    """A grant with accounts in all three regions."""
    desk = new_desk(AMAZON, accounts=20, campaigns=3)
    assert {account.region for account in desk.world.accounts_of(desk.grant)} == {"na", "eu", "fe"}
    return desk


def fault(desk: Desk, kind: FaultKind, operation: str, **options: Any) -> None:
    desk.world.faults.add(Fault(kind, AMAZON, operation, **options))


def campaigns_of(desk: Desk, product: str) -> CampaignListing:
    return desk.client.list_campaigns(desk.tokens, desk.account, product)


def collected(desk: Desk, request: ReportRequest) -> MetricsReading:
    reading = desk.collect(request)
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
    spread: Desk, kind: FaultKind, status: int, is_refused: bool
) -> None:
    fault(spread, kind, "accounts", match="/eu/", status=status)
    listing = spread.client.list_accounts(spread.tokens)
    assert {account.region for account in listing.accounts} == {"na", "fe"}
    assert listing.refused_regions == (("eu",) if is_refused else ())
    assert [row.id for row in listing.left_out] == ([] if is_refused else ["region eu"])
    assert all(row.why.startswith("cannot be read: ") and "amazon:" not in row.why for row in listing.left_out)


def test_what_no_region_answers_is_an_error(spread: Desk) -> None:
    with refused(TokenRejected):
        spread.client.list_accounts(static(AMAZON, "Atza|pasted"))
    fault(spread, FaultKind.STATUS, "accounts", status=503)
    with refused(Unavailable):
        spread.client.list_accounts(spread.tokens)


def test_a_product_that_is_not_enabled_says_so_and_the_others_are_read(desk: Desk) -> None:
    desk.site.products = (SP.name,)
    listing = campaigns_of(desk, SP.name)
    assert listing.complete
    assert {c.ad_product for c in listing.campaigns} == {SP.name}
    assert collected(desk, desk.request(SP.name)).rows
    for product in NAMES[1:]:
        with refused(ProductNotEnabled):
            campaigns_of(desk, product)
        with refused(ProductNotEnabled):
            desk.request(product)


def test_brands_campaigns_with_a_single_ad_group_have_unknown_figures(desk: Desk) -> None:
    listed = {c.external_id: c.is_reported for c in desk.listed().values()}
    [single] = [id_ for id_, is_reported in listed.items() if not is_reported]
    assert desk.site.campaigns[single].single_ad_group
    assert desk.site.campaigns[single].product == SB.name
    assert single not in {row.campaign_id for row in collected(desk, desk.request(SB.name)).rows}


def test_pages_that_bring_nothing_new_end_a_listing_after_twenty(desk: Desk) -> None:
    fault(desk, FaultKind.EMPTY_PAGE, "campaigns", times=MAX_EMPTY_PAGES - 1)
    assert len(campaigns_of(desk, SP.name).campaigns) == 4
    row = {"campaignId": 1, "name": "Brand", "state": "paused", "budget": 1, "budgetType": "daily"}
    again = [row | {"campaignId": number} for number in range(100)]
    fault(desk, FaultKind.BODY, "campaigns", status=200, value=again)
    calls = desk.calls("campaigns")
    with refused(InvalidReply, "nothing new"):
        campaigns_of(desk, SD.name)
    assert desk.calls("campaigns") - calls == 1 + MAX_EMPTY_PAGES


# -- reports ----------------------------------------------------------------------------------------------------------


def test_reports_are_requested_and_collected_later(desk: Desk) -> None:
    desk.world.report_seconds = 600
    requests = [desk.request(product) for product in NAMES]
    assert [desk.collect(request) for request in requests] == [None] * 3
    assert [desk.request(product) for product in NAMES] == requests  # under way: the same reports
    fault(desk, FaultKind.BODY, "report-status", match="SB-", status=200, value={"status": "PROCESSING"})
    desk.world.clock.advance(timedelta(seconds=600))
    readings = [desk.collect(request) for request in requests]
    assert [reading.window if reading else None for reading in readings] == [WINDOW, None, WINDOW]
    assert desk.calls("report-create") == 6


def test_a_second_row_of_a_day_is_left_out(desk: Desk) -> None:
    request = desk.request(SP.name)
    campaign, day = min(key for key in desk.truth() if desk.site.campaigns[key[0]].product == SP.name)
    fault(desk, FaultKind.ODD_ROW, "report-download", match=str(day + timedelta(1)), field="date", value=str(day))
    reading = collected(desk, request)
    assert {row.id for row in reading.left_out} >= {f"{campaign} {day}"}
    first = next(row for row in reading.rows if (row.campaign_id, row.day) == (campaign, day))
    assert figures_of(first) == desk.truth()[campaign, day]


def test_long_windows_are_cut_to_what_a_report_holds_and_amazon_keeps(desk: Desk) -> None:
    assert isinstance(desk.client, PreparesReports)
    today = date(2026, 11, 20)
    for product in PRODUCTS:
        long = DateWindow(since=today - timedelta(days=120), until=today)
        windows = desk.client.report_windows(product.name, long, today)
        assert all((w.until - w.since).days < 31 for w in windows)
        assert windows[0].since == today - timedelta(days=product.days_kept - 1)
        assert all(later.since - earlier.until == timedelta(days=1) for earlier, later in pairwise(windows))
        assert windows[-1].until == today
        for window in windows:
            desk.request(product.name, window)
    forgotten = DateWindow(since=date(2026, 1, 1), until=date(2026, 1, 31))
    assert list(desk.client.report_windows(SP.name, forgotten, today)) == []


def test_a_duplicate_of_another_report_is_put_off_and_other_products_are_not(desk: Desk) -> None:
    desk.world.report_seconds = 600
    ours_ = Report.of(desk.request(SB.name).report_id)
    assert ours_
    other = replace(ours_, columns=("date", "campaignId", "cost"))
    desk.world.reports[other.request] = other.id
    with refused(Throttled, "mistakes a report of SPONSORED_BRANDS for another one") as caught:
        desk.request(SB.name)
    assert (caught.value.code, caught.value.scope) == ("425", ThrottleScope.ACCOUNT_ENDPOINT)
    assert [desk.request(product).ad_product for product in (SP.name, SD.name)] == [SP.name, SD.name]
    desk.world.clock.advance(timedelta(seconds=600))
    assert desk.request(SB.name, DateWindow(since=WINDOW.since, until=date(2026, 11, 19))).report_id


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
def test_a_duplicate_is_compared_before_its_id_is_taken(changes: dict[str, Any]) -> None:
    # Amazon describes neither the kind of grouping nor the format.
    columns = ["cost", "clicks", "impressions", "campaignId", "date", "purchases", "sales", "campaignName"]
    configuration = {"adProduct": SB.name, "reportTypeId": "sbCampaigns", "timeUnit": "DAILY", "columns": columns}
    told: dict[str, Any] = {"status": "PENDING", "startDate": str(WINDOW.since), "endDate": str(WINDOW.until)}
    told["configuration"] = configuration
    other = told | changes | {"configuration": configuration | changes.get("configuration", {})}
    asked = reports.body_of(SB, WINDOW)
    assert reports.answers(Record(AMAZON, told), asked)
    assert not reports.answers(Record(AMAZON, other), asked)


def test_a_throttled_request_that_amazon_took_all_the_same_is_found_again(desk: Desk) -> None:
    fault(desk, FaultKind.LATE_THROTTLE, "report-create", times=1)
    with refused(Throttled):
        desk.request(SP.name)
    later = Desk(desk.world, AMAZON, desk.url, desk.grant)
    assert collected(later, later.request(SP.name)).rows
    assert desk.calls("report-create") == 2
    later.client.close()


def test_a_report_that_failed_or_is_unknown_is_lost(desk: Desk) -> None:
    request = desk.request(SP.name)
    failed = request.model_copy(update={"report_id": desk.request(SD.name).report_id})
    fault(desk, FaultKind.BODY, "report-status", match="SD-", status=200, value={"status": "FAILED"})
    gone = request.model_copy(update={"report_id": "gone?"})
    retired = request.model_copy(update={"ad_product": "SPONSORED_TELEVISION"})
    for lost in (failed, gone, retired):
        with refused(ReportLost):
            desk.collect(lost)


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
    desk: Desk, operation: str, kind: FaultKind, status: int, error: type[PlatformError]
) -> None:
    requests = {product: desk.request(product) for product in NAMES}
    fault(desk, kind, operation, match="SB-", status=status, value={"status": "CANCELLED"})
    for _ in range(2):
        with refused(error):
            desk.collect(requests[SB.name])
    assert all(collected(desk, requests[product]).rows for product in (SP.name, SD.name))
    desk.world.faults.clear()
    assert collected(desk, requests[SB.name]).rows


# -- throttles --------------------------------------------------------------------------------------------------------


def test_a_throttle_of_a_report_type_stops_only_that_type_in_its_region(spread: Desk) -> None:
    sites = spread.world.accounts_of(spread.grant)
    elsewhere = ours(next(site for site in sites if site.region != spread.site.region))
    same = ours(next(site for site in sites[1:] if site.region == spread.site.region))
    fault(spread, FaultKind.HTML, "report-create", match=SB.report_type, status=429)
    with refused(Throttled) as caught:
        spread.request(SB.name)
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ENDPOINT, 600)
    assert spread.breaker.seconds_left(AMAZON) == 0
    spread.world.faults.clear()
    calls = spread.calls("report-create")
    assert isinstance(spread.client, PreparesReports)
    with refused(Throttled):
        spread.client.request_report(spread.tokens, same, SB.name, WINDOW)
    assert spread.calls("report-create") == calls
    assert spread.client.request_report(spread.tokens, elsewhere, SB.name, WINDOW)
    assert all(collected(spread, spread.request(product)) for product in (SP.name, SD.name))
    assert len(spread.listed()) == 3
    assert len(spread.client.list_accounts(spread.tokens).accounts) == 20


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
def test_a_throttle_stops_the_endpoint_that_it_is_about(
    desk: Desk, operation: str, match: str | None, endpoint: str, seconds: int
) -> None:
    request = desk.request(SB.name)
    fault(desk, FaultKind.THROTTLE, operation, match=match, seconds=300)
    ask = {
        "accounts": lambda: desk.client.list_accounts(desk.tokens),
        "campaigns": lambda: campaigns_of(desk, SB.name if match == "/sb/" else SD.name),
    }.get(operation, lambda: desk.collect(request))
    with refused(Throttled) as caught:
        ask()
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.ENDPOINT, seconds)
    for other in ENDPOINTS - {endpoint}:
        desk.breaker.check(AMAZON, Subject(endpoint=f"{desk.site.region} {other}"))
    calls = desk.calls(operation)
    with refused(Throttled):
        ask()
    assert desk.calls(operation) == calls
    assert len(campaigns_of(desk, SP.name).campaigns) == 4
