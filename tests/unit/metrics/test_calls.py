"""Counting calls to platforms."""

import httpx
import pytest

from sivera.breaker import Breaker, Calls
from sivera.errors import PlatformError, Throttled
from sivera.platforms.calling import Caller, Reply
from sivera.values import PlatformName

META = PlatformName.META


def error_of(reply: Reply) -> PlatformError | None:
    return Throttled(META, "slow down", None, 60.0) if reply.status == 429 else None


def test_calls_logins_and_throttles_are_counted_and_postponed_calls_are_not() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/silent":
            raise httpx.ReadTimeout("silence")
        return httpx.Response(429 if request.url.path == "/busy" else 200, json={})

    breaker = Breaker()
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        api = Caller(META, http, error_of, breaker)
        login = Caller(META, http, error_of, breaker, is_login=True)
        api.send(http.build_request("GET", "http://meta.test/a"))
        before = breaker.calls()[META]
        with pytest.raises(PlatformError):
            api.send(http.build_request("GET", "http://meta.test/silent"))
        login.send(http.build_request("GET", "http://meta.test/b"))
        api.send(http.build_request("GET", "http://meta.test/c"))
        for _ in range(2):  # the second is postponed, because the breaker is open
            with pytest.raises(Throttled):
                api.send(http.build_request("GET", "http://meta.test/busy"))
    breaker.note_usage(META, 60.0)
    assert breaker.calls()[META] == Calls(api=4, login=1, throttled=1, used_percent=60.0)
    assert breaker.calls()[META].since(before) == Calls(api=3, login=1, throttled=1, used_percent=60.0)
    assert breaker.calls()[PlatformName.GOOGLE] == Calls()
