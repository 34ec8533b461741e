"""The block that holds our application's keys."""

import pytest
from pydantic import SecretStr, ValidationError

from blocks.platform_app import PlatformApp
from blocks.server import explain
from sivera.platforms.base import AppCredentials


def app(**changes: object) -> PlatformApp:
    return PlatformApp(**{"client_id": "id", "client_secret": "s3cret-value", **changes})


def test_takes_a_base_url() -> None:
    for url in (
        "https://ads.example.com:8443/google",
        "http://127.0.0.1:8080",
        "http://[::1]/meta",
        "http://localhost",
    ):
        assert app(base_url=url).base_url == url
    assert app(base_url="").base_url is None, "the empty field of a form means the live platform"


@pytest.mark.parametrize(
    ("base_url", "remedy"),
    [
        ("ads.example.com", "write it like https://host"),
        ("https://", "write it like https://host"),
        ("http://10.0.0.1:8080", "use https"),
        ("http://localhost.example.com", "use https"),
        ("https://ads.example.com/", "leave out the slash at its end"),
        ("https://user:hidden@ads.example.com", "leave out user, password"),
        ("https://ads.example.com/x?key=hidden", "leave out user, password, query"),
    ],
)
def test_refuses_a_base_url_and_says_how_to_fix_it(base_url: str, remedy: str) -> None:
    with pytest.raises(ValidationError) as caught:
        app(base_url=base_url)
    assert explain(caught.value).startswith(f"base_url: {remedy}")
    assert "hidden" not in str(caught.value)


def test_holds_the_credentials_that_it_is_made_of() -> None:
    credentials = AppCredentials(
        client_id="id",
        client_secret=SecretStr("s3cret-value"),
        base_url="http://127.0.0.1:1",
        developer_token=SecretStr("d"),
    )
    assert dict(PlatformApp.of(credentials)) == dict(credentials)
