"""An access token for the call at hand: renewed just in time and once, even if the machine's clock is wrong."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.errors import GrantRevoked, LeftAlone, ReconnectRequired, Throttled, Unavailable
from sivera.grants.rules import CALL_MARGIN, EXPIRY_MARGIN
from sivera.grants.source import GrantTokenSource
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.grants.due import grant_row

AMAZON, GOOGLE = PlatformName.AMAZON, PlatformName.GOOGLE
HOUR = timedelta(seconds=3599)
"""How long Google's and Amazon's tokens live."""


def new_source(stage: Stage, platform: PlatformName) -> GrantTokenSource:
    """What another process would hold for the first grant."""
    return GrantTokenSource(stage.renewal_dependencies(), stage.client(platform), 1)


def test_a_token_that_expires_while_it_is_held_is_renewed(stage: Stage, world: World) -> None:
    seconds = [0.0]
    stage.connect(world.add_grant(GOOGLE))
    deps, client = stage.renewal_dependencies(), stage.client(GOOGLE)
    source = GrantTokenSource(deps, client, 1, monotonic=lambda: seconds[0])
    first = source.current()
    stage.pass_time(HOUR)
    assert source.current() == first, "no time has passed by its own clock"
    seconds[0] += HOUR.total_seconds()
    assert source.current() != first


@pytest.mark.parametrize("skew", [timedelta(minutes=10), timedelta(minutes=-10)], ids=["fast", "slow"])
def test_a_machine_whose_clock_is_wrong_uses_no_expired_token(stage: Stage, world: World, skew: timedelta) -> None:
    """The machine's clock is ten minutes off the clocks of the database and the platform."""
    grant = world.add_grant(GOOGLE)
    stage.connect(grant)
    stage.now = lambda: world.clock.now() + skew  # type: ignore[method-assign]
    stage.client.cache_clear()

    def ends_in() -> timedelta:
        left: timedelta = stage.rows("SELECT expires_at - now() AS ends_in FROM platform_credentials")[0].ends_in
        return left

    with time_machine.travel(datetime.now(UTC) + skew):
        for left in (timedelta(minutes=4), timedelta(minutes=30), timedelta(minutes=1), timedelta(minutes=9)):
            stage.pass_time(ends_in() - left)
            calls = world.faults.count(GOOGLE, "token")
            assert world.grant_of_access(GOOGLE, new_source(stage, GOOGLE).current()) is grant, "the platform takes it"
            renewals = world.faults.count(GOOGLE, "token") - calls
            assert renewals == (left < EXPIRY_MARGIN), "a token that still lasts is not renewed"
            assert EXPIRY_MARGIN < ends_in() <= HOUR, "its life is not overestimated"


def test_threads_whose_token_is_rejected_renew_it_once(stage: Stage, world: World) -> None:
    source = stage.tokens(GOOGLE, stage.connect(world.add_grant(GOOGLE)).credential_id)
    rejected = source.current()
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(source.renewed, [rejected] * 8))
    assert len(tokens) == 1
    assert rejected not in tokens
    assert world.faults.count(GOOGLE, "token") == 1


def test_a_grant_rests_while_its_renewal_fails_and_its_token_serves_while_it_lasts(stage: Stage, world: World) -> None:
    source = stage.tokens(AMAZON, stage.connect(world.add_grant(AMAZON)).credential_id)
    world.faults.add(Fault(FaultKind.STATUS, AMAZON, "token"))
    stage.pass_time(HOUR - CALL_MARGIN - timedelta(seconds=20))
    for _ in range(10):
        assert source.current(), "the token outlives a call"
    assert world.faults.count(AMAZON, "token") == 3
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
    assert world.faults.count(AMAZON, "token") == 4
    stage.pass_time(timedelta(minutes=4))
    world.faults.clear()
    assert source.renew(1)
    row = grant_row(stage)
    assert (row["failures"], row["next_attempt_at"], row["status"]) == (0, None, "active")


def test_a_call_that_the_breaker_stops_takes_no_lease(stage: Stage, world: World) -> None:
    stage.connect(world.add_grant(AMAZON))
    stage.pass_time(2 * HOUR)
    stage.breaker.open(AMAZON, 60)
    with pytest.raises(Throttled):
        new_source(stage, AMAZON).current()
    assert not stage.rows("SELECT 1 FROM token_refresh_logs")


def test_a_verdict_on_an_old_token_does_not_mark_a_grant_that_was_reconnected(stage: Stage, world: World) -> None:
    grant = world.add_grant(GOOGLE)
    source = stage.tokens(GOOGLE, stage.connect(grant).credential_id)
    old = source.current()
    stage.connect(grant)
    assert not source.reject(old, ReconnectRequired(GOOGLE, "the token is gone"))
    assert grant_row(stage)["status"] == "active"
    assert source.reject(source.current(), GrantRevoked(GOOGLE, "the user revoked it"))
    row = grant_row(stage)
    assert (row["status"], row["status_reason"]) == ("revoked", "the user revoked it")
