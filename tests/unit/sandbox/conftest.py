"""A user of one platform of the sandbox, with valid requests that tests change."""

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
    """A valid request. Its path may contain the account's `{id}` and `{region}`.

    A GET sends the values in its query, those that are not text as JSON; a POST sends them in its body.
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
        """Send a request with changes: `/id` belongs to the path, `Accept` to the headers, other names are values."""
        method, path, values, media = self.requests[name]
        parts: dict[str, Any] = {"/id": self.account.id, "/region": self.account.region}
        parts |= {"Accept": media, "Content-Type": media, **(values or {}), **(changes or {})}
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
    """Return a function that makes a user; the options are those of `World.add_grant`."""
    with httpx.Client(timeout=PATIENCE_SECONDS) as http:

        def make(platform: PlatformName, header: str = "Authorization: Bearer ", **options: Any) -> User:
            grant = world.add_grant(platform, **options)
            token = world.issue_access(grant)[0]
            name, _, scheme = header.partition(": ")
            http.base_url = f"{sandbox}/{platform}/"
            http.headers[name] = f"{scheme}{token}"
            return User(world, grant, token, http, {})

        yield make
