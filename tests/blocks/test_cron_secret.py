"""The secret of the HTTP API: which are valid, and which is accepted when."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr, ValidationError

from blocks.cron_secret import CronSecret

FIRST, SECOND, THIRD = (SecretStr(f"the-{which}-secret-of-all") for which in ("first", "second", "third"))
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sent(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode()


@pytest.mark.parametrize("secret", ["", "tiny", "fifteen-letters", "with a space and long", "비밀" * 9, "a\nb" * 9])
def test_a_secret_that_can_be_guessed_or_not_be_sent_is_invalid(secret: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CronSecret(current=SecretStr(secret))
    assert not secret or secret not in str(caught.value)
    with pytest.raises(ValidationError):
        CronSecret(current=FIRST, previous=SecretStr(secret), previous_until=NOW)


def test_only_the_whole_secret_matches() -> None:
    block = CronSecret(current=FIRST)
    assert block.matches(sent(FIRST), NOW)
    for other in (b"", sent(FIRST)[:-1], sent(FIRST) + b"x", sent(FIRST).upper(), sent(SECOND), b"None", b"\xff"):
        assert not block.matches(other, NOW)


def test_the_previous_secret_is_accepted_until_its_time() -> None:
    block = CronSecret(current=FIRST).replace(SECOND, NOW + HOUR)
    assert block.matches(sent(SECOND), NOW)
    assert block.matches(sent(FIRST), NOW + HOUR - timedelta(seconds=1))
    assert not block.matches(sent(FIRST), NOW + HOUR)
    again = block.replace(THIRD, NOW + HOUR)
    assert [again.matches(sent(secret), NOW) for secret in (FIRST, SECOND, THIRD)] == [False, True, True]
    assert not block.replace(THIRD, None).matches(sent(SECOND), NOW)
    assert block.replace(SECOND, NOW + 2 * HOUR) == block, "the same secret again keeps the grace"
    assert not block.replace(SECOND, None).matches(sent(FIRST), NOW)
    with pytest.raises(ValidationError, match="previous has no end"):
        CronSecret(current=FIRST, previous=SECOND)
