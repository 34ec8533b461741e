"""The control endpoint over real HTTP: the effect of each action on a platform or on the world."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox.world import World
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS

META = PlatformName.META
Send = Callable[..., httpx.Response]


@pytest.fixture
def control(sandbox: str) -> Send:
    """Return a function that sends an action and returns the answer."""

    def send(action: str, **arguments: Any) -> httpx.Response:
        return httpx.post(f"{sandbox}/control/{action}", json=arguments, timeout=PATIENCE_SECONDS)

    return send


def test_each_action_has_its_effect(world: World, sandbox: str, control: Send) -> None:
    def status() -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{sandbox}/meta/v26.0/me/adaccounts", headers=headers, timeout=PATIENCE_SECONDS).status_code

    for platform in PlatformName:
        made = control("add_grant", platform=platform, accounts=2, campaigns=3).raise_for_status().json()
        grant = world.grants[made["grant_id"]]
        assert [len(account.campaigns) for account in world.accounts_of(grant)] == [3, 3]
        assert world.grant_of_access(platform, made["access_token"]) is grant
    token = world.issue_access(next(grant for grant in world.grants.values() if grant.platform is META))[0]
    control("add_fault", kind="status", platform="meta", status=502).raise_for_status()
    control("set_latency", seconds=0.01).raise_for_status()
    assert (status(), world.faults.latency_seconds) == (502, 0.01)
    control("clear_faults").raise_for_status()
    assert (status(), world.faults.latency_seconds) == (200, 0)
    assert control("calls").json() == {"meta.accounts": 2}
    world.reports["what was asked for"] = "its id"
    control("forget_reports").raise_for_status()
    assert not world.reports
    control("tell_stories").raise_for_status()
    assert any(grant.data_access_ends for grant in world.grants.values())


@pytest.mark.parametrize(
    ("action", "arguments", "status"),
    [
        ("explode", {}, 404),
        ("add_grant", {}, 422),
        ("add_grant", {"platform": "meta", "colour": "red"}, 422),
        ("add_grant", {"platform": "meta", "rotates": True}, 422),
        ("add_fault", {"kind": "explosion"}, 422),
        ("add_fault", {"kind": "status", "colour": "red"}, 422),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(
    world: World, control: Send, action: str, arguments: dict[str, Any], status: int
) -> None:
    answer = control(action, **arguments)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert (world.grants, world.faults.rules) == ({}, [])
