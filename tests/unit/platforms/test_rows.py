"""How rows are read that the platforms document or send."""

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Any

import pytest

from sivera.platforms import amazon_json, amazon_reports, google_json, meta_json, tiktok_json
from sivera.platforms.amazon_json import PRODUCTS
from sivera.platforms.rows import Record
from tests.unit.platforms.rig import ACCOUNT, AMAZON, GOOGLE, META, TIKTOK, WINDOW

SP, _, SD = PRODUCTS
Row = dict[str, Any]

ROWS: dict[str, Row] = {
    "google account": {"id": "1", "currencyCode": "EUR", "timeZone": "Europe/Berlin", "status": "ENABLED"},
    "google campaign": {"id": "1", "name": "A", "status": "ENABLED", "startDateTime": "2026-11-01 00:00:00"},
    "google budget": {"id": "2", "amountMicros": "1", "period": "DAILY"},
    "google metrics": {
        "impressions": "1",
        "clicks": "1",
        "costMicros": "1500000",
        "conversions": 1.5,
        "conversionsValue": 1,
    },
    "meta account": {"account_id": "1", "name": "A", "currency": "USD", "timezone_name": "UTC", "account_status": 1},
    "meta campaign": {
        "id": "23850000000000001",
        "name": "Sale",
        "status": "ACTIVE",
        "effective_status": "ACTIVE",
        "daily_budget": "5000",
        "start_time": "2026-11-20T23:30:00-0500",
        "updated_time": "2026-11-20T10:00:00+0900",
    },
    "meta metrics": {
        "campaign_id": "23850000000000001",
        "date_start": "2026-11-19",
        "date_stop": "2026-11-19",
        "impressions": "100",
        "clicks": "5",
        "spend": "12.34",
        "actions": [
            {"action_type": "purchase", "value": "2"},
            {"action_type": "offsite_conversion.fb_pixel_purchase", "value": "2"},
            {"action_type": "link_click", "value": "5"},
        ],
        "action_values": [{"action_type": "purchase", "value": "99.90"}],
    },
    "amazon account": {
        "profileId": 9_100_000_000_000_001,
        "countryCode": "DE",
        "currencyCode": "EUR",
        "timezone": "Europe/Berlin",
        "accountInfo": {"id": "A1", "name": "Nari"},
    },
    "amazon campaign": {
        "campaignId": "280000000000000",
        "name": "Brand",
        "state": "ENABLED",
        "startDate": "2026-01-31",
        "budget": {"budget": 10.5, "budgetType": "DAILY"},
        "extendedData": {"lastUpdateDateTime": "2026-11-20T12:00:00.123Z"},
    },
    "amazon display campaign": {
        "campaignId": 280000000000001,
        "name": "Brand",
        "state": "paused",
        "budget": 1,
        "budgetType": "daily",
        "lastUpdatedDate": 1_795_176_000_000,
    },
    "amazon metrics": {
        "date": "2026-11-18",
        "campaignId": 280_000_000_000_001,
        "impressions": 10,
        "clicks": 1,
        "cost": 14.5,
        "purchases14d": 2,
        "sales14d": 59.97,
    },
    "tiktok account": {
        "advertiser_id": "7100000000000000000",
        "name": "Hanok",
        "currency": "USD",
        "timezone": "Etc/GMT+8",
        "display_timezone": "America/Los_Angeles",
        "status": "STATUS_ENABLE",
    },
    "tiktok campaign": {
        "campaign_id": "1780000000000000001",
        "campaign_name": "Spring sale",
        "objective_type": "TRAFFIC",
        "budget": 50,
        "budget_mode": "BUDGET_MODE_DAY",
        "operation_status": "ENABLE",
        "secondary_status": "CAMPAIGN_STATUS_ENABLE",
        "modify_time": "2026-11-19 08:30:00",
    },
    "tiktok dimensions": {"campaign_id": "1", "stat_time_day": "2026-11-19 00:00:00"},
    "tiktok metrics": {
        "spend": "20.000",
        "impressions": "5830",
        "clicks": "69",
        "complete_payment": "2",
        "total_complete_payment_rate": "99.50",
    },
}


def google_campaign(**parts: Row) -> Any:
    return google_json.campaign_of("USD", Record(GOOGLE, {"campaign": ROWS["google campaign"]} | parts))


def google_day(metrics: Row) -> Any:
    row = {"campaign": {"id": "1"}, "segments": {"date": "2026-11-01"}, "metrics": metrics}
    return google_json.day_of("USD", WINDOW, Record(GOOGLE, row))


def tiktok_day(**parts: Row) -> Any:
    row = {"dimensions": ROWS["tiktok dimensions"], "metrics": ROWS["tiktok metrics"]} | parts
    return tiktok_json.day_of(WINDOW, "USD", Record(TIKTOK, row))


READERS: dict[str, Callable[[Row], Any]] = {
    "google account": lambda row: google_json.account_of(Record(GOOGLE, row), None),
    "google campaign": lambda row: google_campaign(campaign=row),
    "google budget": lambda row: google_campaign(campaignBudget=row),
    "google metrics": google_day,
    "meta account": lambda row: meta_json.account_of(Record(META, row)),
    "meta campaign": lambda row: meta_json.campaign_of(ACCOUNT, Record(META, row)),
    "meta metrics": lambda row: meta_json.day_of(WINDOW, "USD", meta_json.PURCHASES, Record(META, row)),
    "amazon account": lambda row: amazon_json.account_of(Record(AMAZON, {"region": "eu", "row": row})),
    "amazon campaign": lambda row: amazon_json.campaign_of(SP, "USD", Record(AMAZON, row)),
    "amazon display campaign": lambda row: amazon_json.campaign_of(SD, "USD", Record(AMAZON, row)),
    "amazon metrics": lambda row: amazon_reports.day_of(SP, WINDOW, "USD", Record(AMAZON, row)),
    "tiktok account": lambda row: tiktok_json.account_of(Record(TIKTOK, row)),
    "tiktok campaign": lambda row: tiktok_json.campaign_of("USD", Record(TIKTOK, row)),
    "tiktok dimensions": lambda row: tiktok_day(dimensions=row),
    "tiktok metrics": lambda row: tiktok_day(metrics=row),
}


def read(what: str, **changes: Any) -> Any:
    """Return the value of a documented row with some changes."""
    return READERS[what](ROWS[what] | changes)


def action(kind: str, value: str) -> Row:
    return {"action_type": kind, "value": value}


# -- what rows mean ---------------------------------------------------------------------------------------------------

MEANINGS: dict[str, list[tuple[Row, str]]] = {
    "google account": [
        ({"descriptiveName": None}, "name=1 status=active"),
        *(({"status": status}, "status=closed") for status in ("CANCELED", "CLOSED", "SUSPENDED")),
    ],
    "google campaign": [
        ({}, "status=active start_date=2026-11-01 budget.kind=lower_level budget.amount=None"),
        ({"endDateTime": "2026-11-01 23:59:59"}, "end_date=2026-11-01"),
        ({"servingStatus": "ENDED"}, "status=ended"),
        ({"servingStatus": "ENDED", "status": "REMOVED"}, "status=removed"),
        ({"status": "FROZEN"}, "status=other native_status=FROZEN"),
    ],
    "google metrics": [({}, "spend=1.5 conversions=1.5 conversion_value=1")],
    "meta account": [
        *(({"account_status": number}, "status=active") for number in (1, 3, 9)),
        *(({"account_status": number}, "status=closed") for number in (2, 7, 101)),
    ],
    "meta campaign": [
        ({}, "start_date=2026-11-20 updated_at=2026-11-20T01:00:00+00:00"),
        ({"stop_time": "2026-11-20T23:30:00-0500"}, "end_date=2026-11-20"),
        ({"start_time": "1969-12-31T16:00:00-0800", "updated_time": None}, "start_date=None updated_at=None"),
        ({"effective_status": "HIBERNATING"}, "status=other native_status=HIBERNATING"),
        ({"effective_status": "WITH_ISSUES"}, "status=active native_status=WITH_ISSUES"),
        ({"daily_budget": "0", "lifetime_budget": "12345"}, "budget.kind=lifetime budget.amount=123.45"),
        ({"daily_budget": 0, "lifetime_budget": 12345}, "budget.kind=lifetime budget.amount=123.45"),
        ({"daily_budget": "0", "lifetime_budget": 0}, "budget.kind=lower_level budget.amount=None"),
    ],
    "meta metrics": [
        ({}, "spend=12.34 conversions=2 conversion_value=99.90"),
        ({"actions": None, "action_values": [action("purchase", "5")]}, "conversions=0 conversion_value=5"),
        (
            {
                "actions": [action("omni_purchase", "2")],
                "action_values": [action("purchase", "9"), action("omni_purchase", "7")],
            },
            "conversions=2 conversion_value=7",
        ),
    ],
    "amazon account": [
        ({}, "external_id=9100000000000001 name=Nari"),
    ],
    "amazon campaign": [
        ({"state": "PROPOSED"}, "status=other native_status=PROPOSED"),
        ({"extendedData": None}, "updated_at=None"),
        ({"extendedData": {"servingStatus": "ENDED"}}, "status=ended"),
        ({"endDate": "2026-11-01"}, "start_date=2026-01-31 end_date=2026-11-01"),
        ({"budget": {"budget": 7, "budgetType": "LIFETIME"}}, "budget.kind=lifetime budget.amount=7"),
    ],
    "amazon display campaign": [
        ({}, "updated_at=2026-11-20T12:00:00+00:00 budget.kind=daily budget.amount=1"),
        ({"endDate": "20261101"}, "end_date=2026-11-01"),
        ({"lastUpdatedDate": 0}, "updated_at=None"),
        *(
            ({"lastUpdatedDate": at}, "updated_at=2026-11-20T12:00:00+00:00")
            for at in (1_795_176_000, 1_795_176_000.0, "1795176000", "1795176000000")
        ),
    ],
    "amazon metrics": [({}, "spend=14.5 conversions=2 conversion_value=59.97")],
    "tiktok account": [
        ({}, "timezone=America/Los_Angeles"),
        ({"advertiser_id": 7100000000000000000}, "external_id=7100000000000000000"),
        *(({"status": status}, "status=active") for status in ("STATUS_LIMIT", None)),
        *(({"status": status}, "status=closed") for status in ("STATUS_DISABLE", "STATUS_CONFIRM_FAIL_END")),
    ],
    "tiktok campaign": [
        ({"budget_mode": "BUDGET_MODE_DYNAMIC_DAILY_BUDGET"}, "budget.kind=daily"),
        ({"budget_mode": "BUDGET_MODE_INFINITE", "budget": 0}, "budget.amount=None"),
        ({"budget": 0.1}, "budget.amount=0.1"),
        ({"campaign_id": 1780000000000000001}, "external_id=1780000000000000001"),
        ({"modify_time": None, "objective_type": None}, "updated_at=None ad_product=None"),
        ({"modify_time": None, "create_time": "2026-11-02 08:30:00"}, "updated_at=2026-11-02T08:30:00+00:00"),
        ({"secondary_status": None}, "status=active native_status=ENABLE"),
        ({"operation_status": "DELETE"}, "status=removed"),
        ({"operation_status": "FREEZE"}, "status=other native_status=FREEZE"),
        ({"secondary_status": "CAMPAIGN_STATUS_X"}, "status=active native_status=CAMPAIGN_STATUS_X"),
    ],
    "tiktok metrics": [
        ({}, "spend=20.000 conversions=2 conversion_value=99.50"),
        ({"complete_payment": "-", "impressions": 5830}, "conversions=0 impressions=5830"),
    ],
}


@pytest.mark.parametrize(
    ("what", "changes", "expected"), [(what, *meaning) for what, meanings in MEANINGS.items() for meaning in meanings]
)
def test_a_documented_row_is_read(what: str, changes: Row, expected: str) -> None:
    value = read(what, **changes)
    for path, _, wanted in (each.partition("=") for each in expected.split(" ")):
        found = attrgetter(path)(value)
        assert (found.isoformat() if isinstance(found, datetime) else str(found)) == wanted


def test_an_amazon_seller_without_a_name_is_named_after_country_and_id() -> None:
    assert read("amazon account", accountInfo={"id": "A1SELLER", "type": "seller"}).name == "DE A1SELLER"
