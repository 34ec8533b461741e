"""The sentences about blocks and Prefect servers that are missing, invalid or unreachable."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from blocks.database import load_database_url
from blocks.platform_app import PlatformApp, load_platform_app
from blocks.server import explain_failures
from blocks.token_key import load_keyring
from sivera.errors import ConfigurationError
from sivera.values import PlatformName
from tests.prefect_server import PrefectServer, free_port, rewrite_block

pytestmark = pytest.mark.usefixtures("clean_prefect")


@contextmanager
def refused(sentence: str) -> Iterator[None]:
    """Expect a ConfigurationError that starts with this sentence and shows no secret."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(sentence)}") as caught:
        yield
    assert not re.search("hidden|s3cret-value", str(caught.value))


def test_a_missing_block_names_the_command_that_saves_it() -> None:
    with refused("the block platform-app/google is missing: save it with `sivera apps set google`"):
        load_platform_app(PlatformName.GOOGLE)
    with refused("the block sqlalchemy-connector/sivera-db is missing: set SIVERA_DATABASE_URL and run"):
        load_database_url()
    with refused("the block token-key/token-key is missing: make it with `sivera deploy`"):
        load_keyring()


def test_an_invalid_saved_block_names_the_field_and_the_command() -> None:
    PlatformApp(client_id="id", client_secret="s3cret-value").save("meta")
    assert load_platform_app(PlatformName.META).client_secret.get_secret_value() == "s3cret-value"
    rewrite_block(
        "platform-app", "meta", client_id="id", base_url="http://ads.example.com", client_secret="s3cret-value"
    )
    remedy = "use https: tokens are sent over http to this machine only, such as http://127.0.0.1:8080): save it with"
    with refused(f"the block platform-app/meta does not fit (base_url: {remedy} `sivera apps set meta`"):
        load_platform_app(PlatformName.META)


def test_a_server_that_does_not_answer_is_named_without_credentials() -> None:
    address = f"127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: f"http://ana:hidden@{address}"}):
        with refused(f"the Prefect server at http://{address} does not answer (ConnectError): start it with"):
            load_keyring()
        with refused(f"the Prefect server at http://{address} does not answer (ReadTimeout)"), explain_failures():
            raise httpx.ReadTimeout("too late")


def test_a_server_that_refuses_us_fails_or_is_another_one_is_named(prefect_server: PrefectServer, sandbox: str) -> None:
    url = prefect_server.api_url
    password = temporary_settings({PREFECT_API_AUTH_STRING: "admin:hidden"})
    with password, refused(f"the Prefect server at {url} refuses us (HTTP 401): set PREFECT_API_AUTH"):
        load_keyring()
    other = temporary_settings({PREFECT_API_URL: sandbox})
    with other, refused(f"what answers at {sandbox} is not Prefect's API: PREFECT_API_URL ends with /api"):
        load_keyring()
    request = httpx.Request("GET", url)
    failed = f"the Prefect server at {url} failed (HTTP 500): start it with the PREFECT_SERVER_ENCR"
    with refused(failed), explain_failures():
        raise httpx.HTTPStatusError("failed", request=request, response=httpx.Response(500, request=request))
    with temporary_settings(restore_defaults={PREFECT_API_URL}), refused("PREFECT_API_URL is not set: start a server"):
        load_keyring()
