"""The decisions of the cleanup, without a database."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sivera.alerts.checking import LOOK_BACK
from sivera.occurrences.accounting import LONGEST_RUN, LOOKBACK
from sivera.reports.writing import COMPARED_DAYS
from sivera.retention import rules
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.rules import ClockReading, Freshness
from sivera.sync.rules import RESTATEMENT_DAYS

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def test_cutoffs_are_so_many_days_before_now() -> None:
    found = rules.cutoffs(CleanupOptions(oauth_states_days=1, outbox_events_days=9), NOW)
    days = {kind: (NOW - cutoff).days for kind, cutoff in found.items()}
    assert days.keys() == set(Kind)
    assert (days[Kind.OAUTH_STATES], days[Kind.OUTBOX_EVENTS]) == (1, 9)
    assert (days[Kind.SESSIONS], days[Kind.TOKEN_REFRESH_LOGS], days[Kind.JOB_OCCURRENCES]) == (0, 30, 400)


@pytest.mark.parametrize(
    "beyond",
    [
        {"oauth_states_days": -1},
        {"oauth_states_days": 31},
        {"sessions_days": -1},
        {"sessions_days": 366},
        {"token_refresh_logs_days": 6},
        {"token_refresh_logs_days": 3651},
        *({f"{kind.value}_days": 5} for kind in Kind if CleanupOptions().days(kind)),
        *({f"{kind.value}_days": 3651} for kind in Kind),
        {"deadline_seconds": 4},
        {"deadline_seconds": 46},
    ],
)
def test_options_have_bounds(beyond: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        CleanupOptions.model_validate(beyond)


def test_no_kind_may_be_kept_for_less_long_than_a_job_reads_it() -> None:
    horizons = {
        "job_occurrences_days": max(LOOKBACK + LONGEST_RUN, LOOK_BACK),
        "reports_days": timedelta(days=2 + 92 + max(RESTATEMENT_DAYS.values()) + COMPARED_DAYS),
        "platform_calls_days": timedelta(days=1),
        "backups_days": LONGEST_RUN,
    }
    for name, horizon in horizons.items():
        with pytest.raises(ValidationError):
            CleanupOptions.model_validate({name: horizon.days + 1})


@pytest.mark.parametrize("seconds", [5, 45])
def test_each_kind_has_its_share_of_the_time(seconds: float) -> None:
    ends = [rules.end_of(kind, seconds) for kind in Kind]
    assert ends == sorted(ends)
    assert ends[0] >= seconds / 2
    assert ends[-1] == seconds
    # However long the one before takes, and to count what it leaves.
    count = rules.count_seconds(seconds)
    assert 0 < count <= rules.COUNT_SECONDS
    assert all(later - (earlier + count) >= count * 0.99 for earlier, later in pairwise(ends))


@given(size=st.integers(rules.SMALLEST_SIZE, rules.LARGEST_SIZE), seconds=st.floats(0, 100))
def test_a_batch_grows_when_it_was_quick_and_shrinks_when_it_was_slow(size: int, seconds: float) -> None:
    following = rules.next_size(size, seconds)
    assert rules.SMALLEST_SIZE <= following <= rules.LARGEST_SIZE
    assert size // 2 <= following <= 2 * size
    if seconds < rules.TARGET_SECONDS * 0.9:
        assert following > size or size == rules.LARGEST_SIZE
    if seconds > rules.TARGET_SECONDS * 1.1:
        assert following < size or size == rules.SMALLEST_SIZE


@pytest.mark.parametrize("seconds_a_row", [1e-6, 1e-5, 1e-4])
def test_the_size_settles_where_a_batch_takes_what_it_is_to_take(seconds_a_row: float) -> None:
    size = rules.FIRST_SIZE
    for _ in range(20):
        size = rules.next_size(size, size * seconds_a_row)
    assert size == pytest.approx(min(rules.TARGET_SECONDS / seconds_a_row, rules.LARGEST_SIZE), rel=0.05)


def test_a_batch_that_was_rolled_back_is_followed_by_a_much_smaller_one() -> None:
    assert rules.smaller_size(1000) == 250
    assert rules.smaller_size(rules.SMALLEST_SIZE) == rules.SMALLEST_SIZE


def clock(
    worker: timedelta = timedelta(0), last: timedelta | None = timedelta(days=-1), slow: timedelta = timedelta(0)
) -> ClockReading:
    """A reading at NOW by the database's clock; the worker's is ahead, and the answer took a while."""
    last_run = None if last is None else NOW + last
    return ClockReading(before=NOW + worker - slow, database=NOW, after=NOW + worker, last_run=last_run)


@pytest.mark.parametrize("worker", [timedelta(minutes=1), timedelta(minutes=-1), timedelta(0)])
def test_clocks_may_differ_by_a_minute(worker: timedelta) -> None:
    assert rules.clock_refusal(clock(worker), confirmed=False) is None


@pytest.mark.parametrize("worker", [timedelta(minutes=1) + MICROSECOND, -timedelta(minutes=1) - MICROSECOND])
@pytest.mark.parametrize("confirmed", [False, True])
def test_clocks_that_differ_by_more_are_refused_and_both_are_named(worker: timedelta, confirmed: bool) -> None:
    reason = rules.clock_refusal(clock(worker), confirmed=confirmed)
    assert reason is not None
    assert "the worker's clock says 2026-11-24 0" in reason
    assert "the database's 2026-11-24 02:00:00 UTC" in reason


def test_a_slow_answer_is_no_difference() -> None:
    assert rules.clock_refusal(clock(slow=timedelta(minutes=10)), confirmed=False) is None


@pytest.mark.parametrize("last", [None, timedelta(minutes=1), timedelta(0), -timedelta(days=2)])
def test_the_first_run_and_one_within_two_days_are_believed(last: timedelta | None) -> None:
    assert rules.clock_refusal(clock(last=last), confirmed=False) is None


@pytest.mark.parametrize("confirmed", [False, True])
def test_time_that_went_back_is_refused(confirmed: bool) -> None:
    reason = rules.clock_refusal(clock(last=timedelta(minutes=1) + MICROSECOND), confirmed=confirmed)
    assert reason is not None
    assert "a run was at 2026-11-24 02:01:00 UTC" in reason


def test_time_that_leapt_is_refused_until_a_person_confirms_it() -> None:
    leapt = clock(last=-timedelta(days=8) - MICROSECOND)
    reason = rules.clock_refusal(leapt, confirmed=False)
    assert reason is not None
    assert "run once with the option clock_confirmed" in reason
    assert rules.clock_refusal(leapt, confirmed=True) is None


@pytest.mark.parametrize("kind", Kind)
def test_everything_may_go_only_where_nothing_fresh_is_among_it(kind: Kind) -> None:
    def refusal(written_at: datetime | None, *, keeps_any: bool = False) -> str | None:
        return rules.everything_refusal(kind, NOW, Freshness(written_at=written_at, keeps_any=keeps_any))

    too_fresh = NOW - rules.SHORTEST_LIFE[kind] + MICROSECOND
    reason = refusal(too_fresh)
    assert reason is not None
    assert f"nothing would stay of {kind.value}" in reason
    assert refusal(NOW + timedelta(days=3)) is not None
    assert refusal(too_fresh, keeps_any=True) is None
    assert refusal(too_fresh - MICROSECOND) is None
    assert refusal(None) is None
