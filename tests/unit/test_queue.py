"""The queue of a run: platforms take turns, and one that wants no calls waits without holding anyone up."""

import math

import pytest

from sivera.breaker import OUTAGE_AFTER, OUTAGE_SECONDS, Breaker
from sivera.errors import Throttled
from sivera.queue import WorkQueue
from sivera.sync.plan import DueAccount
from sivera.values import PlatformName


class HandClock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def accounts(platform: PlatformName, count: int) -> list[DueAccount]:
    first = 100 * list(PlatformName).index(platform)
    return [DueAccount(id=first + i, platform=platform, name=f"{platform.value} {i}") for i in range(count)]


def test_platforms_take_turns() -> None:
    queue = WorkQueue(accounts(PlatformName.GOOGLE, 3) + accounts(PlatformName.META, 2), Breaker(), share=10)
    assert [a.id for a in queue.take(4)] == [0, 100, 1, 101]
    assert [a.id for a in queue.take(4)] == [2]
    assert queue.take(4) == []
    assert queue.seconds_to_wait() == math.inf


def test_a_platform_that_wants_no_calls_is_passed_over_and_comes_back() -> None:
    clock = HandClock()
    breaker = Breaker(clock)
    queue = WorkQueue(accounts(PlatformName.GOOGLE, 2) + accounts(PlatformName.META, 2), breaker, share=10)
    breaker.open(PlatformName.GOOGLE, 30)
    assert [a.id for a in queue.take(10)] == [100, 101]
    assert len(queue) == 2
    assert queue.seconds_to_wait() == 30
    clock.seconds += 30
    assert queue.seconds_to_wait() == 0
    assert [a.id for a in queue.take(10)] == [0, 1]


def test_a_platform_has_no_more_than_its_share_out_while_others_wait() -> None:
    queue = WorkQueue(accounts(PlatformName.GOOGLE, 6) + accounts(PlatformName.META, 3), Breaker(), share=2)
    first = queue.take(10)
    assert [a.id for a in first] == [0, 100, 1, 101]
    assert queue.take(10) == [], "both have their share out"
    queue.ended(first[1])
    assert [a.id for a in queue.take(10)] == [102, 2, 3, 4, 5], "the last platform that waits may have all"


def test_an_account_that_is_put_back_holds_nobody_up_and_then_comes_first() -> None:
    clock = HandClock()
    queue = WorkQueue(accounts(PlatformName.GOOGLE, 4), Breaker(clock), share=10, monotonic=clock)
    first, second = queue.take(2)
    queue.put_back(first, 5)
    queue.put_back(second)
    assert ([a.id for a in queue.take(2)], len(queue)) == ([1, 2], 2)
    assert ([a.id for a in queue.take(2)], queue.seconds_to_wait()) == ([3], 5)
    clock.seconds += 5
    assert (queue.seconds_to_wait(), [a.id for a in queue.take(3)]) == (0, [0])


def test_when_a_run_is_over_nothing_is_taken_or_waited_for() -> None:
    clock = HandClock()
    breaker = Breaker(clock)
    breaker.stop_at(clock.seconds + 10)
    queue = WorkQueue(accounts(PlatformName.GOOGLE, 2), breaker, share=10)
    assert len(queue.take(1)) == 1
    clock.seconds += 10
    assert queue.take(1) == []
    assert queue.seconds_to_wait() == math.inf
    with pytest.raises(Throttled):
        breaker.check(PlatformName.GOOGLE)


def test_calls_without_an_answer_are_an_outage_only_in_a_row() -> None:
    clock = HandClock()
    breaker = Breaker(clock)
    for _ in range(OUTAGE_AFTER - 1):
        breaker.record(PlatformName.META, answered=False)
    breaker.record(PlatformName.META, answered=True)
    assert breaker.seconds_left(PlatformName.META) == 0
    for _ in range(OUTAGE_AFTER):
        breaker.record(PlatformName.META, answered=False)
    assert breaker.seconds_left(PlatformName.META) == OUTAGE_SECONDS
    assert breaker.seconds_left(PlatformName.GOOGLE) == 0
    clock.seconds += OUTAGE_SECONDS
    breaker.record(PlatformName.META, answered=False)
    assert breaker.seconds_left(PlatformName.META) == OUTAGE_SECONDS, "one failed probe is enough to wait again"
