"""A real Prefect server for tests: on SQLite, with a password, started once a session."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import task
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import SettingsContext, get_settings_context
from prefect.events.worker import EventsWorker
from prefect.logging import disable_run_logger
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_BATCH_INTERVAL,
    Settings,
    temporary_settings,
)

from blocks.setup import setup
from sivera.values import PlatformName
from tasks import grants, resources
from tests.children import take_interrupts
from tests.conftest import eventually
from tests.stage import Stage

START_SECONDS = 300
STOP_SECONDS = 15

SETTINGS = {
    # In memory, Prefect shares one connection. With several on a file, a request may fail with "database is locked" or
    # wait a minute for a lock.
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true"
    "&check_same_thread=false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # Tests do not wait for intervals. The recorder writes each task run at once and uses its interval only after
    # failures, in whole seconds: below one second it would ask without a pause.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.1",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # While a run holds its deployment's only slot, it would cancel the late runs that tests look at.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    # No test needs these services, which lock the database every few seconds.
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""The server's settings, as environment variables."""

KINDS = ("automations", "block_documents", "flows", "v2/concurrency_limits", "work_pools")
"""What tests leave behind and the API lists. Deleting a flow deletes its deployments and runs."""

VOLATILE = {"created", "updated", "status"}

Things = dict[tuple[str, str], dict[str, Any]]
"""What is on the server, by its kind and what the API deletes it by: its id or its name."""


@dataclass(frozen=True)
class PrefectServer:
    """A server and its password. `set_up` is what the last setup made there."""

    api_url: str
    auth_string: str = field(repr=False)
    home: Path
    set_up: Things = field(default_factory=dict, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which another process reaches the server."""
        return {
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.auth_string,
            "PREFECT_HOME": str(self.home),
        }

    def clean(self) -> None:
        """Delete what tests have left behind."""
        self.set_up.clear()
        _delete(_things())

    def restore(self, set_up: Callable[[], object]) -> None:
        """Restore the server to what the setup makes of an empty one. The setup runs only if something is missing."""
        found = _things()
        kept = {thing for thing, row in self.set_up.items() if found.get(thing) == row}
        _delete(found.keys() - kept)
        if not kept or kept != self.set_up.keys():
            set_up()
            self.set_up.clear()
            self.set_up.update(_things())


def ask(kind: str, **wanted: object) -> Any:
    """What the server lists of a kind. It lists task runs, events and logs a moment after they happen."""
    client: Any  # its own types allow only literal paths
    with get_client(sync_client=True) as client:
        return client.request("POST", f"/{kind}/filter", json=wanted).json()


def _things() -> Things:
    found: Things = {}
    for kind in KINDS:
        for row in ask(kind, include_secrets=True):
            key = row["name"] if kind == "work_pools" else row["id"]
            found[kind, key] = {name: value for name, value in row.items() if name not in VOLATILE}
    return found


def _delete(things: Collection[tuple[str, str]]) -> None:
    if any(kind == "flows" for kind, _ in things):
        _wait_for_recorder()
    client: Any  # its own types allow only literal paths
    with get_client(sync_client=True) as client:
        for kind, key in things:
            client.request("DELETE", f"/{kind}/{key}")


@task(name="last")
def _last() -> None:
    """Do nothing."""


def _wait_for_recorder() -> None:
    """Wait until the server has recorded the task runs so far, which it does in order.

    It tries again and again to record task runs of a deleted flow run, and those of the next tests would have to wait.
    """
    with disable_run_logger():  # without a flow, the log of a task cannot be sent
        last = str(_last(return_state=True).state_details.task_run_id)

    def check_recorded() -> None:
        assert ask("task_runs", task_runs={"id": {"any_": [last]}}), "the server does not record task runs"

    eventually(check_recorded)


def end_senders() -> None:
    """Let Prefect's threads send their events and logs, and end them while their server answers.

    Otherwise, they would send to this server whatever server the next test uses, or try for a minute if it is gone.
    """
    EventsWorker.drain_all(timeout=STOP_SECONDS)
    APILogWorker.drain_all(timeout=STOP_SECONDS)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A running Prefect server. Tests that call it from this process use `prefect_api`."""
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    server = PrefectServer(f"http://127.0.0.1:{port}/api", f"admin:{secrets.token_urlsafe(16)}", home)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_SERVER_API_AUTH_STRING": server.auth_string,
        **SETTINGS,
        **server.environment,
    }
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=take_interrupts,  # noqa: PLW1509 - it takes no lock
        )

    def check_health() -> None:
        if process.poll() is not None:
            pytest.fail(f"the Prefect server did not start:\n{log.read_text()[-2000:]}")
        httpx.get(f"{server.api_url}/health").raise_for_status()

    try:
        eventually(check_health, START_SECONDS)
        yield server
        end_senders()
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


@pytest.fixture(scope="session")
def client_settings(prefect_server: PrefectServer, one_certificate: Path) -> Settings:
    """Prefect's settings for tests that use the server. Making them takes 20 ms."""
    with temporary_settings(
        {
            PREFECT_API_SSL_CERT_FILE: str(one_certificate),
            # Each run would wait up to a second for the thread that sends heartbeats.
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            PREFECT_LOGGING_TO_API_BATCH_INTERVAL: 0.1,
            PREFECT_API_URL: prefect_server.api_url,
            PREFECT_API_AUTH_STRING: prefect_server.auth_string,
            PREFECT_HOME: prefect_server.home,
        },
        restore_defaults={PREFECT_API_KEY},
    ) as settings:
        return settings


@pytest.fixture
def prefect_api(
    prefect_server: PrefectServer, client_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PrefectServer]:
    """The server, with this test's Prefect settings pointing at it."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    with SettingsContext(profile=get_settings_context().profile, settings=client_settings):
        # If a flow started this thread, it would take all later events outside of flows for events of that flow.
        EventsWorker.instance()
        yield prefect_server


@pytest.fixture
def ready(
    prefect_api: PrefectServer,
    stage: Stage,
    database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """A stage with its database and platforms in the blocks of the Prefect server."""
    monkeypatch.setenv("SIVERA_SPOOL_DIR", str(stage.spool))
    storage = tmp_path_factory.getbasetemp() / "storage"
    shutil.rmtree(storage, ignore_errors=True)
    apps = {platform: stage.app(platform) for platform in PlatformName}
    prefect_api.restore(lambda: setup(database_url, apps, storage))
    stage.keyring = grants.keyring()
    yield stage
    resources.close()


@pytest.fixture
def clean_prefect(prefect_api: PrefectServer) -> PrefectServer:
    """The server of `prefect_api`, without anything of earlier tests."""
    prefect_api.clean()
    return prefect_api


def set_states(run: FlowRun | UUID | str, *states: State, force: bool = True) -> None:
    """Set the states of a run, one after the other."""
    run_id = run.id if isinstance(run, FlowRun) else UUID(str(run))
    with get_client(sync_client=True) as client:
        for state in states:
            client.set_flow_run_state(run_id, state, force=force)


def rewrite_block(kind: str, name: str, **data: object) -> None:
    """Change a block document without its class, as a person can with Prefect's API."""
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name(name, kind)
        changed = BlockDocumentUpdate(data=data, merge_existing_data=False, block_schema_id=document.block_schema_id)
        client.update_block_document(document.id, changed)


def free_port() -> int:
    """Return a local TCP port that only a server that is told to will listen on.

    The system gives it to nobody else until this process ends: a server may need seconds until it listens.
    """
    holder = socket.socket()
    # A server that sets the same option may listen on a port that is only held.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    holder.detach()  # now nothing closes it
    return port
