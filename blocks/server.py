"""Access to the Prefect server. Each failure becomes one sentence with its remedy."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, TypeVar, cast

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient, SyncPrefectClient, get_client
from prefect.context import SettingsContext, get_settings_context
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL
from pydantic import ConfigDict, ValidationError

from sivera.errors import ConfigurationError
from sivera.links import Links, without_credentials
from sivera.proxies import reason_of, suspect

# Prefect's client tries to connect four times, with pauses of 1.5 s in all: with 1.5 s a try it stays under 10 s.
PROBE_TIMEOUT = httpx.Timeout(8.0, connect=1.5)

SERVER_SECONDS = 8.0
"""A busy server can stall for some seconds, and a worker kills a run that has not ended within thirty."""

MISSING = "it is missing"

# When a process ends, it warns about events that are not sent yet, which does not help anyone at a terminal.
logging.getLogger("EventsWorker").setLevel(logging.ERROR)

BlockT = TypeVar("BlockT", bound=Block)


class StrictBlock(Block):
    """A block that refuses a misspelt field, which would be stored unmasked."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ServerBusyError(ConfigurationError):
    """The Prefect server accepted our connection, but did not answer in time."""


class BlockError(ConfigurationError):
    """A block document is missing or invalid."""


class BlockMissingError(BlockError):
    """A block document is missing."""


@contextmanager
def connect() -> Iterator[SyncPrefectClient]:
    """Yield a client of the Prefect server that PREFECT_API_URL names.

    ConfigurationError if the URL is missing, if the server does not answer within ten seconds, or if a request fails.
    """
    if not PREFECT_API_URL.value():
        raise ConfigurationError(
            "PREFECT_API_URL is not set: start a server with `sivera up`, or set it to that of a running server"
        )
    with explain_failures():
        with (
            impatient(),
            get_client(httpx_settings={"timeout": PROBE_TIMEOUT}, sync_client=True) as probe,
        ):
            probe.hello()
        with get_client(sync_client=True) as client:
            yield client


@contextmanager
def impatient(seconds: float = SERVER_SECONDS) -> Iterator[None]:
    """Make Prefect's clients ask once and wait briefly: a server that does not answer must not hold up a run."""
    # `temporary_settings` would take 20 ms, because it reads all settings again.
    context = get_settings_context()
    api, client = context.settings.api, context.settings.client
    changed = {
        "api": api.model_copy(update={"request_timeout": seconds}),
        "client": client.model_copy(update={"max_retries": 0}),
    }
    with SettingsContext(profile=context.profile, settings=context.settings.model_copy(update=changed)):
        yield


@contextmanager
def explain_failures() -> Iterator[None]:
    """Turn any failure of the Prefect server into a ConfigurationError."""
    url = without_credentials(PREFECT_API_URL.value() or "")
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise ConfigurationError(_refusal(url, error.response.status_code) + suspect(url)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        kind = ServerBusyError if isinstance(error, httpx.ReadTimeout) else ConfigurationError
        why = reason_of(error, url, "PREFECT_API_SSL_CERT_FILE")
        raise kind(
            f"the Prefect server at {url} does not answer ({why}): "
            "start it with `sivera up`, or set PREFECT_API_URL to that of a running server"
        ) from None


def load(kind: type[BlockT], name: str, remedy: str) -> BlockT:
    """Load a block document; ConfigurationError, which ends with `remedy`, if it is missing or invalid."""
    with connect(), _loading(kind, name, remedy):
        return cast("BlockT", kind.load(name))


def find(kind: type[BlockT], name: str, remedy: str) -> BlockT | None:
    """Load a block document, or return None if it is missing; see `load`."""
    try:
        return load(kind, name, remedy)
    except BlockMissingError:
        return None


async def aload(client: PrefectClient, kind: type[BlockT], name: str, remedy: str) -> BlockT:
    """Load a block document over an open client; see `load`. httpx.HTTPError if the server fails."""
    with _loading(kind, name, remedy):
        return await kind.aload(name, client=client)


def misfits(error: ValidationError) -> list[tuple[str, str]]:
    """Return each error as 'field.part' and its message, without the values, which may be secret."""
    found = error.errors(include_input=False, include_context=False, include_url=False)
    messages = [MISSING if one["type"] == "missing" else one["msg"].removeprefix("Value error, ") for one in found]
    return [(".".join(map(str, one["loc"])), message) for one, message in zip(found, messages, strict=True)]


def explain(error: ValidationError) -> str:
    """Return the errors in one line; see `misfits`."""
    return "; ".join(": ".join(filter(None, one)) for one in misfits(error))


def links() -> Links:
    """Return the links to the server's UI, which is at PREFECT_UI_URL or beside its API."""
    return Links(ui_url=PREFECT_UI_URL.value() or "")


@contextmanager
def _loading(kind: type[Block], name: str, remedy: str) -> Iterator[None]:
    document = f"{kind.get_block_type_slug()}/{name}"
    try:
        yield
    except RuntimeError as error:
        # Prefect raises this for a document that its class refuses. The cause has the message of the class.
        cause = explain(error.__cause__) if isinstance(error.__cause__, ValidationError) else str(error)
        raise BlockError(f"the block {document} does not fit ({cause}): {remedy}") from None
    except ValueError:
        # Prefect raises this if the document is missing, or if its type is not registered.
        raise BlockMissingError(f"the block {document} is missing: {remedy}") from None


def _refusal(url: str, status: int) -> str:
    match status:
        case 401 | 403:
            return (
                f"the Prefect server at {url} refuses us (HTTP {status}): "
                "set PREFECT_API_AUTH_STRING to the user:password that it was started with"
            )
        case 404:
            return f"what answers at {url} is not Prefect's API: PREFECT_API_URL ends with /api"
        case _:
            return (
                f"the Prefect server at {url} failed (HTTP {status}): start it with the PREFECT_SERVER_ENCRYPTION_KEY "
                "that it had when the blocks were saved; if it has that key, look at its log"
            )
