"""The decisions of the cleanup, without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from sivera.retention import rules
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.queries import TABLES
from sivera.sync.rules import RESTATEMENT_DAYS

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def test_each_kind_has_its_cutoff() -> None:
    found = rules.plan(CleanupOptions(oauth_states_days=1), NOW, None)
    days = {kind: (NOW - cutoff).days for kind, cutoff in found.cutoffs.items()}
    assert days.keys() == set(Kind) == TABLES.keys()
    assert (days[Kind.OAUTH_STATES], days[Kind.SESSIONS], days[Kind.TOKEN_REFRESH_LOGS]) == (1, 0, 30)


@pytest.mark.parametrize(
    "beyond",
    [
        {"sessions_days": -1},
        {"deadline_seconds": 46},
        # Rows that a job still reads.
        {"reports_days": 92 + max(RESTATEMENT_DAYS.values())},
        {"platform_calls_days": 1},
        {"token_refresh_logs_days": 6},
        {"alerts_days": 29},
    ],
)
def test_options_have_bounds(beyond: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        CleanupOptions.model_validate(beyond)


@pytest.mark.parametrize(
    ("ahead", "is_refused"),
    [(None, False), (-timedelta(days=30), False), (timedelta(minutes=1), False), (timedelta(seconds=61), True)],
)
def test_a_clock_that_was_set_back_is_refused(ahead: timedelta | None, is_refused: bool) -> None:
    refused = rules.plan(CleanupOptions(), NOW, None if ahead is None else NOW + ahead).refused or ""
    assert ("but the last run was at 2026-11-24 02:01:01 UTC: set the clock" in refused) == is_refused
    assert bool(refused) == is_refused
