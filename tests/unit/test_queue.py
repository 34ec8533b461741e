"""The queue of a run: platforms take turns, and one that wants no calls waits without holding anyone up."""

import math

import pytest

from sivera.breaker import OUTAGE_AFTER, OUTAGE_SECONDS, Breaker
from sivera.errors import Throttled
from sivera.queue import WorkQueue
from sivera.sync.plan import DueAccount
from sivera.values import PlatformName

GOOGLE, META = PlatformName.GOOGLE, PlatformName.META


class HandClock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def queue_of(google: int, meta: int, clock: HandClock, share: int = 10) -> tuple[WorkQueue[DueAccount], Breaker]:
    """Google's accounts are 0, 1, ..., Meta's 100, 101, ..."""
    ids = {GOOGLE: range(google), META: range(100, 100 + meta)}
    due = [DueAccount(id=id_, platform=platform, name="") for platform in ids for id_ in ids[platform]]
    breaker = Breaker(clock)
    return WorkQueue(due, breaker, share=share, monotonic=clock), breaker


def take(queue: WorkQueue[DueAccount], most: int) -> list[int]:
    return [account.id for account in queue.take(most)]


def test_platforms_take_turns(clock: HandClock) -> None:
    queue, _ = queue_of(3, 2, clock)
    assert [take(queue, 4) for _ in range(3)] == [[0, 100, 1, 101], [2], []]
    assert queue.seconds_to_wait() == math.inf


def test_a_platform_that_wants_no_calls_is_passed_over_and_comes_back(clock: HandClock) -> None:
    queue, breaker = queue_of(2, 2, clock)
    breaker.open(GOOGLE, 30)
    assert (take(queue, 10), len(queue), queue.seconds_to_wait()) == ([100, 101], 2, 30)
    clock.seconds += 30
    assert (queue.seconds_to_wait(), take(queue, 10)) == (0, [0, 1])


def test_a_platform_has_no_more_than_its_share_out_while_others_wait(clock: HandClock) -> None:
    queue, _ = queue_of(6, 3, clock, share=2)
    first = queue.take(10)
    assert [account.id for account in first] == [0, 100, 1, 101]
    assert queue.take(10) == [], "both have their share out"
    queue.ended(first[1])
    assert take(queue, 10) == [102, 2, 3, 4, 5], "the last platform that waits may have all"


def test_an_account_that_is_put_back_holds_nobody_up_and_then_comes_first(clock: HandClock) -> None:
    queue, _ = queue_of(4, 0, clock)
    first, second = queue.take(2)
    queue.put_back(first, 5)
    queue.put_back(second)
    assert (take(queue, 2), len(queue)) == ([1, 2], 2)
    assert (take(queue, 2), queue.seconds_to_wait()) == ([3], 5)
    clock.seconds += 5
    assert (queue.seconds_to_wait(), take(queue, 3)) == (0, [0])


def test_when_a_run_is_over_nothing_is_taken_or_waited_for(clock: HandClock) -> None:
    queue, breaker = queue_of(2, 0, clock)
    breaker.stop_at(clock.seconds + 10)
    assert len(queue.take(1)) == 1
    clock.seconds += 10
    assert queue.take(1) == []
    assert queue.seconds_to_wait() == math.inf
    with pytest.raises(Throttled):
        breaker.check(GOOGLE)


def test_calls_without_an_answer_are_an_outage_only_in_a_row(clock: HandClock) -> None:
    breaker = Breaker(clock)
    for answered in (*[False] * (OUTAGE_AFTER - 1), True):
        breaker.record(META, answered=answered)
    assert breaker.seconds_left(META) == 0
    for _ in range(OUTAGE_AFTER):
        breaker.record(META, answered=False)
    assert (breaker.seconds_left(META), breaker.seconds_left(GOOGLE)) == (OUTAGE_SECONDS, 0)
    clock.seconds += OUTAGE_SECONDS
    breaker.record(META, answered=False)
    assert breaker.seconds_left(META) == OUTAGE_SECONDS, "one failed probe is enough to wait again"
