"""Rows as the platforms document or send them, and rows that are not: read in full, or refused by the field's name."""

import gzip
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sivera.errors import InvalidReply
from sivera.platforms import amazon_json, amazon_reports, google_json, meta_json, tiktok_json
from sivera.platforms.amazon_json import PRODUCTS
from sivera.platforms.rows import Record
from sivera.values import AccountStatus, Budget, BudgetKind, CampaignStatus, PlatformName, Value
from tests.unit.platforms.desk import ACCOUNT, AMAZON, GOOGLE, META, TIKTOK, WINDOW

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


def row_of(metrics: Row) -> Row:
    return {"campaign": {"id": "1"}, "segments": {"date": "2026-11-01"}, "metrics": metrics}


READERS: dict[str, tuple[PlatformName, Callable[[Record], Any], Callable[[Row], Row]]] = {
    "google account": (GOOGLE, lambda row: google_json.account_of(row, None), dict),
    "google campaign": (GOOGLE, partial(google_json.campaign_of, "USD"), lambda row: {"campaign": row}),
    "google budget": (
        GOOGLE,
        partial(google_json.campaign_of, "USD"),
        lambda row: {"campaign": ROWS["google campaign"], "campaignBudget": row},
    ),
    "google metrics": (GOOGLE, partial(google_json.day_of, "USD", WINDOW), row_of),
    "meta account": (META, meta_json.account_of, dict),
    "meta campaign": (META, partial(meta_json.campaign_of, ACCOUNT), dict),
    "meta metrics": (META, partial(meta_json.day_of, WINDOW, "USD", meta_json.PURCHASES), dict),
    "amazon account": (AMAZON, amazon_json.account_of, lambda row: {"region": "eu", "row": row}),
    "amazon campaign": (AMAZON, partial(amazon_json.campaign_of, SP, "USD"), dict),
    "amazon display campaign": (AMAZON, partial(amazon_json.campaign_of, SD, "USD"), dict),
    "amazon metrics": (AMAZON, partial(amazon_reports.day_of, SP, WINDOW, "USD"), dict),
    "tiktok account": (TIKTOK, tiktok_json.account_of, dict),
    "tiktok campaign": (TIKTOK, partial(tiktok_json.campaign_of, "USD"), dict),
    "tiktok dimensions": (
        TIKTOK,
        partial(tiktok_json.day_of, WINDOW, "USD"),
        lambda row: {"dimensions": row, "metrics": ROWS["tiktok metrics"]},
    ),
    "tiktok metrics": (
        TIKTOK,
        partial(tiktok_json.day_of, WINDOW, "USD"),
        lambda row: {"dimensions": ROWS["tiktok dimensions"], "metrics": row},
    ),
}
"""Of each kind of row: whose it is, what reads it, and where the row is in what it reads."""


def read(what: str, **changes: Any) -> Any:
    """Return the value of a documented row with some changes."""
    platform, reader, within = READERS[what]
    return reader(Record(platform, within(ROWS[what] | changes)))


# -- what rows mean ---------------------------------------------------------------------------------------------------

FIGURES: dict[str, dict[str, Any]] = {
    "google metrics": {"spend": Decimal("1.5"), "conversions": Decimal("1.5"), "conversion_value": Decimal(1)},
    "meta metrics": {"spend": Decimal("12.34"), "conversions": Decimal(2), "conversion_value": Decimal("99.90")},
    "amazon metrics": {"spend": Decimal("14.5"), "conversions": Decimal(2), "conversion_value": Decimal("59.97")},
    "tiktok metrics": {"spend": Decimal(20), "conversions": Decimal(2), "conversion_value": Decimal("99.5")},
}

MEANINGS: list[tuple[str, Row, dict[str, Any]]] = [
    *((what, {}, expected) for what, expected in FIGURES.items()),
    ("google account", {"descriptiveName": None}, {"name": "1"}),
    *(
        ("google account", {"status": status}, {"status": AccountStatus.CLOSED})
        for status in ("CANCELED", "CLOSED", "SUSPENDED")
    ),
    ("google campaign", {"servingStatus": "ENDED"}, {"status": CampaignStatus.ENDED}),
    ("google campaign", {"servingStatus": "ENDED", "status": "REMOVED"}, {"status": CampaignStatus.REMOVED}),
    ("google campaign", {"status": "FROZEN"}, {"status": CampaignStatus.OTHER, "native_status": "FROZEN"}),
    ("google campaign", {}, {"budget": Budget(kind=BudgetKind.LOWER_LEVEL, currency="USD")}),
    *(
        (
            "meta account",
            {"account_status": number},
            {"status": AccountStatus.ACTIVE if open_ else AccountStatus.CLOSED},
        )
        for number, open_ in {1: True, 3: True, 9: True, 2: False, 7: False, 101: False}.items()
    ),
    ("meta campaign", {}, {"start_date": date(2026, 11, 20), "updated_at": datetime(2026, 11, 20, 1, tzinfo=UTC)}),
    ("meta campaign", {"start_time": "1969-12-31T16:00:00-0800", "updated_time": None}, {"start_date": None}),
    ("meta campaign", {"effective_status": "HIBERNATING"}, {"status": CampaignStatus.OTHER}),
    ("meta campaign", {"effective_status": "WITH_ISSUES"}, {"status": CampaignStatus.ACTIVE}),
    ("meta campaign", {"daily_budget": "0", "lifetime_budget": "12345"}, {"budget.amount": Decimal("123.45")}),
    ("meta campaign", {"daily_budget": "0"}, {"budget.kind": BudgetKind.LOWER_LEVEL, "budget.amount": None}),
    ("amazon account", {"accountInfo": {"id": "A1SELLER", "type": "seller"}}, {"name": "DE A1SELLER"}),
    ("amazon account", {}, {"external_id": "9100000000000001"}),
    ("amazon campaign", {"state": "PROPOSED"}, {"status": CampaignStatus.OTHER, "native_status": "PROPOSED"}),
    ("amazon campaign", {"extendedData": None}, {"updated_at": None}),
    ("amazon campaign", {"extendedData": {"servingStatus": "ENDED"}}, {"status": CampaignStatus.ENDED}),
    ("amazon campaign", {"endDate": "2026-11-01"}, {"start_date": date(2026, 1, 31), "end_date": date(2026, 11, 1)}),
    ("amazon display campaign", {"endDate": "20261101"}, {"end_date": date(2026, 11, 1)}),
    ("google campaign", {"endDateTime": "2026-11-01 23:59:59"}, {"end_date": date(2026, 11, 1)}),
    ("meta campaign", {"stop_time": "2026-11-20T23:30:00-0500"}, {"end_date": date(2026, 11, 20)}),
    (
        "amazon campaign",
        {"budget": {"budget": 7, "budgetType": "LIFETIME"}},
        {"budget": Budget(kind=BudgetKind.LIFETIME, amount=Decimal(7), currency="USD")},
    ),
    ("amazon display campaign", {"lastUpdatedDate": 0}, {"updated_at": None}),
    (
        "amazon display campaign",
        {"lastUpdatedDate": 1_795_176_000},
        {"updated_at": datetime(2026, 11, 20, 12, tzinfo=UTC)},
    ),
    ("amazon display campaign", {}, {"updated_at": datetime(2026, 11, 20, 12, tzinfo=UTC)}),
    ("tiktok account", {}, {"timezone": "America/Los_Angeles"}),
    ("tiktok account", {"advertiser_id": 7100000000000000000}, {"external_id": "7100000000000000000"}),
    ("tiktok account", {"status": "STATUS_LIMIT"}, {"status": AccountStatus.ACTIVE}),
    ("tiktok account", {"status": None}, {"status": AccountStatus.ACTIVE}),
    ("tiktok account", {"status": "STATUS_DISABLE"}, {"status": AccountStatus.CLOSED}),
    ("tiktok account", {"status": "STATUS_CONFIRM_FAIL_END"}, {"status": AccountStatus.CLOSED}),
    ("tiktok campaign", {"budget_mode": "BUDGET_MODE_DYNAMIC_DAILY_BUDGET"}, {"budget.kind": BudgetKind.DAILY}),
    ("tiktok campaign", {"budget_mode": "BUDGET_MODE_INFINITE", "budget": 0}, {"budget.amount": None}),
    ("tiktok campaign", {"budget": 0.1}, {"budget.amount": Decimal("0.1")}),
    ("tiktok campaign", {"campaign_id": 1780000000000000001}, {"external_id": "1780000000000000001"}),
    ("tiktok campaign", {"modify_time": None, "objective_type": None}, {"updated_at": None, "ad_product": None}),
    (
        "tiktok campaign",
        {"modify_time": None, "create_time": "2026-11-02 08:30:00"},
        {"updated_at": datetime(2026, 11, 2, 8, 30, tzinfo=UTC)},
    ),
    ("tiktok campaign", {"secondary_status": None}, {"status": CampaignStatus.ACTIVE, "native_status": "ENABLE"}),
    ("tiktok campaign", {"operation_status": "DELETE"}, {"status": CampaignStatus.REMOVED}),
    ("tiktok campaign", {"operation_status": "FREEZE"}, {"status": CampaignStatus.OTHER, "native_status": "FREEZE"}),
    (
        "tiktok campaign",
        {"secondary_status": "CAMPAIGN_STATUS_BUDGET_EXCEED"},
        {"status": CampaignStatus.ACTIVE, "native_status": "CAMPAIGN_STATUS_BUDGET_EXCEED"},
    ),
    (
        "tiktok metrics",
        {"complete_payment": "-", "impressions": 5830},
        {"conversions": Decimal(0), "impressions": 5830},
    ),
]


@pytest.mark.parametrize(
    ("what", "changes", "expected"), MEANINGS, ids=[f"{what} {changes}"[:60] for what, changes, _ in MEANINGS]
)
def test_a_row_is_understood(what: str, changes: Row, expected: dict[str, Any]) -> None:
    value = read(what, **changes)
    for path, wanted in expected.items():
        holder, _, name = path.rpartition(".")
        assert getattr(value.budget if holder else value, name) == wanted


# -- rows that are not as documented ----------------------------------------------------------------------------------

REQUIRED = {
    "google account": "id currencyCode timeZone status",
    "google campaign": "id name status",
    "google budget": "id amountMicros",
    "google metrics": "impressions clicks costMicros conversions conversionsValue",
    "meta account": "account_id name currency timezone_name account_status",
    "meta campaign": "id name effective_status",
    "meta metrics": "campaign_id impressions clicks spend",
    "amazon account": "profileId timezone currencyCode accountInfo",
    "amazon campaign": "campaignId name state budget",
    "amazon display campaign": "campaignId name state budget budgetType",
    "amazon metrics": "date campaignId impressions clicks cost purchases14d sales14d",
    "tiktok account": "advertiser_id name currency",
    "tiktok campaign": "campaign_id campaign_name operation_status budget budget_mode",
    "tiktok dimensions": "campaign_id stat_time_day",
    "tiktok metrics": "spend impressions clicks complete_payment total_complete_payment_rate",
}
WRONG: list[tuple[str, str, Any]] = [
    ("meta campaign", "stop_time", "9999-12-31T23:00:00-0800"),
    ("meta campaign", "daily_budget", "-5"),
    ("meta metrics", "date_stop", "2026-11-20"),
    ("meta metrics", "actions", {"purchase": "1"}),
    ("meta metrics", "actions", ["purchase"]),
    ("amazon display campaign", "budgetType", "HOURLY"),
    ("amazon metrics", "date", "2026-12-01"),
    ("tiktok campaign", "budget_mode", "BUDGET_MODE_WEEK"),
    ("tiktok account", "display_timezone", "Mars/Olympus"),
    ("tiktok dimensions", "stat_time_day", "2026-10-31 00:00:00"),
]
SPOILT = [*((what, name, None) for what, names in REQUIRED.items() for name in names.split()), *WRONG]


@pytest.mark.parametrize(("what", "name", "value"), SPOILT, ids=[f"{w} {name} {v!r}"[:60] for w, name, v in SPOILT])
def test_a_row_that_is_not_as_documented_is_refused_by_the_name_of_its_field(what: str, name: str, value: Any) -> None:
    with pytest.raises(InvalidReply, match=name):
        read(what, **{name: value})


ODD_FIELDS: dict[str, list[Any]] = {
    "identifier": [None, "../1", "", "7" * 65, 1.5, True],
    "text": [None, "", 7],
    "optional": [7, ["text"]],
    "decimal": [None, True, "many", "12,34", "NaN", float("nan"), "Infinity", "1E+40", "9" * 20],
    "integer": ["1.5", 1.5, "9" * 30],
    "count": ["-5", -5],
    "time": ["tomorrow", 10**30, "9999-12-31T23:00:00-0800", ["now"]],
    "day": ["2026-13-01", "31.01.2026", 20260131],
    "zone": ["", "Mars/Olympus", "../etc/passwd", "Asia/\x00"],
    "rows": [None, {}, "text"],
    "record": [None, [], "text"],
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in ODD_FIELDS.items() for value in values])
def test_a_field_of_another_kind_is_refused_by_its_path(kind: str, value: Any) -> None:
    outer = Record(META, {"outer": {"inner": value}}).record("outer")
    with pytest.raises(InvalidReply, match="inner"):
        getattr(outer, kind)("inner")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b'{"rows":[]}', mtime=0), "not a list"),
        (gzip.compress(b"[{", mtime=0), "not JSON"),
        (gzip.compress(b"[]", mtime=0)[:-5], "cut off"),
        (b"[]", "not gzip"),
        (gzip.compress(b"[" + b" " * 100_000 + b"]", mtime=0), "over 1000 bytes"),
    ],
)
def test_a_report_of_amazon_that_is_not_as_documented_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidReply, match=reason):
        amazon_reports.unpack(content, limit=1000)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["-", "1e999"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["value", "x"]), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=100, database=None, deadline=None)
@given(data=st.data())
def test_whatever_a_field_holds_the_row_is_read_or_refused(data: st.DataObject) -> None:
    what = data.draw(st.sampled_from(sorted(ROWS)))
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(ROWS[what])), ANY_JSON, min_size=1, max_size=3))
    with suppress(InvalidReply, ValidationError):  # `read_rows` leaves out the row for either
        assert isinstance(read(what, **changes), Value)
