"""How the clients treat failures, against the sandbox over real HTTP."""

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.faults import Fault, FaultKind
from sivera.breaker import OUTAGE_AFTER
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
)
from sivera.platforms.calling import Caller, new_http_client
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS, SwappableApp
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import ACCOUNT, AMAZON, GOOGLE, META, TIKTOK, Canned, Rig, refused, static

FAULTS = [
    (Fault(FaultKind.THROTTLE, seconds=17), Throttled),
    (Fault(FaultKind.STATUS, status=503), Unavailable),
    (Fault(FaultKind.HTML, status=502), Unavailable),
    (Fault(FaultKind.HTML, status=408), Unavailable),
    (Fault(FaultKind.HTML, status=403), InvalidRequest),
    (Fault(FaultKind.HTML, status=404), Misconfigured),
    (Fault(FaultKind.HTML, status=200), InvalidReply),
    (Fault(FaultKind.TRUNCATED), InvalidReply),
    (Fault(FaultKind.BODY, status=200, value={"unexpected": [1]}), InvalidReply),
    (Fault(FaultKind.DISCONNECT), Unavailable),
    (Fault(FaultKind.HANG), TimedOut),
]
READ_SECONDS = 0.05
"""How long a client waits for the answer to a call that hangs."""


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[f"{fault.kind.value} {fault.status}" for fault, _ in FAULTS])
def test_each_fault_raises_its_error(new_rig: NewRig, fault: Fault, kind: type[PlatformError]) -> None:
    rig = new_rig(TIKTOK)
    rig.world.faults.add(fault)
    reading = READ_SECONDS if fault.kind is FaultKind.HANG else PATIENCE_SECONDS
    with httpx.Client(timeout=httpx.Timeout(PATIENCE_SECONDS, read=reading)) as http, refused(kind):
        rig.reopen(http)
        rig.campaigns()


class Endless(httpx.SyncByteStream):
    """An answer that never ends."""

    def __iter__(self) -> Iterator[bytes]:
        return itertools.repeat(b" ")


@pytest.mark.parametrize(
    ("limit", "kind"), [({"longest_seconds": 0.0}, TimedOut), ({"max_bytes": 1_000}, InvalidReply)]
)
def test_an_endless_answer_is_cut_off(limit: dict[str, Any], kind: type[PlatformError]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    with httpx.Client(transport=transport) as http, refused(kind):
        Caller(META, http, lambda _: None, **limit).send(httpx.Request("GET", "http://platform.test"))


def test_an_answer_that_cannot_be_decompressed_is_invalid() -> None:
    headers, body = {"Content-Encoding": "gzip"}, httpx.ByteStream(b"not gzip")
    with refused(InvalidReply, "decompressed"):
        Canned(META, lambda _: httpx.Response(200, headers=headers, stream=body)).campaigns()


def test_a_cookie_of_one_team_does_not_go_with_the_calls_of_another(served: tuple[str, SwappableApp]) -> None:
    sent: list[str | None] = []

    async def answer(request: Request) -> Response:
        sent.append(request.headers.get("cookie"))
        return Response("{}", headers={"Set-Cookie": "session=northwind"})

    url, application = served
    application.app = Starlette(routes=[Route("/", answer)])
    with new_http_client() as http:
        for _ in range(2):
            Caller(META, http, lambda _: None).send(http.build_request("GET", url))
    assert sent == [None, None]


@pytest.mark.parametrize("fault", [Fault(FaultKind.THROTTLE, seconds=17), Fault(FaultKind.HTML, status=502)])
def test_each_question_raises_the_error_of_a_fault(rig: Rig, fault: Fault) -> None:
    rig.world.faults.add(fault)
    for ask in rig.questions().values():
        rig.reopen()  # the breaker may be open
        with refused(Throttled if fault.kind is FaultKind.THROTTLE else Unavailable):
            ask()


@pytest.mark.parametrize(("platform", "seconds"), [(GOOGLE, 300), (META, 600), (TIKTOK, 60)])
def test_a_throttle_of_the_platform_stops_the_calls_of_every_account(
    new_rig: NewRig, platform: PlatformName, seconds: int
) -> None:
    rig = new_rig(platform)
    rig.fault(FaultKind.THROTTLE, seconds=300, times=1)
    with refused(Throttled) as caught:
        rig.listed()
    assert (caught.value.scope, caught.value.retry_after) == (ThrottleScope.PLATFORM, seconds)
    assert rig.breaker.seconds_left(platform) == seconds
    with refused(Throttled, "put off: it allows"):
        rig.accounts()
    assert (rig.calls(), rig.breaker.calls()[platform].throttled) == (1, 1)


def test_a_throttle_of_a_user_stops_only_the_calls_of_that_user() -> None:
    canned = Canned(META, {"error": {"code": 17, "message": "x"}}, {"data": []})
    other = ACCOUNT.model_copy(update={"external_id": "2"})
    for account in (ACCOUNT, other):
        with refused(Throttled) as caught:
            canned.campaigns(account=account)
        assert caught.value.scope is ThrottleScope.USER
    canned.tokens = static(META, "of another user")
    assert canned.campaigns(account=other).complete
    assert len(canned.requests) == 2


def test_a_busy_app_pauses_once_the_accounts_are_listed(new_rig: NewRig) -> None:
    rig = new_rig(META)
    rig.world.app_usage = 95
    assert rig.accounts().accounts
    assert rig.breaker.seconds_left(META) == 600


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON], ids=str)
def test_a_throttled_renewal_only_puts_off_renewals(new_rig: NewRig, platform: PlatformName) -> None:
    rig = new_rig(platform)
    rig.fault(FaultKind.THROTTLE, "token", seconds=300)
    for _ in range(2):
        with refused(Throttled) as caught:
            rig.renew()
        assert caught.value.scope is ThrottleScope.ENDPOINT
    assert rig.calls("token") == 1
    assert rig.listed()


def test_a_refusal_between_failures_means_that_there_is_no_outage(new_rig: NewRig) -> None:
    rig = new_rig(META)
    rig.site.closed = True
    rig.fault(FaultKind.STATUS, times=OUTAGE_AFTER - 1, status=503)
    for _ in range(OUTAGE_AFTER - 1):
        with refused(Unavailable):
            rig.listings()
    with refused(AccountInaccessible):
        rig.listings()
    rig.fault(FaultKind.STATUS, status=503)
    with refused(Unavailable):
        rig.listings()
    assert rig.breaker.silent() == frozenset()
