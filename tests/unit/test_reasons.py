"""What a failure means: a sentence with the remedy and without secret values, and whether to try again."""

import pytest
from sqlalchemy.exc import OperationalError

from sivera.errors import (
    AccountInaccessible,
    ConfigurationError,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    ReconnectRequired,
    Unavailable,
)
from sivera.reasons import is_worth_a_retry, reason_for
from sivera.values import PlatformName


@pytest.mark.parametrize(
    ("error", "remedy", "is_tried_again"),
    [
        (Unavailable(PlatformName.META, "did not answer in time"), "next run tries again", True),
        (InvalidReply(PlatformName.META, "sent no list"), "sivera check meta", True),
        (ReconnectRequired(PlatformName.META, "the token is gone", "190"), "connect the account again", False),
        (AccountInaccessible(PlatformName.META, "no permission", "10"), "Ask the team", False),
        (Misconfigured(PlatformName.META, "unknown client"), "sivera check meta", False),
        (InvalidRequest(PlatformName.META, "unknown field"), "sivera check meta", False),
        (ConfigurationError("the block is missing: save it"), "save it", False),
        (OperationalError("SELECT 'hunter2'", {}, Exception("gone")), "does not answer: check that", True),
        (KeyError("hunter2"), "a defect", False),
    ],
)
def test_each_error_has_a_remedy_and_some_are_retried(error: Exception, remedy: str, is_tried_again: bool) -> None:
    reason = reason_for(error)
    assert remedy in reason
    assert "hunter2" not in reason
    assert is_worth_a_retry(error) is is_tried_again


def test_a_task_that_was_stopped_has_a_reason_too() -> None:
    assert reason_for(None).startswith("Someone stopped it, and it ended as None. The next run tries again")
