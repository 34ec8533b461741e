"""Each platform of the sandbox answers any request in its own error format."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sandbox.app import BACKENDS
from sandbox.world import World
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS

GOOGLE, META, AMAZON, TIKTOK = PlatformName


@pytest.fixture
def http(sandbox: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox, timeout=PATIENCE_SECONDS) as client:
        yield client


OWN_WAY: dict[PlatformName, Callable[[Any], bool]] = {
    GOOGLE: lambda body: set((body[0] if isinstance(body, list) else body)["error"]) >= {"code", "message", "status"},
    META: lambda body: set(body["error"]) >= {"message", "type", "code", "fbtrace_id"},
    AMAZON: lambda body: bool(body.keys() & {"code", "message", "error"}),
    TIKTOK: lambda body: set(body) == {"code", "message", "request_id", "data"} and body["code"] != 0,
}


@pytest.mark.parametrize("platform", PlatformName)
def test_unknown_paths_and_methods_get_an_error_in_the_platforms_format(
    http: httpx.Client, world: World, platform: PlatformName
) -> None:
    names = ("region", "account", "customer_id", "report")
    known = [path.format_map(dict.fromkeys(names, "1")) for _, path, *_ in BACKENDS[platform](world).routes]
    for method, path in [("GET", "/no/such/path"), *((method, path) for path in known for method in ("PUT", "DELETE"))]:
        answer = http.request(method, f"/{platform}{path}")
        assert 400 <= answer.status_code < 500
        assert OWN_WAY[platform](answer.json()), (method, path, answer.text)


@pytest.mark.parametrize("platform", PlatformName)
def test_an_exception_in_a_handler_becomes_a_500_in_the_platforms_format(
    http: httpx.Client, world: World, platform: PlatformName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "faults", None)
    answer = http.get(f"/{platform}/anything")
    assert answer.status_code == 500
    assert OWN_WAY[platform](answer.json())
