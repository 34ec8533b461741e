"""Rows that are not as documented: an error names the field, and a client leaves the row out."""

import gzip
import json
from contextlib import suppress
from datetime import date
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sandbox.faults import ABSENT, Fault, FaultKind
from sivera.errors import InvalidReply
from sivera.platforms import amazon_reports
from sivera.platforms.meta_errors import TooMuchData
from sivera.platforms.rows import Record
from sivera.platforms.tiktok import ReportCut
from sivera.values import DateWindow, PlatformName, Value, days_between
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import AMAZON, DAY, GOOGLE, META, TIKTOK, WINDOW, Canned, Rig, refused
from tests.unit.platforms.test_rows import ROWS, read

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
CURRENCIES = {
    "google account": "currencyCode",
    "meta account": "currency",
    "amazon account": "currencyCode",
    "tiktok account": "currency",
}
WRONG: list[tuple[str, str, Any]] = [
    *((what, name, "jpy") for what, name in CURRENCIES.items()),
    ("meta campaign", "stop_time", "9999-12-31T23:00:00-0800"),
    ("meta campaign", "daily_budget", "-5"),
    ("meta metrics", "date_stop", "2026-11-20"),
    ("meta metrics", "actions", {"purchase": "1"}),
    ("meta metrics", "actions", ["purchase"]),
    ("meta metrics", "actions", False),
    ("amazon display campaign", "budgetType", "HOURLY"),
    ("amazon metrics", "date", "2026-12-01"),
    ("tiktok campaign", "budget_mode", "BUDGET_MODE_WEEK"),
    ("tiktok account", "display_timezone", "Mars/Olympus"),
    ("tiktok dimensions", "stat_time_day", "2026-10-31 00:00:00"),
]
SPOILT = [*((what, name, None) for what, names in REQUIRED.items() for name in names.split()), *WRONG]


@pytest.mark.parametrize(("what", "name", "value"), SPOILT, ids=[f"{w} {name} {v!r}"[:60] for w, name, v in SPOILT])
def test_the_error_of_a_row_that_is_not_as_documented_names_the_field(what: str, name: str, value: Any) -> None:
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
    "currency": [None, "", "usd", "US$", "EURO"],
    "day": ["2026-13-01", "31.01.2026", 20260131],
    "zone": ["", "Mars/Olympus", "../etc/passwd", "Asia/\x00"],
    "rows": [None, {}, "text"],
    "record": [None, [], "text"],
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in ODD_FIELDS.items() for value in values])
def test_the_error_of_a_field_of_another_kind_names_its_path(kind: str, value: Any) -> None:
    outer = Record(META, {"outer": {"inner": value}}).record("outer")
    with pytest.raises(InvalidReply, match="inner"):
        getattr(outer, kind)("inner")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b'{"rows":[]}', mtime=0), "not a list"),
        (gzip.compress(b"[{", mtime=0), "not JSON"),
        (gzip.compress(b"[]", mtime=0)[:-5], "cut off"),
        (b"<Error>", "not gzip"),
        (b"[{", "not JSON"),
        (gzip.compress(b"[" + b" " * 100_000 + b"]", mtime=0), "over 1000 bytes"),
    ],
)
def test_a_report_of_amazon_that_is_not_as_documented_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidReply, match=reason):
        amazon_reports.unpack(content, limit=1000)


@pytest.mark.parametrize("encoding", [{}, {"Content-Encoding": "gzip"}])
def test_a_report_of_amazon_is_read_whether_or_not_it_is_still_compressed(encoding: dict[str, str]) -> None:
    answer = httpx.Response(200, headers=encoding, content=gzip.compress(b'[{"date":"2026-11-01"}]'))
    assert amazon_reports.unpack(answer.content) == [{"date": "2026-11-01"}]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["-", "1e999"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["value", "x"]), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=100, database=None, deadline=None)
@given(data=st.data())
def test_a_row_with_any_field_value_is_read_or_refused(data: st.DataObject) -> None:
    what = data.draw(st.sampled_from(sorted(ROWS)))
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(ROWS[what])), ANY_JSON, min_size=1, max_size=3))
    with suppress(InvalidReply, ValidationError):  # `read_rows` leaves out the row for either
        assert isinstance(read(what, **changes), Value)


# -- odd rows among good ones -----------------------------------------------------------------------------------------

FIELDS = {
    "currency": ("customerClient.currencyCode", "currency", "currencyCode", "currency"),
    "id": ("campaign.id", "id", "campaignId", "campaign_id"),
    "name": ("campaign.name", "name", "name", "campaign_name"),
    "day": ("segments.date", "date_start", "date", "dimensions.stat_time_day"),
    "clicks": ("metrics.clicks", "clicks", "clicks", "metrics.clicks"),
    "amount": ("metrics.conversions", "spend", "cost", "metrics.spend"),
    "spend": ("metrics.costMicros", "spend", "cost", "metrics.spend"),
}
"""The names of a value at Google, Meta, Amazon and TikTok."""


def spoil(rig: Rig, operation: str | None, match: str, field: str, value: Any) -> Fault:
    """Make a value odd in the rows that contain an id or a day."""
    name = dict(zip(PlatformName, FIELDS[field], strict=True))[rig.platform]
    return rig.fault(FaultKind.ODD_ROW, operation, match=match, field=name, value=value)


@pytest.mark.parametrize("platform", list(PlatformName), ids=str)
def test_an_odd_account_is_left_out_by_name_and_mostly_odd_ones_are_an_error(
    new_rig: NewRig, platform: PlatformName
) -> None:
    rig = new_rig(platform, accounts=7, campaigns=0)
    odd, *good = rig.grant.account_ids
    fault = spoil(rig, "accounts", odd, "currency", "")
    listing = rig.accounts()
    assert {account.external_id for account in listing.accounts} == set(good)
    assert [(row.id, fault.field in row.why) for row in listing.left_out] == [(odd, True)]
    fault.match = None
    with refused(InvalidReply, "rows that are not as documented"):
        rig.accounts()


# An index of the database accepts no id as long as the last one.
@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("name", "\ud83d", None),
        ("name", None, None),
        ("id", "\x00\u202e77\x1b\ud83d", "77?"),
        ("id", "7" * 3000, "7" * 64),
    ],
)
def test_an_odd_campaign_is_left_out_by_name_and_the_listing_is_not_complete(
    rig: Rig, field: str, value: Any, name: str | None
) -> None:
    odd = list(rig.site.campaigns)[1]
    spoil(rig, "campaigns", odd, field, value)
    listings = rig.listings()
    assert {c.external_id for listing in listings for c in listing.campaigns} == rig.listable - {odd}
    assert [row.id for listing in listings for row in listing.left_out] == [name or odd]
    assert [listing.complete for listing in listings].count(False) == 1


# The database accepts no figures as large as two of these.
ODD_FIGURES = [
    ("clicks", None),
    ("clicks", "\ud83d"),
    ("clicks", ABSENT),
    ("clicks", 10**19),
    ("amount", 10**14),
    ("day", "2031-01-01"),
]


@pytest.mark.parametrize(("field", "value"), ODD_FIGURES)
def test_odd_figures_are_left_out_by_name(rig: Rig, field: str, value: Any) -> None:
    odd = next(campaign for campaign, _ in rig.truth())
    spoil(rig, "report-download" if rig.platform is AMAZON else "metrics", odd, field, value)
    readings = rig.read()
    assert {row.campaign_id for reading in readings for row in reading.rows} == {c for c, _ in rig.truth()} - {odd}
    left_out = [row for reading in readings for row in reading.left_out]
    assert left_out
    assert all(odd in str(row.id) for row in left_out)
    assert field != "clicks" or all("clicks" in row.why for row in left_out)


@pytest.mark.parametrize("platform", [GOOGLE, META, TIKTOK], ids=str)
def test_an_odd_total_is_left_out_and_mostly_odd_ones_are_an_error(new_rig: NewRig, platform: PlatformName) -> None:
    rig = new_rig(platform)
    whole = rig.spend()
    odd = spoil(
        rig,
        "metrics" if platform is not META else "totals",
        f"{DAY} 00:00:00" if platform is TIKTOK else str(DAY),
        "spend",
        "many",
    )
    assert rig.spend() == {on: spend for on, spend in whole.items() if on != DAY}
    odd.match = None
    with refused(InvalidReply, r"metrics|costMicros|spend"):
        rig.spend()


DAYS_ASKED = {META: ("since", "until"), TIKTOK: ("start_date", "end_date")}
UNANSWERED: dict[PlatformName, Any] = {
    META: {"error": {"code": 1, "message": "Please reduce the amount of data"}},
    TIKTOK: httpx.Response(200, headers={"X-Tt-Ads-Throttle": "1"}, json={"code": 0, "data": {}}),
}


def total_page(platform: PlatformName, days: list[date]) -> Any:
    if platform is META:
        row = {"spend": "1", "account_currency": "USD"}
        return {"data": [row | {"date_start": str(day), "date_stop": str(day)} for day in days]}
    rows = [{"dimensions": {"stat_time_day": f"{day} 00:00:00"}, "metrics": {"spend": "1"}} for day in days]
    info = {"page": 1, "page_size": 1000, "total_number": len(rows), "total_page": 1}
    return {"code": 0, "data": {"list": rows, "page_info": info}}


@pytest.mark.parametrize("platform", UNANSWERED, ids=str)
def test_a_day_whose_total_cannot_be_read_costs_no_other_day(platform: PlatformName) -> None:
    unread = {date(2026, 11, 4), DAY}

    def answer(request: httpx.Request) -> Any:
        params = request.url.params
        asked = json.loads(params["time_range"]) if platform is META else params
        since, until = (date.fromisoformat(asked[name]) for name in DAYS_ASKED[platform])
        days = days_between(since, until)
        return UNANSWERED[platform] if unread & set(days) else total_page(platform, days)

    canned = Canned(platform, answer)
    read = canned.totals()
    assert {total.day for total in read.days} == set(WINDOW.days) - unread
    assert {row.id for row in read.left_out} == {str(day) for day in unread}
    assert all(row.why.startswith("cannot be read: ") for row in read.left_out)
    unread = set(WINDOW.days)
    for window in (WINDOW, DateWindow(since=DAY, until=DAY)):  # a single day is most days, too
        canned.requests.clear()
        with pytest.raises(ReportCut if platform is TIKTOK else TooMuchData):
            canned.totals(window)
        assert len(canned.requests) < 10


def test_a_name_becomes_one_line_of_printable_text(rig: Rig) -> None:
    campaign = next(iter(rig.site.campaigns))
    name = "\x00a\x1b[2J\r\n\u202eb\u2066\tc\u061c 가\u0301 \U0001f468\u200d\U0001f469"
    rig.change(campaign, name=name)
    rig.site.name = name
    names = [c.name for listing in rig.listings() for c in listing.campaigns if c.external_id == campaign]
    assert {*names, *(account.name for account in rig.accounts().accounts)} == {
        "a[2J b c 가\u0301 \U0001f468\u200d\U0001f469"
    }
