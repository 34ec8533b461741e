"""The control endpoint over real HTTP: each action, seen through its effect on a platform or on the world."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sandbox.app import Control
from sandbox.faults import Fault, FaultKind
from sandbox.world import Account, Grant, World
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS

META, GOOGLE = PlatformName.META, PlatformName.GOOGLE
"""The first campaign of Meta's first account."""


@dataclass
class Desk:
    """The control endpoint, and Meta as the one grant of the world sees it."""

    world: World
    http: httpx.Client
    grant: Grant
    account: Account
    token: str

    def control(self, action: str, **arguments: Any) -> httpx.Response:
        return self.http.post(f"/control/{action}", json=arguments)

    def listing(self) -> httpx.Response:
        url = f"/meta/v26.0/act_{self.account.id}/campaigns"
        return self.http.get(url, headers={"Authorization": f"Bearer {self.token}"})

    def status(self) -> int:
        return self.listing().status_code


@pytest.fixture
def desk(world: World, sandbox: str) -> Iterator[Desk]:
    """A grant of Meta with one account of one campaign."""
    grant = world.add_grant(META, campaigns=1)
    with httpx.Client(base_url=sandbox, timeout=PATIENCE_SECONDS) as http:
        yield Desk(world, http, grant, world.accounts_of(grant)[0], world.issue_access(grant)[0])


@dataclass
class Case:
    """An action's arguments, and what is seen before and after it."""

    arguments: Callable[[Desk], dict[str, Any]]
    look: Callable[[Desk], object]
    before: object
    after: object
    arrange: Callable[[Desk], None] = lambda _: None


def _add_grants(desk: Desk) -> None:
    for platform in PlatformName:
        desk.world.add_grant(platform)


CASES = {
    "add_grant": Case(
        lambda _: {"platform": "google", "accounts": 2, "campaigns": 3},
        lambda desk: [len(account.campaigns) for account in desk.world.accounts[GOOGLE].values()],
        [],
        [3, 3],
    ),
    "tell_stories": Case(
        lambda _: {},
        lambda desk: any(grant.data_access_ends for grant in desk.world.grants.values()),
        False,
        True,
        _add_grants,
    ),
    "add_fault": Case(lambda _: {"kind": "status", "platform": "meta", "status": 502}, Desk.status, 200, 502),
    "set_latency": Case(lambda _: {"seconds": 0.01}, lambda desk: desk.world.faults.latency_seconds, 0, 0.01),
    "clear_faults": Case(
        lambda _: {}, Desk.status, 503, 200, lambda desk: desk.world.faults.add(Fault(FaultKind.STATUS, META))
    ),
}


@pytest.mark.parametrize("action", CASES)
def test_an_action_has_its_effect(desk: Desk, action: str) -> None:
    case = CASES[action]
    case.arrange(desk)
    assert case.look(desk) == case.before
    answer = desk.control(action, **case.arguments(desk))
    assert answer.status_code == 200, answer.text
    assert case.look(desk) == case.after


def test_every_action_is_tested(world: World) -> None:
    assert set(Control(world).actions) == {*CASES, "calls"}


def test_calls_are_counted_by_operation(desk: Desk) -> None:
    assert desk.control("calls").json() == {}
    desk.listing()
    desk.listing()
    assert desk.control("calls").json() == {"meta.campaigns": 2}


def test_latency_delays_an_answer(desk: Desk) -> None:
    right = desk.listing()
    desk.world.faults.latency_seconds = 0.05
    slow = desk.listing()
    assert slow.json() == right.json()
    # The server's timers count in whole milliseconds.
    assert slow.elapsed >= timedelta(seconds=0.049)


@pytest.mark.parametrize(
    ("action", "arguments", "status"),
    [
        ("explode", {}, 404),
        ("add_grant", {}, 422),
        ("add_grant", {"platform": "myspace"}, 422),
        ("add_grant", {"platform": "meta", "colour": "red"}, 422),
        ("add_grant", {"platform": "meta", "rotates": True}, 422),
        ("add_fault", {"kind": "explosion"}, 422),
        ("add_fault", {"kind": "status", "colour": "red"}, 422),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(
    desk: Desk, action: str, arguments: dict[str, Any], status: int
) -> None:
    answer = desk.control(action, **arguments)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert (list(desk.world.grants), list(desk.world.accounts[META])) == ([desk.grant.id], [desk.account.id])
    assert not desk.world.faults.rules


@pytest.mark.parametrize("body", [b"{", b"[1]", b"7"])
def test_a_body_that_is_not_a_json_object_is_refused(desk: Desk, body: bytes) -> None:
    assert desk.http.post("/control/calls", content=body).status_code == 422
