"""When to request a report and when to give it up."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from sivera.sync.reports import (
    A_DAY,
    FRESH_FOR,
    MOST_COLLECTIONS,
    KnownRequest,
    is_given_up,
    windows_to_ask,
    with_given_up,
)
from sivera.values import DateWindow

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
WINDOW = DateWindow(since=date(2026, 11, 7), until=date(2026, 11, 20))
MOMENT = timedelta(seconds=1)


def asked(ago: timedelta, window: DateWindow = WINDOW, /, **changes: Any) -> KnownRequest:
    """Return an open request, or one that has ended if it is changed or `is_over`."""
    ended_at = NOW - ago + MOMENT if changes.pop("is_over", bool(changes)) else None
    facts = {"report_id": "1", "ad_product": "SPONSORED_BRANDS", "window": window, "requested_at": NOW - ago}
    return KnownRequest.model_validate({**facts, "ended_at": ended_at, **changes})


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def shifted(since: int = 0, until: int = 0) -> DateWindow:
    return DateWindow(since=WINDOW.since + timedelta(days=since), until=WINDOW.until + timedelta(days=until))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (asked(hours(0)), False),
        (asked(hours(4)), False),
        (asked(hours(4) + MOMENT), True),
        (asked(hours(1), failed_collections=MOST_COLLECTIONS - 1, is_over=False), False),
        (asked(hours(1), failed_collections=MOST_COLLECTIONS, is_over=False), True),
        (asked(hours(-1)), False),  # the clock was an hour ahead
        (asked(hours(-48)), True),
    ],
)
def test_a_report_is_given_up_after_three_collections_or_four_hours(request_: KnownRequest, expected: bool) -> None:
    assert is_given_up(request_, NOW) is expected


COLLECTED: dict[str, Any] = {"collected": True}
LOST: dict[str, Any] = {"failed_collections": MOST_COLLECTIONS}


@pytest.mark.parametrize(
    ("requests", "is_due"),
    [
        ([], True),
        # open
        ([asked(hours(1))], False),
        ([asked(hours(1), shifted(since=-7))], False),
        ([asked(hours(1), shifted(until=-1))], False),  # all but the day that has just started
        ([asked(hours(1), shifted(until=-2))], True),
        ([asked(hours(1), shifted(since=1))], True),
        # collected
        ([asked(FRESH_FOR - MOMENT, **COLLECTED)], False),
        ([asked(FRESH_FOR, **COLLECTED)], True),
        ([asked(hours(1), shifted(since=1), **COLLECTED)], True),
        # given up
        ([asked(hours(1), **LOST)], True),
        ([asked(hours(5), is_over=True)], True),
        ([asked(hours(5), **LOST), asked(hours(1), **LOST)], False),
        # twice a day
        ([asked(A_DAY - MOMENT, **COLLECTED), asked(FRESH_FOR, **LOST)], False),
        ([asked(A_DAY, **COLLECTED), asked(FRESH_FOR, **LOST)], True),
        # dated by a clock that was two days ahead
        ([asked(hours(-48), **COLLECTED), asked(hours(-48), **COLLECTED)], True),
    ],
)
def test_a_window_is_requested_when_it_is_due(requests: list[KnownRequest], is_due: bool) -> None:
    assert windows_to_ask([WINDOW], requests, NOW) == ([WINDOW] if is_due else [])


def test_a_window_reaches_back_to_lost_days_that_no_later_report_has() -> None:
    lost = asked(hours(5), shifted(since=-7), **LOST)
    assert with_given_up(WINDOW, [lost]) == lost.window
    assert with_given_up(WINDOW, [lost, asked(hours(1), shifted(since=-7), **COLLECTED)]) == WINDOW


def test_windows_are_independent() -> None:
    earlier = DateWindow(since=date(2026, 10, 7), until=date(2026, 11, 6))
    assert windows_to_ask([earlier, WINDOW], [asked(hours(1))], NOW) == [earlier]
    assert windows_to_ask([earlier, WINDOW], [asked(hours(1), earlier)], NOW) == [WINDOW]


@pytest.mark.parametrize("is_collected", [True, False])
def test_hourly_runs_request_a_window_at_most_twice_a_day(is_collected: bool) -> None:
    requests: list[KnownRequest] = []
    for hour in range(14 * 24):
        now = NOW + hours(hour)
        if windows_to_ask([WINDOW], requests, now):
            requests.append(asked(NOW - now, collected=is_collected, is_over=True))
    times = [request.requested_at for request in requests]
    assert len(times) >= 14
    assert all(third - first >= A_DAY for first, third in zip(times, times[2:], strict=False))
