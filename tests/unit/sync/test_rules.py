"""The decisions of sync-campaigns."""

from datetime import UTC, date, datetime, timedelta

import pytest

from sivera.sync import rules
from sivera.sync.parts import PartState
from sivera.sync.plan import SyncMode
from sivera.values import DateWindow, PlatformName

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = date(2026, 11, 20)


def test_an_incremental_run_reads_the_last_days_and_a_full_one_all_that_may_be_restated() -> None:
    known = PartState(covered_since=date(2026, 11, 1), covered_until=TODAY)
    recent = rules.metrics_window(PlatformName.META, SyncMode.INCREMENTAL, None, TODAY, known)
    assert (recent.since, recent.until) == (date(2026, 11, 18), TODAY)
    first = rules.metrics_window(PlatformName.META, SyncMode.INCREMENTAL, None, TODAY, PartState())
    full = rules.metrics_window(PlatformName.META, SyncMode.FULL, None, TODAY, PartState())
    assert len(full.days) == 28
    assert first == full, "a new account does not wait for the night"
    asked = rules.metrics_window(PlatformName.META, SyncMode.FULL, 1, TODAY, PartState())
    assert (asked.since, asked.until) == (TODAY, TODAY)


@pytest.mark.parametrize(
    ("failures", "hours"), [(1, None), (2, None), (3, 2), (4, 4), (5, 8), (6, 16), (7, 24), (1000, 24)]
)
def test_the_slow_lane_starts_with_the_third_failure_and_slows_down_to_a_day(failures: int, hours: int | None) -> None:
    expected = None if hours is None else NOW + timedelta(hours=hours) - rules.SLOW_LANE_LEEWAY
    assert rules.next_attempt(failures, NOW) == expected


@pytest.mark.parametrize(
    ("missing", "total", "held"),
    [(20, 99, False), (21, 104, True), (21, 105, False), (21, 21, True), (1, 1, True), (500, 10_000, False)],
)
def test_all_campaigns_or_over_twenty_that_are_more_than_a_fifth_need_confirmation(
    missing: int, total: int, *, held: bool
) -> None:
    assert rules.are_many(missing, total) is held


@pytest.mark.parametrize(
    ("known_until", "read_since", "replace", "covered"),
    [
        (10, 11, False, (1, 20)),
        (5, 11, False, (1, 5)),  # another part of the reading may fill the gap
        (5, 11, True, (11, 20)),
        (30, 18, False, (1, 20)),  # by a clock that was ahead
    ],
)
def test_covered_days_have_no_gap_and_no_day_ahead(
    known_until: int, read_since: int, replace: bool, covered: tuple[int, int]
) -> None:
    known = PartState(covered_since=date(2026, 11, 1), covered_until=date(2026, 11, known_until))
    window = DateWindow(since=date(2026, 11, read_since), until=TODAY)
    after = rules.covering(known, window, TODAY, replace=replace)
    assert (after.covered_since, after.covered_until) == tuple(date(2026, 11, day) for day in covered)


def test_a_time_ahead_of_the_clock_keeps_no_part_resting_or_put_off() -> None:
    day = timedelta(days=1)
    assert rules.rests(PartState(next_attempt_at=NOW + day), NOW, full=False)
    assert not rules.rests(PartState(next_attempt_at=NOW + day + timedelta(hours=1)), NOW, full=False)
    state, lasts = rules.put_off(PartState(put_off_since=NOW + 9 * day), "It is throttled.", NOW)
    assert (state.put_off_since, lasts) == (NOW, None)
    assert rules.put_off(state, "It is throttled.", NOW + day)[1]
