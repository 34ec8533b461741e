"""The decisions of the cleanup, without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from sivera.retention import rules
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.tables import TABLES
from sivera.sync.rules import RESTATEMENT_DAYS

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def test_cutoffs_are_days_before_now() -> None:
    found = rules.cutoffs(CleanupOptions(oauth_states_days=1), NOW)
    days = {kind: (NOW - cutoff).days for kind, cutoff in found.items()}
    assert days.keys() == set(Kind) == TABLES.keys()
    assert (days[Kind.OAUTH_STATES], days[Kind.SESSIONS], days[Kind.TOKEN_REFRESH_LOGS]) == (1, 0, 30)


@pytest.mark.parametrize(
    "beyond",
    [
        *({f"{kind.value}_days": -1} for kind in Kind),
        *({f"{kind.value}_days": 5} for kind in Kind if CleanupOptions().days(kind)),
        *({f"{kind.value}_days": 3651} for kind in Kind),
        {"deadline_seconds": 4},
        {"deadline_seconds": 46},
        # Rows that a job still reads.
        {"reports_days": 92 + max(RESTATEMENT_DAYS.values())},
        {"platform_calls_days": 1},
    ],
)
def test_options_have_bounds(beyond: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        CleanupOptions.model_validate(beyond)


def test_each_kind_leaves_time_for_those_after_it_and_the_last_takes_all() -> None:
    now, stops = 0.0, []
    for kind in Kind:
        now = rules.end_of(kind, now, 45)
        stops.append(now)
    assert stops[0] == 22.5
    assert stops == sorted(set(stops))
    assert stops[-1] == 45


@pytest.mark.parametrize("ahead", [None, timedelta(minutes=1), timedelta(0), -timedelta(days=30)])
def test_a_clock_that_goes_forward_is_believed(ahead: timedelta | None) -> None:
    assert rules.clock_refusal(NOW, None if ahead is None else NOW + ahead) is None


def test_a_clock_that_went_back_is_refused() -> None:
    reason = rules.clock_refusal(NOW, NOW + timedelta(minutes=1) + MICROSECOND)
    assert "the last run was at 2026-11-24 02:01:00 UTC" in (reason or "")


@pytest.mark.parametrize("kind", Kind)
def test_a_cutoff_that_leaves_nothing_is_refused_only_if_a_row_is_fresh(kind: Kind) -> None:
    def refusal(written_at: datetime | None, *, keeps_any: bool = False) -> str | None:
        return rules.everything_refusal(kind, NOW, written_at, keeps_any=keeps_any)

    fresh = NOW - TABLES[kind].shortest_life + MICROSECOND
    assert f"every row of {kind.value} would be deleted" in (refusal(fresh) or "")
    assert refusal(NOW + timedelta(days=3)) is not None
    assert refusal(fresh, keeps_any=True) is None
    assert refusal(fresh - MICROSECOND) is None
    assert refusal(None) is None
