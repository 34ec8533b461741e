"""A real Prefect server for the tests that need one: on SQLite, with a password, started once a session."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_HOME,
    temporary_settings,
)

START_SECONDS = 300
STOP_SECONDS = 15
PAGE = 200


@dataclass(frozen=True)
class PrefectServer:
    """Where the server listens, and what lets one in."""

    api_url: str
    auth_string: str = field(repr=False)
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which another process reaches the server."""
        return {
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.auth_string,
            "PREFECT_HOME": str(self.home),
        }


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A running Prefect server; see `prefect_api` for code of this process that calls it."""
    with run_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@contextmanager
def run_server(home: Path, **settings: str) -> Iterator[PrefectServer]:
    """Run a Prefect server in a folder, with these environment variables besides."""
    port = free_port()
    server = PrefectServer(f"http://127.0.0.1:{port}/api", f"admin:{secrets.token_urlsafe(16)}", home)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": server.auth_string,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "DO_NOT_TRACK": "1",
        **settings,
    }
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=environment | server.environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_healthy(process, server.api_url, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


@pytest.fixture
def prefect_api(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectServer]:
    """The server, with this test's Prefect settings pointing at it."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    with temporary_settings(
        {
            PREFECT_API_URL: prefect_server.api_url,
            PREFECT_API_AUTH_STRING: prefect_server.auth_string,
            PREFECT_HOME: prefect_server.home,
        },
        restore_defaults={PREFECT_API_KEY},
    ):
        yield prefect_server


@pytest.fixture
def clean_prefect(prefect_api: PrefectServer) -> PrefectServer:
    """The server, as in `prefect_api`, without the blocks, limits, pools, automations and flows of earlier tests."""
    with get_client(sync_client=True) as client:
        for document in client.read_block_documents(limit=PAGE, include_secrets=False):
            client.delete_block_document(document.id)
        for automation in client.read_automations(limit=PAGE):
            client.delete_automation(automation.id)
        for flow in client.read_flows(limit=PAGE):
            client.delete_flow(flow.id)
        for limit in client.read_global_concurrency_limits(limit=PAGE):
            client.delete_global_concurrency_limit_by_name(limit.name)
        for pool in client.read_work_pools(limit=PAGE):
            client.delete_work_pool(pool.name)
    return prefect_api


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on, nor will but a server that is told to.

    Until this process ends the system gives it to no one who asks for any port, or connects to somewhere: a server
    takes seconds until it listens, and by then another test's might.
    """
    holder = socket.socket()
    # As servers set it: they may listen on a port that is only held.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    holder.detach()  # so that nothing closes it
    return port


def _wait_until_healthy(process: subprocess.Popen[bytes], api_url: str, log: Path) -> None:
    with httpx.Client(timeout=2) as http:
        for _ in range(START_SECONDS * 5):
            try:
                if http.get(f"{api_url}/health").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            break
    pytest.fail(f"the Prefect server did not start:\n{log.read_text()[-2000:]}")
