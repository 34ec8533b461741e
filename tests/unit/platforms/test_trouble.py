"""What the clients make of trouble, against the sandbox over real HTTP."""

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.faults import Fault, FaultKind
from sivera.breaker import OUTAGE_AFTER, Breaker
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    Misconfigured,
    PlatformError,
    Throttled,
    ThrottleScope,
    TimedOut,
    Unavailable,
    Unreached,
)
from sivera.platforms import open_client
from sivera.platforms.calling import Caller
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import AMAZON, GOOGLE, META, TIKTOK, Desk, Network, app_at, client_on, questions, refused

FAULTS = [
    (Fault(FaultKind.THROTTLE, seconds=17), Throttled),
    (Fault(FaultKind.STATUS, status=503), Unavailable),
    (Fault(FaultKind.HTML, status=502), Unavailable),
    (Fault(FaultKind.HTML, status=403), InvalidRequest),
    (Fault(FaultKind.HTML, status=404), Misconfigured),
    (Fault(FaultKind.HTML, status=200), InvalidReply),
    (Fault(FaultKind.TRUNCATED), InvalidReply),
    (Fault(FaultKind.BODY, status=200, value={"unexpected": [1]}), InvalidReply),
    (Fault(FaultKind.DISCONNECT), Unavailable),
    (Fault(FaultKind.HANG), TimedOut),
]
READ_SECONDS = 0.05
"""How long a client waits in vain for the answer to a call that hangs."""


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[f"{fault.kind.value} {fault.status}" for fault, _ in FAULTS])
def test_each_fault_is_the_right_error(new_desk: NewDesk, fault: Fault, kind: type[PlatformError]) -> None:
    desk = new_desk(TIKTOK)
    desk.world.faults.add(fault)
    reading = READ_SECONDS if fault.kind is FaultKind.HANG else PATIENCE_SECONDS
    with httpx.Client(timeout=httpx.Timeout(PATIENCE_SECONDS, read=reading)) as http, refused(kind):
        open_client(TIKTOK, app_at(desk.url), http=http).list_campaigns(desk.tokens, desk.account)


class Endless(httpx.SyncByteStream):
    """An answer that trickles in for ever."""

    def __iter__(self) -> Iterator[bytes]:
        return itertools.repeat(b" ")


@pytest.mark.parametrize(
    ("limit", "kind"), [({"longest_seconds": 0.0}, TimedOut), ({"max_bytes": 1_000}, InvalidReply)]
)
def test_an_answer_without_end_is_ended(limit: dict[str, Any], kind: type[PlatformError]) -> None:
    with httpx.Client(transport=Network(httpx.Response(200, stream=Endless()))) as http, refused(kind):
        Caller(META, http, lambda _: None, **limit).send(httpx.Request("GET", "http://platform.test"))


@pytest.mark.parametrize("fault", [Fault(FaultKind.THROTTLE, seconds=17), Fault(FaultKind.HTML, status=502)])
def test_each_question_tells_of_a_fault(desk: Desk, fault: Fault) -> None:
    desk.world.faults.add(fault)
    for ask in questions(desk.platform, desk.tokens, desk.account, desk.tokens.tokens).values():
        # A breaker for each, so that no call is postponed because of the one before.
        client = desk.new_client(breaker=Breaker())
        with refused(Throttled if fault.kind is FaultKind.THROTTLE else Unavailable):
            ask(client)
        client.close()


@pytest.mark.parametrize(("platform", "seconds"), [(GOOGLE, 300), (META, 600), (TIKTOK, 60)])
def test_a_throttled_platform_is_left_alone_by_every_account(
    new_desk: NewDesk, platform: PlatformName, seconds: int
) -> None:
    desk = new_desk(platform)
    desk.world.faults.add(Fault(FaultKind.THROTTLE, platform, seconds=300, times=1))
    with refused(Throttled) as caught:
        desk.listed()
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.PLATFORM, seconds)
    assert desk.breaker.seconds_left(platform) == seconds
    with refused(Throttled, "put off: it allows"):
        desk.client.list_accounts(desk.tokens)
    assert desk.calls() == 1


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON], ids=str)
def test_a_throttled_renewal_puts_off_no_call_but_renewals(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform)
    desk.world.faults.add(Fault(FaultKind.THROTTLE, platform, "token", seconds=300))
    for _ in range(2):
        with refused(Throttled) as caught:
            desk.client.renew(desk.tokens.tokens)
        assert caught.value.scope is ThrottleScope.ENDPOINT
    assert desk.calls("token") == 1
    assert desk.listed()


def test_a_refusal_between_failures_is_an_answer_and_so_no_outage(new_desk: NewDesk) -> None:
    desk = new_desk(META)
    desk.site.closed = True
    desk.world.faults.add(Fault(FaultKind.STATUS, desk.platform, times=OUTAGE_AFTER - 1, status=503))
    for _ in range(OUTAGE_AFTER - 1):
        with refused(Unavailable):
            desk.listings()
    with refused(AccountInaccessible):
        desk.listings()
    desk.world.faults.add(Fault(FaultKind.STATUS, desk.platform, status=503))
    with refused(Unavailable):
        desk.listings()
    assert desk.breaker.silent() == frozenset()


LIVE_HOSTS = {
    GOOGLE: {"googleads.googleapis.com", "oauth2.googleapis.com"},
    META: {"graph.facebook.com"},
    AMAZON: {
        "advertising-api.amazon.com",
        "advertising-api-eu.amazon.com",
        "advertising-api-fe.amazon.com",
        "api.amazon.com",
    },
    TIKTOK: {"business-api.tiktok.com"},
}


@pytest.mark.parametrize("platform", list(PlatformName), ids=str)
def test_without_a_base_url_the_live_platform_is_called_and_unreached_it_is_unavailable(platform: PlatformName) -> None:
    network = Network(httpx.ConnectError("to https://platform.test/?secret=1 failed"))
    client = client_on(platform, network, app_at(None))
    for ask in questions(platform).values():
        with refused(Unreached):
            ask(client)
    assert {request.url.host for request in network.requests} == LIVE_HOSTS[platform]
    assert {request.url.scheme for request in network.requests} == {"https"}
