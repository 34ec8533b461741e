"""The decisions about renewals."""

from datetime import timedelta

import pytest

from sivera.errors import (
    ConfigurationError,
    GrantRevoked,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    ReconnectRequired,
    Throttled,
    Unavailable,
    Unreached,
)
from sivera.grants import rules
from sivera.values import PlatformName

META = PlatformName.META


@pytest.mark.parametrize(
    ("error", "kept", "rotating", "rotating_in_doubt"),
    [
        (ReconnectRequired(META, "gone"), "reauthorization_required", "reauthorization_required", "rotation_lost"),
        (GrantRevoked(META, "gone"), "revoked", "revoked", "rotation_lost"),
        (Misconfigured(META, "no"), "misconfigured", "misconfigured", "misconfigured"),
        (ConfigurationError("no key"), "misconfigured", "misconfigured", "misconfigured"),
        (Throttled(META, "slow down"), "throttled", "throttled", "throttled"),
        (Unreached(META, "no connection"), "failed", "failed", "failed"),
        (Unavailable(META, "timeout"), "failed", "in_doubt", "in_doubt"),
        (InvalidReply(META, "cut off"), "failed", "in_doubt", "in_doubt"),
        (InvalidRequest(META, "wrong"), "defect", "defect", "defect"),
        (KeyError("a bug"), "defect", "in_doubt", "in_doubt"),
    ],
)
def test_the_outcome_of_each_error(error: Exception, kept: str, rotating: str, rotating_in_doubt: str) -> None:
    assert rules.outcome_of(error, rotates=False, in_doubt=False).value == kept
    assert rules.outcome_of(error, rotates=False, in_doubt=True).value == kept
    assert rules.outcome_of(error, rotates=True, in_doubt=False).value == rotating
    assert rules.outcome_of(error, rotates=True, in_doubt=True).value == rotating_in_doubt


def test_backoff_allows_for_the_retries_of_a_task_and_grows_to_an_hour() -> None:
    pauses = [rules.backoff(failures) / timedelta(minutes=1) for failures in range(1, 9)]
    assert pauses == [0, 0, 1, 4, 16, 60, 60, 60]
    assert rules.backoff(10_000) == rules.LONGEST_BACKOFF


@pytest.mark.parametrize(
    ("failed", "renewed", "silent", "outage"),
    [
        ({"a", "b", "c"}, set(), False, True),
        ({"a", "b", "c"}, {"d", "e"}, False, True),
        ({"a", "b", "c"}, {"d", "e", "f"}, False, False),
        ({"a", "b"}, set(), False, False),
        ({"a"}, set(), True, True),
        ({"a"}, {"b"}, True, False),
        (set(), set(), False, False),
    ],
)
def test_an_outage_is_many_teams_failing_at_once(
    failed: set[str], renewed: set[str], silent: bool, outage: bool
) -> None:
    assert rules.is_outage(failed, renewed, is_silent=silent) is outage
