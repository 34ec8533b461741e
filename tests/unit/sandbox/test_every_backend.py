"""What all four platforms of the sandbox do alike: answer in their own way whatever is asked, and send odd rows."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sandbox.app import BACKENDS
from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS

GOOGLE, META, AMAZON, TIKTOK = PlatformName


@pytest.fixture
def http(sandbox: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox, timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
def listing(world: World, http: httpx.Client) -> Callable[[], Any]:
    """Return a reader of the campaigns of a Meta account with three campaigns."""
    grant = world.add_grant(META, campaigns=3)
    url, token = f"/meta/v26.0/act_{grant.account_ids[0]}/campaigns", world.issue_access(grant)[0]
    return lambda: http.get(url, params={"fields": "name", "access_token": token}).json()


# -- unknown things and failures --------------------------------------------------------------------------------------

OWN_WAY: dict[PlatformName, Callable[[Any], bool]] = {
    GOOGLE: lambda body: set((body[0] if isinstance(body, list) else body)["error"]) >= {"code", "message", "status"},
    META: lambda body: set(body["error"]) >= {"message", "type", "code", "fbtrace_id"},
    AMAZON: lambda body: bool(body.keys() & {"code", "message", "error"}),
    TIKTOK: lambda body: set(body) == {"code", "message", "request_id", "data"} and body["code"] != 0,
}


@pytest.mark.parametrize("platform", PlatformName)
def test_unknown_paths_and_methods_are_answered_in_the_platforms_own_way(
    http: httpx.Client, world: World, platform: PlatformName
) -> None:
    names = ("region", "account", "customer_id", "report")
    known = [path.format_map(dict.fromkeys(names, "1")) for _, path, *_ in BACKENDS[platform](world).routes]
    for method, path in [("GET", "/no/such/path"), *((method, path) for path in known for method in ("PUT", "DELETE"))]:
        answer = http.request(method, f"/{platform}{path}")
        assert 400 <= answer.status_code < 500
        assert OWN_WAY[platform](answer.json()), (method, path, answer.text)


@pytest.mark.parametrize("platform", PlatformName)
def test_an_exception_in_a_handler_is_the_platforms_own_500(
    http: httpx.Client, world: World, platform: PlatformName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "faults", None)
    answer = http.get(f"/{platform}/anything")
    assert answer.status_code == 500
    assert OWN_WAY[platform](answer.json())


# -- odd rows ---------------------------------------------------------------------------------------------------------


def odd(**changes: Any) -> Fault:
    return Fault(FaultKind.ODD_ROW, META, "campaigns", **changes)


def test_one_row_is_odd_and_its_neighbours_are_not(world: World, listing: Callable[[], Any]) -> None:
    right = listing()["data"]
    world.faults.add(odd(match=right[1]["id"], field="name", value="\ud83d", times=2))
    world.faults.add(odd(match=right[2]["id"], field="name"))
    for _ in range(2):
        assert listing()["data"] == [right[0], right[1] | {"name": "\ud83d"}, {"id": right[2]["id"]}]
    assert listing()["data"] == [*right[:2], {"id": right[2]["id"]}]


def test_every_row_or_whole_rows_can_be_odd(world: World, listing: Callable[[], Any]) -> None:
    right = listing()["data"]
    world.faults.add(odd(field="name", value=None))
    assert {row["name"] for row in listing()["data"]} == {None}
    world.faults.clear()
    world.faults.add(odd(match=right[0]["id"]))
    world.faults.add(odd(match=right[1]["id"], value=7))
    assert listing()["data"] == [7, right[2]]
