"""The queue of a run: platforms take turns, and one that takes no calls waits without blocking the others."""

import math

import pytest

from sivera.breaker import OUTAGE_AFTER, OUTAGE_SECONDS, Breaker, Subject
from sivera.errors import Throttled, ThrottleScope
from sivera.queue import WorkQueue
from sivera.sync.plan import DueAccount
from sivera.values import PlatformName

GOOGLE, META = PlatformName.GOOGLE, PlatformName.META


class Run:
    """A queue of accounts, its breaker, and their clock. Google's accounts are 0, 1, ..., Meta's 100, 101, ..."""

    def __init__(self, google: int, meta: int, share: int = 10) -> None:
        self.seconds = 100.0
        self.breaker = Breaker(self.clock)
        ids = {GOOGLE: range(google), META: range(100, 100 + meta)}
        due = [DueAccount(id=id_, platform=platform, name="") for platform in ids for id_ in ids[platform]]
        self.queue = WorkQueue(due, self.breaker, share=share, monotonic=self.clock)

    def clock(self) -> float:
        return self.seconds

    def take(self, most: int) -> list[int]:
        return [account.id for account in self.queue.take(most)]


def test_platforms_take_turns() -> None:
    run = Run(3, 2)
    assert [run.take(4) for _ in range(3)] == [[0, 100, 1, 101], [2], []]
    assert run.queue.seconds_to_wait() == math.inf


def test_a_platform_that_takes_no_calls_is_passed_over_and_comes_back() -> None:
    run = Run(2, 2)
    for seconds in (30, 5):
        run.breaker.open(GOOGLE, seconds)
    assert (run.take(10), run.queue.seconds_to_wait()) == ([100, 101], 30), "the longer wait counts"
    run.seconds += 30
    assert (run.queue.seconds_to_wait(), run.take(10)) == (0, [0, 1])


def test_a_platform_has_only_its_share_out_while_others_wait() -> None:
    run = Run(6, 3, share=2)
    first = run.queue.take(10)
    assert [account.id for account in first] == [0, 100, 1, 101]
    assert run.take(10) == [], "both have their share out"
    run.queue.ended(first[1])
    assert run.take(10) == [102, 2, 3, 4, 5], "the last platform that waits may have all"


def test_an_account_that_is_put_back_blocks_nothing_and_then_comes_first() -> None:
    run = Run(4, 0)
    first, second = run.queue.take(2)
    run.queue.put_back(first, 5)
    run.queue.put_back(second)
    assert run.take(2) == [1, 2]
    assert (run.take(2), run.queue.seconds_to_wait()) == ([3], 5)
    run.seconds += 5
    assert (run.queue.seconds_to_wait(), run.take(3)) == (0, [0])


def test_a_run_that_is_over_takes_nothing_and_waits_for_nothing() -> None:
    run = Run(2, 0)
    run.breaker.stop_at(run.seconds + 10)
    assert len(run.take(1)) == 1
    run.seconds += 10
    assert run.take(1) == []
    assert run.queue.seconds_to_wait() == math.inf
    with pytest.raises(Throttled):
        run.breaker.check(GOOGLE)


def test_a_call_that_is_put_off_says_what_it_waits_for() -> None:
    breaker = (run := Run(0, 0)).breaker
    breaker.open(META, 30, ThrottleScope.ACCOUNT, Subject(account="1"), "allows no more calls for this account")
    for _ in range(OUTAGE_AFTER):
        breaker.record(META, answered=False)
    breaker.open(GOOGLE, 30)
    breaker.open(META, 300, ThrottleScope.ACCOUNT, Subject(account="2"), "allows no more calls for that account")
    for platform, account, why in (
        (META, "1", "it does not answer"),
        (META, "2", "it allows no more calls for that account"),
        (GOOGLE, "1", "it asked us to slow down"),
    ):
        with pytest.raises(Throttled, match=f"put off: {why}"):
            breaker.check(platform, Subject(account=account))
    breaker.stop_at(run.seconds)
    with pytest.raises(Throttled, match="put off: the run is over"):
        breaker.check(META)


def test_unanswered_calls_are_an_outage_only_in_a_row() -> None:
    run = Run(0, 0)
    for answered in (*[False] * (OUTAGE_AFTER - 1), True, *[False] * (OUTAGE_AFTER - 1)):
        run.breaker.record(META, answered=answered)
    assert run.breaker.seconds_left(META) == 0
    run.breaker.record(META, answered=False)
    assert (run.breaker.seconds_left(META), run.breaker.seconds_left(GOOGLE)) == (OUTAGE_SECONDS, 0)
    run.seconds += OUTAGE_SECONDS
    run.breaker.record(META, answered=False)
    assert run.breaker.seconds_left(META) == OUTAGE_SECONDS, "one more failure is enough to wait again"
