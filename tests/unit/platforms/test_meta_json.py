"""Meta's rows as Meta documents them, and rows that are not."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sivera import values
from sivera.errors import InvalidReply
from sivera.platforms.meta_json import account_of, campaign_of, metrics_of
from sivera.values import AccountStatus, AdAccount, Budget, BudgetKind, CampaignStatus, DateWindow

LAST_DAYS = DateWindow(since=date(2026, 11, 18), until=date(2026, 11, 20))
ACCOUNT = AdAccount(external_id="1", name="A", currency="USD", timezone="America/New_York")
ACCOUNT_ROW = {"account_id": "1", "name": "A", "currency": "USD", "timezone_name": "UTC", "account_status": 1}
CAMPAIGN_ROW = {
    "id": "23850000000000001",
    "name": "Sale",
    "status": "ACTIVE",
    "effective_status": "ACTIVE",
    "daily_budget": "5000",
    "start_time": "2026-11-20T23:30:00-0500",
    "updated_time": "2026-11-20T10:00:00+0900",
}
METRICS_ROW = {
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
}


@pytest.mark.parametrize(("number", "open_"), [(1, True), (3, True), (9, True), (2, False), (7, False), (101, False)])
def test_account_statuses(number: int, open_: bool) -> None:
    assert (account_of(ACCOUNT_ROW | {"account_status": number}).status is AccountStatus.ACTIVE) is open_


def test_rows_as_meta_documents_them() -> None:
    campaign = campaign_of(CAMPAIGN_ROW, ACCOUNT)
    assert campaign.budget.amount == Decimal(50)
    assert campaign.start_date == date(2026, 11, 20)
    assert campaign.updated_at == datetime(2026, 11, 20, 1, tzinfo=UTC)
    row = metrics_of(METRICS_ROW, LAST_DAYS, "USD")
    assert (row.spend, row.conversions, row.conversion_value) == (Decimal("12.34"), Decimal(2), Decimal("99.90"))


@pytest.mark.parametrize(
    ("changes", "kind", "amount"),
    [
        ({"daily_budget": "0", "lifetime_budget": "12345"}, BudgetKind.LIFETIME, Decimal("123.45")),
        ({"daily_budget": "0"}, BudgetKind.LOWER_LEVEL, None),
    ],
)
def test_zero_budget_is_not_set(changes: dict[str, str], kind: BudgetKind, amount: Decimal | None) -> None:
    assert campaign_of(CAMPAIGN_ROW | changes, ACCOUNT).budget == Budget(kind=kind, amount=amount, currency="USD")


def test_campaign_without_times() -> None:
    campaign = campaign_of(CAMPAIGN_ROW | {"start_time": "1969-12-31T16:00:00-0800", "updated_time": None}, ACCOUNT)
    assert (campaign.start_date, campaign.end_date, campaign.updated_at) == (None, None, None)


def test_status_that_is_new_to_us_is_kept() -> None:
    campaign = campaign_of(CAMPAIGN_ROW | {"effective_status": "HIBERNATING"}, ACCOUNT)
    assert (campaign.status, campaign.native_status) == (CampaignStatus.OTHER, "HIBERNATING")


@pytest.mark.parametrize(
    ("read", "row", "field", "value"),
    [
        *[(account_of, ACCOUNT_ROW, name, None) for name in ACCOUNT_ROW],
        (account_of, ACCOUNT_ROW, "timezone_name", "Middle/Earth"),
        (account_of, ACCOUNT_ROW, "timezone_name", "../etc"),
        (account_of, ACCOUNT_ROW, "account_status", True),
        *[(campaign_of, CAMPAIGN_ROW, name, None) for name in ("id", "name", "effective_status")],
        (campaign_of, CAMPAIGN_ROW, "id", 7),
        (campaign_of, CAMPAIGN_ROW, "daily_budget", "12.5"),
        (campaign_of, CAMPAIGN_ROW, "daily_budget", "-5"),
        (campaign_of, CAMPAIGN_ROW, "daily_budget", "9" * 30),
        (campaign_of, CAMPAIGN_ROW, "start_time", "tomorrow"),
        (campaign_of, CAMPAIGN_ROW, "stop_time", "9999-12-31T23:00:00-0800"),
        (campaign_of, CAMPAIGN_ROW, "updated_time", 7),
        *[(metrics_of, METRICS_ROW, name, None) for name in ("campaign_id", "impressions", "clicks", "spend")],
        (metrics_of, METRICS_ROW, "impressions", "1,000"),
        (metrics_of, METRICS_ROW, "spend", "NaN"),
        (metrics_of, METRICS_ROW, "spend", "1E+40"),
        (metrics_of, METRICS_ROW, "spend", 12.5),
        (metrics_of, METRICS_ROW, "date_start", "2026-13-01"),
        (metrics_of, METRICS_ROW, "date_stop", "2026-11-20"),
        (metrics_of, METRICS_ROW, "actions", {"purchase": "1"}),
        (metrics_of, METRICS_ROW, "actions", ["purchase"]),
    ],
)
def test_malformed_row_names_its_field(
    read: Callable[..., object], row: dict[str, Any], field: str, value: Any
) -> None:
    more = {account_of: (), campaign_of: (ACCOUNT,), metrics_of: (LAST_DAYS, "USD")}[read]
    with pytest.raises(InvalidReply, match=field):
        read(row | {field: value}, *more)


def test_day_outside_the_window_is_refused() -> None:
    with pytest.raises(InvalidReply, match="date_stop"):
        metrics_of(METRICS_ROW, DateWindow(since=date(2026, 11, 20), until=date(2026, 11, 20)), "USD")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "action_type"]), inner),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_row_breaks_more_than_itself(data: st.DataObject) -> None:
    for read, row, more in (
        (account_of, ACCOUNT_ROW, ()),
        (campaign_of, CAMPAIGN_ROW, (ACCOUNT,)),
        (metrics_of, METRICS_ROW, (LAST_DAYS, "USD")),
    ):
        changed = {**row, data.draw(st.sampled_from(sorted(row))): data.draw(JSON)}
        try:
            value = read(changed, *more)
        except InvalidReply:
            continue
        assert isinstance(value, values.Value)
