"""A user of one platform of the sandbox, with requests that are accepted as they are and that tests change."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import pytest

from sandbox.accounts import Account
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
Changes = Mapping[str, Any]


class Request(NamedTuple):
    """A request that is accepted. Its path may name `{id}` and `{region}` of the account.

    A GET sends the values in its query, and what is not text as JSON; a POST sends them in its body.
    """

    method: str
    path: str
    values: Changes | None = None
    media: str = JSON


@dataclass
class User:
    """The user of a grant."""

    world: World
    grant: Grant
    token: str
    http: httpx.Client
    requests: Mapping[str, Request]

    @property
    def account(self) -> Account:
        """The first account of the grant."""
        return self.world.accounts_of(self.grant)[0]

    def ask(self, name: str, changes: Changes | None = None) -> httpx.Response:
        """Send a request with changes: `/id` is in the path, `Accept` a header, any other name a value."""
        method, path, values, media = self.requests[name]
        parts: dict[str, Any] = {
            "/id": self.account.id,
            "/region": self.account.region,
            "Accept": media,
            "Content-Type": media,
        }
        parts |= {**(values or {}), **(changes or {})}
        path = path.format_map({key[1:]: value for key, value in parts.items() if key[0] == "/"})
        headers = {key: value for key, value in parts.items() if key[0].isupper()}
        sent = {key: value for key, value in parts.items() if key[0].islower()}
        if method == "GET":
            sent = {key: value if isinstance(value, str) else json.dumps(value) for key, value in sent.items()}
            return self.http.get(path, params=sent, headers=headers)
        content = urlencode(sent) if headers["Content-Type"] == FORM else json.dumps(sent)
        return self.http.request(method, path, content=content, headers=headers)


NewUser = Callable[..., User]


@pytest.fixture
def new_user(world: World, sandbox: str) -> Iterator[NewUser]:
    """Return a maker of users: a platform, what is sent as the token, and what `World.add_grant` takes."""
    clients: list[httpx.Client] = []

    def make(platform: PlatformName, header: str = "Authorization: Bearer ", **options: Any) -> User:
        grant = world.add_grant(platform, **options)
        token = world.issue_access(grant)[0]
        name, _, scheme = header.partition(": ")
        clients.append(
            httpx.Client(
                base_url=f"{sandbox}/{platform}/", headers={name: f"{scheme}{token}"}, timeout=PATIENCE_SECONDS
            )
        )
        return User(world, grant, token, clients[-1], {})

    yield make
    for client in clients:
        client.close()
