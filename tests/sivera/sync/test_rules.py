"""The decisions of sync-campaigns, one by one."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from sivera.errors import (
    AccountInaccessible,
    ConfigurationError,
    InvalidRequest,
    Misconfigured,
    ReconnectRequired,
    Unavailable,
)
from sivera.sync import rules
from sivera.sync.options import SyncMode
from sivera.values import PlatformName

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = date(2026, 11, 20)


def test_an_incremental_run_reads_the_last_days_and_a_full_one_all_that_may_still_change() -> None:
    recent = rules.metrics_window(PlatformName.META, SyncMode.INCREMENTAL, None, TODAY)
    assert (recent.since, recent.until) == (date(2026, 11, 18), TODAY)
    full = rules.metrics_window(PlatformName.META, SyncMode.FULL, None, TODAY)
    assert (full.until - full.since).days + 1 == 28
    asked = rules.metrics_window(PlatformName.META, SyncMode.FULL, 1, TODAY)
    assert (asked.since, asked.until) == (TODAY, TODAY)


@pytest.mark.parametrize(
    ("failures", "hours"), [(1, None), (2, None), (3, 2), (4, 4), (5, 8), (6, 16), (7, 24), (1000, 24)]
)
def test_the_slow_lane_begins_with_the_third_failure_and_slows_down_to_a_day(failures: int, hours: int | None) -> None:
    expected = None if hours is None else NOW + timedelta(hours=hours) - rules.SLOW_LANE_LEEWAY
    assert rules.next_attempt(failures, NOW) == expected


@pytest.mark.parametrize(
    ("missing", "total", "held"),
    [(20, 20, False), (21, 104, True), (21, 105, False), (21, 21, True), (0, 0, False), (500, 10_000, False)],
)
def test_more_than_twenty_and_more_than_a_fifth_need_a_human(missing: int, total: int, *, held: bool) -> None:
    assert rules.too_many_removals(missing, total) is held


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (Unavailable(PlatformName.META, "did not answer in time"), "next run tries again"),
        (ReconnectRequired(PlatformName.META, "the token is gone", "190"), "connect the account again"),
        (AccountInaccessible(PlatformName.META, "no permission", "10"), "Ask the team"),
        (Misconfigured(PlatformName.META, "unknown client"), "sivera apps set meta"),
        (InvalidRequest(PlatformName.META, "unknown field"), "defect"),
        (ConfigurationError("the block is missing: save it"), "save it"),
        (rules.RemovalsHeldError(12, 30, 40), "sivera accounts approve-removals 12"),
        (OperationalError("SELECT 'hunter2'", {}, Exception("gone")), "The database failed"),
        (KeyError("hunter2"), "a defect"),
    ],
)
def test_a_reason_says_what_to_do_and_shows_no_values(error: Exception, mend: str) -> None:
    reason = rules.reason_for(error, PlatformName.META)
    assert mend in reason
    assert "hunter2" not in reason


def test_only_what_may_pass_by_itself_is_tried_again_at_once() -> None:
    assert rules.is_worth_a_retry(Unavailable(PlatformName.META, "502"))
    assert rules.is_worth_a_retry(OperationalError("", {}, Exception()))
    assert not rules.is_worth_a_retry(ReconnectRequired(PlatformName.META, "gone"))
    assert not rules.is_worth_a_retry(KeyError())
