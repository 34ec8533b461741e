"""An access token for the call at hand: renewed just in time, once, by whatever clock the machine has."""

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.breaker import Breaker
from sivera.errors import GrantRevoked, LeftAlone, ReconnectRequired, Throttled, Unavailable
from sivera.grants.rules import CALL_MARGIN, EXPIRY_MARGIN
from sivera.grants.source import GrantTokenSource
from sivera.values import PlatformName
from tests.stage import Stage

HOUR = timedelta(seconds=3599)
"""Google's and Amazon's tokens live that long."""


def new_source(stage: Stage, platform: PlatformName, credential_id: int) -> GrantTokenSource:
    """What another process would hold."""
    return GrantTokenSource(stage.renewal_dependencies(), stage.client(platform), credential_id)


def test_a_token_that_ends_while_it_is_held_is_renewed(stage: Stage, world: World) -> None:
    seconds = [0.0]
    connection = stage.connect(world.add_grant(PlatformName.GOOGLE))
    source = GrantTokenSource(
        stage.renewal_dependencies(),
        stage.client(PlatformName.GOOGLE),
        connection.credential_id,
        monotonic=lambda: seconds[0],
    )
    first = source.current()
    stage.pass_time(HOUR)
    assert source.current() == first, "no time has passed by its own clock"
    seconds[0] += HOUR.total_seconds()
    assert source.current() != first


@pytest.mark.parametrize("skew", [timedelta(minutes=10), timedelta(minutes=-10)], ids=["fast", "slow"])
def test_a_machine_whose_clock_is_wrong_uses_no_expired_token(stage: Stage, world: World, skew: timedelta) -> None:
    """All that this machine does is by a clock that is ten minutes off the database's and the platform's."""
    grant = world.add_grant(PlatformName.GOOGLE)
    connection = stage.connect(grant)
    stage.now = lambda: world.clock.now() + skew  # type: ignore[method-assign]
    stage.client.cache_clear()
    with time_machine.travel(datetime.now(UTC) + skew):
        (row,) = stage.rows("SELECT clock_timestamp() AS now")
        assert abs(datetime.now(UTC) - row.now - skew) < timedelta(minutes=1), "the database has another clock"
        for left in (timedelta(minutes=4), timedelta(minutes=30), timedelta(minutes=1), timedelta(minutes=9)):
            (row,) = stage.rows("SELECT expires_at - now() AS ends_in FROM platform_credentials")
            stage.pass_time(row.ends_in - left)
            calls = world.faults.count(PlatformName.GOOGLE, "token")
            token = new_source(stage, PlatformName.GOOGLE, connection.credential_id).current()
            assert world.grant_of_access(PlatformName.GOOGLE, token) is grant, "the platform takes it"
            renewals = world.faults.count(PlatformName.GOOGLE, "token") - calls
            assert renewals == (left < EXPIRY_MARGIN), "what still lasts is not renewed"
            (row,) = stage.rows("SELECT expires_at - now() AS ends_in FROM platform_credentials")
            assert row.ends_in > EXPIRY_MARGIN
            assert row.ends_in <= HOUR, "and it is not thought to live longer than it does"


def test_threads_whose_token_is_refused_renew_it_once(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.GOOGLE)
    source = stage.tokens(PlatformName.GOOGLE, stage.connect(grant).credential_id)
    refused = source.current()
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(source.renewed, [refused] * 8))
    assert len(tokens) == 1
    assert refused not in tokens
    assert world.faults.count(PlatformName.GOOGLE, "token") == 1


def test_a_grant_that_fails_again_and_again_is_left_alone_for_a_while(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.AMAZON))
    stage.pass_time(2 * HOUR)
    world.faults.add(Fault(FaultKind.STATUS, PlatformName.AMAZON, "token"))
    for calls in (1, 2, 3, 3, 3):
        with pytest.raises(Unavailable):
            new_source(stage, PlatformName.AMAZON, connection.credential_id).current()
        assert world.faults.count(PlatformName.AMAZON, "token") == calls
    stage.pass_time(timedelta(minutes=1))
    world.faults.clear()
    assert new_source(stage, PlatformName.AMAZON, connection.credential_id).current()
    (row,) = stage.rows("SELECT failures, next_attempt_at, status FROM platform_credentials")
    assert tuple(row) == (0, None, "active")


def test_while_a_renewal_fails_the_token_serves_as_long_as_it_outlives_a_call(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.AMAZON))
    world.faults.add(Fault(FaultKind.STATUS, PlatformName.AMAZON, "token"))
    stage.pass_time(HOUR - EXPIRY_MARGIN + timedelta(minutes=1))
    source = stage.tokens(PlatformName.AMAZON, connection.credential_id)
    for _ in range(10):
        assert source.current(), "the token still lasts"
    assert world.faults.count(PlatformName.AMAZON, "token") == 3
    stage.age(EXPIRY_MARGIN - timedelta(minutes=1) - CALL_MARGIN - timedelta(seconds=20))
    assert source.current(), "the token outlives a call"
    stage.age(timedelta(seconds=40))
    with pytest.raises(Unavailable):
        source.current()
    stage.age(timedelta(minutes=4))
    with pytest.raises(LeftAlone, match="answered HTTP 503") as failed:
        source.renew(1)
    assert failed.value.was_tried
    with pytest.raises(LeftAlone) as paused:
        source.renew(1)
    assert not paused.value.was_tried


def test_no_journal_row_is_written_for_a_call_that_the_breaker_refuses(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.AMAZON))
    stage.pass_time(2 * HOUR)
    breaker = Breaker()
    breaker.open(PlatformName.AMAZON, 60)
    deps, client = stage.renewal_dependencies(), stage.client(PlatformName.AMAZON)
    with pytest.raises(Throttled):
        GrantTokenSource(deps, client, connection.credential_id, breaker).current()
    assert not stage.rows("SELECT 1 FROM token_refresh_logs")


def test_a_verdict_on_an_old_token_marks_no_grant_that_was_reconnected_meanwhile(stage: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.GOOGLE)
    source = stage.tokens(PlatformName.GOOGLE, stage.connect(grant).credential_id)
    old = source.current()
    stage.connect(grant)
    assert not source.reject(old, ReconnectRequired(PlatformName.GOOGLE, "the token is gone"))
    assert stage.rows("SELECT status FROM platform_credentials")[0].status == "active"
    assert source.reject(source.current(), GrantRevoked(PlatformName.GOOGLE, "the user took it away"))
    (row,) = stage.rows("SELECT status, status_reason FROM platform_credentials")
    assert tuple(row) == ("revoked", "the user took it away")


def test_a_token_without_an_end_is_used_as_it_is(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.TIKTOK))
    stage.pass_time(timedelta(days=400))
    source = stage.tokens(PlatformName.TIKTOK, connection.credential_id)
    assert source.current() == source.current()
    assert source._held is not None
    assert source._held.ends_at == math.inf
    assert world.faults.count(PlatformName.TIKTOK) == 2, "those of connecting"
