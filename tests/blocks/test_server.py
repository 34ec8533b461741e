"""What is missing or unreachable on the Prefect server, in a sentence."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from blocks.database import load_database_url
from blocks.names import TOKEN_KEY
from blocks.platform_app import PlatformApp, load_platform_app
from blocks.server import connect
from blocks.token_key import TokenKey, load_keyring
from sivera.errors import ConfigurationError
from sivera.values import PlatformName
from tests.prefect_server import PrefectServer, free_port

pytestmark = pytest.mark.usefixtures("clean_prefect")


@contextmanager
def refused() -> Iterator[list[str]]:
    """Expect a ConfigurationError within ten seconds; its sentence is put into the list."""
    sentence: list[str] = []
    started = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        yield sentence
    assert time.monotonic() - started < 20  # ten, and patience for a busy machine
    sentence.append(str(caught.value))


def test_a_missing_block_names_the_command_that_saves_it() -> None:
    with refused() as sentence:
        load_platform_app(PlatformName.GOOGLE)
    assert sentence == ["the block platform-app/google is missing: save it with `sivera apps set google`"]
    with refused() as sentence:
        load_database_url()
    assert sentence == [
        "the block sqlalchemy-connector/sivera-db is missing: set SIVERA_DATABASE_URL and run `sivera deploy`"
    ]
    with refused() as sentence:
        load_keyring()
    assert sentence[0].startswith("the block token-key/token-key is missing: make it with `sivera deploy`")


def test_a_saved_block_that_does_not_fit_names_the_field_and_shows_no_value() -> None:
    PlatformApp(client_id="id", client_secret="s3cret-value").save("meta")
    with connect() as client:
        document = client.read_block_document_by_name("meta", "platform-app")
        client.request(
            "PATCH",
            "/block_documents/{id}",
            path_params={"id": document.id},
            json={"data": {"client_id": "id", "base_url": "http://ads.example.com", "client_secret": "s3cret-value"}},
        )
    with refused() as sentence:
        load_platform_app(PlatformName.META)
    assert sentence[0].startswith("the block platform-app/meta does not fit (base_url: use https")
    assert sentence[0].endswith("save it with `sivera apps set meta`")
    assert "s3cret-value" not in sentence[0]


def test_a_saved_block_loads() -> None:
    PlatformApp(client_id="id", client_secret="s3cret-value").save("tiktok")
    TokenKey.generate().save(TOKEN_KEY)
    assert load_platform_app(PlatformName.TIKTOK).client_secret.get_secret_value() == "s3cret-value"
    assert load_keyring().current


def test_a_server_that_is_not_there_is_named_without_credentials() -> None:
    port = free_port()
    with temporary_settings({PREFECT_API_URL: f"http://ana:hidden@127.0.0.1:{port}/api"}), refused() as sentence:
        load_keyring()
    assert sentence[0] == (
        f"the Prefect server at http://127.0.0.1:{port}/api does not answer (ConnectError): "
        "start it with `sivera up`, or set PREFECT_API_URL to that of a server that runs"
    )


def test_a_server_that_never_answers_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}), refused() as sentence:
            load_keyring()
    assert sentence[0].startswith(f"the Prefect server at {url} does not answer (ReadTimeout)")


def test_a_wrong_password_is_said(prefect_server: PrefectServer) -> None:
    with temporary_settings({PREFECT_API_AUTH_STRING: "admin:hidden"}), refused() as sentence:
        load_keyring()
    assert sentence[0] == (
        f"the Prefect server at {prefect_server.api_url} refuses us (HTTP 401): "
        "set PREFECT_API_AUTH_STRING to the user:password that it was started with"
    )


def test_an_address_that_is_not_the_api_is_said(sandbox: str) -> None:
    with temporary_settings({PREFECT_API_URL: sandbox}), refused() as sentence:
        load_keyring()
    assert sentence == [f"what answers at {sandbox} is not Prefect's API: PREFECT_API_URL ends with /api"]


def test_no_address_is_said() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}), refused() as sentence:
        load_keyring()
    assert sentence[0].startswith("PREFECT_API_URL is not set: start a server with `sivera up`")
