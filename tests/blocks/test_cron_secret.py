"""When a secret of the HTTP API is accepted."""

from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from blocks.cron_secret import CronSecret

FIRST, SECOND, THIRD = (SecretStr(f"the-{which}-secret-of-all") for which in ("first", "second", "third"))
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sent(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode()


def test_only_the_whole_secret_matches() -> None:
    block = CronSecret(current=FIRST)
    assert block.matches(sent(FIRST), NOW)
    for other in (b"", sent(FIRST)[:-1], sent(FIRST) + b"x", sent(FIRST).upper(), sent(SECOND), b"None", b"\xff"):
        assert not block.matches(other, NOW)


def test_the_previous_secret_is_accepted_until_it_expires() -> None:
    block = CronSecret(current=FIRST).replace(SECOND, NOW + HOUR)
    assert block.matches(sent(SECOND), NOW)
    assert block.matches(sent(FIRST), NOW + HOUR - timedelta(seconds=1))
    assert not block.matches(sent(FIRST), NOW + HOUR)
    again = block.replace(THIRD, NOW + HOUR)
    assert [again.matches(sent(secret), NOW) for secret in (FIRST, SECOND, THIRD)] == [False, True, True]
    assert not block.replace(THIRD, None).matches(sent(SECOND), NOW)
    assert block.replace(SECOND, NOW + 2 * HOUR) == block, "the same secret again does not end the grace period"
    assert not block.replace(SECOND, None).matches(sent(FIRST), NOW)
