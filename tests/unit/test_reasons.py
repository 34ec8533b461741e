"""What a failure means: a sentence with the remedy and without values, and whether to try again."""

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
from sivera.reasons import is_worth_a_retry, reason_for
from sivera.values import PlatformName


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (Unavailable(PlatformName.META, "did not answer in time"), "next run tries again"),
        (ReconnectRequired(PlatformName.META, "the token is gone", "190"), "connect the account again"),
        (AccountInaccessible(PlatformName.META, "no permission", "10"), "Ask the team"),
        (Misconfigured(PlatformName.META, "unknown client"), "sivera check meta"),
        (InvalidRequest(PlatformName.META, "unknown field"), "sivera check meta"),
        (ConfigurationError("the block is missing: save it"), "save it"),
        (OperationalError("SELECT 'hunter2'", {}, Exception("gone")), "does not answer: see that it runs"),
        (KeyError("hunter2"), "a defect"),
    ],
)
def test_a_reason_says_what_to_do_and_shows_no_values(error: Exception, remedy: str) -> None:
    reason = reason_for(error)
    assert remedy in reason
    assert "hunter2" not in reason


def test_only_what_may_pass_by_itself_is_tried_again_at_once() -> None:
    assert is_worth_a_retry(Unavailable(PlatformName.META, "502"))
    assert is_worth_a_retry(OperationalError("", {}, Exception()))
    assert not is_worth_a_retry(ReconnectRequired(PlatformName.META, "gone"))
    assert not is_worth_a_retry(KeyError())
