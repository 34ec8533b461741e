"""The local stack's own Prefect server and worker: their settings, secrets and environment.

May not import prefect: that takes seconds, and has to happen after these variables are set.
"""

import base64
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from ops.network import forget_libpq
from ops.stack.folder import DEMO_FOLDER, FOLDER, PUBLIC_URL_FILE, Folder, is_running, write_private
from ops.stack.processes import Child, answers
from sivera.errors import ConfigurationError
from sivera.proxies import reason_of
from sivera.settings import PUBLIC_URL, UNSAVED_VARIABLES, read_settings

USER = "admin"
START_SECONDS = 300
"""A first start migrates SQLite: 15 to 20 s on two idle cores."""

TUNING = {
    # Concurrency slots survive a restart of the server.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # Recording task runs in batches is four times as fast as one by one.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # Not larger: SQLite has one writer, and a transaction of thousands of events blocks the recording of task runs.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "50",
    # Events are four fifths of a task run's disk space. Keep events for two days (ISO 8601), runs for 30 (in seconds).
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P2D",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "2592000",
    # An idle server spends its time polling. We do not need these polls every five seconds.
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "60",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT15S",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}
"""Settings of the server, unless the environment has others."""

CLIENT = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""Settings of everything that runs flows or talks to a server."""

WORKER = {"PREFECT_WORKER_QUERY_SECONDS": "3"}
"""Settings of the worker of our own server, unless the environment has others.

A run by hand waits for the next poll, 1.5 s on average. Scheduled runs are fetched ten seconds early.
"""

OF_ANOTHER_SERVER = (
    "PREFECT_HOME",
    "PREFECT_PROFILE",
    "PREFECT_API_",
    "PREFECT_CLOUD_",
    "PREFECT_UI_",
    "PREFECT_SERVER_API_",
    "PREFECT_SERVER_DATABASE_",
    "PREFECT_SERVER_UI_",
)
"""Prefixes of variables that would lead our server or its clients to another server's data."""


@dataclass(frozen=True)
class PrefectServer:
    """Our server, which may still be starting; `client` has the environment variables that clients need."""

    url: str
    client: Mapping[str, str] = field(repr=False)
    child: Child

    def wait(self) -> None:
        """Wait until it answers."""
        user, _, password = self.client["PREFECT_API_AUTH_STRING"].partition(":")
        # With the password, so that another server that took the port is not mistaken for ours.
        self.child.wait_until(lambda: answers(f"{self.url}/api/admin/version", (user, password)), START_SECONDS)


@contextmanager
def prefect_server(folder: Folder, port: int, say: Callable[[str], None]) -> Iterator[PrefectServer]:
    """Run a Prefect server on the loopback with its data in `prefect` below the folder; yield it before it answers.

    Its password and encryption key are created on first use and kept in private files. The profile there is for
    Prefect's own commands: `PREFECT_HOME=.sivera/prefect prefect deployment ls`.
    """
    home = folder.path / "prefect"
    url = f"http://127.0.0.1:{port}"
    password, is_new = folder.secret("prefect-password", lambda: secrets.token_urlsafe(18))
    encryption_key, _ = folder.secret(
        "prefect-encryption-key", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    )
    if is_new:
        kept = os.path.relpath(folder.path / "prefect-password")
        say(f"The Prefect UI asks for user:password, which is {USER}:{password} (the password is kept in {kept}).")
    access = {"PREFECT_API_URL": f"{url}/api", "PREFECT_API_AUTH_STRING": f"{USER}:{password}"}
    lines = [f'{name} = "{value}"' for name, value in (CLIENT | access).items() if name.startswith("PREFECT_")]
    write_private(home / "profiles.toml", "\n".join(['active = "sivera"', "[profiles.sivera]", *lines, ""]))
    client = CLIENT | access | {"PREFECT_HOME": str(home)}
    # Whatever held a slot ended with the last server.
    shutil.rmtree(home / "concurrency_leases", ignore_errors=True)
    settings = {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{password}",
        "PREFECT_SERVER_ENCRYPTION_KEY": encryption_key,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
    }
    with folder.run(
        "the Prefect server",
        "prefect-server",
        [sys.executable, "-P", "-m", "prefect", "server", "start"],
        environment=TUNING | _inherited() | client | settings,
        # Prefect reads .env, prefect.toml and pyproject.toml in its folder: those of the user are not for this server.
        directory=folder.path,
    ) as child:
        yield PrefectServer(url, client, child)


def prefect_worker(folder: Folder, pool: str, client: Mapping[str, str] | None) -> AbstractContextManager[Child]:
    """Run a worker of a work pool; `client` has our server's settings, or is None if the environment names a server."""
    environment = {**os.environ, **CLIENT} if client is None else {**WORKER, **_inherited(), **client}
    environment |= spool_of(folder.path)
    # Where the worker finds the `python3` of prefect.yaml.
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment.get("PATH", os.defpath)))
    # Prefect leaves folders behind in the temporary directory, which all users share.
    temporary = folder.path / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    environment["TMPDIR"] = str(temporary)
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", pool, "--install-policy", "never"]
    return folder.run("the Prefect worker", "prefect-worker", command, environment=environment, directory=folder.path)


def spool_of(folder: Path) -> dict[str, str]:
    """Return the environment variable that says where jobs keep renewed tokens while the database is away."""
    given = os.environ.get("SIVERA_SPOOL_DIR")
    return {"SIVERA_SPOOL_DIR": str(read_settings().spool_dir if given else (folder / "spool").absolute())}


def use_server(client: Mapping[str, str]) -> None:
    """Let this process talk only to our server. Call it before prefect is imported."""
    for name in [name for name in os.environ if name.startswith(OF_ANOTHER_SERVER)]:
        del os.environ[name]
    os.environ.update(client)


def use_running_stack() -> Path | None:
    """Let this process talk to the server of the stack that runs here, if any, and return the stack's folder.

    Does nothing if PREFECT_API_URL is set. Call it before prefect is imported.
    """
    os.environ.update(CLIENT)
    running = next(filter(is_running, (FOLDER, DEMO_FOLDER)), None)
    if not running or os.environ.get("PREFECT_API_URL"):
        return None
    if (file := running / PUBLIC_URL_FILE).exists():
        os.environ.setdefault(PUBLIC_URL, file.read_text().strip())
    # The profile there has the rest.
    use_server({"PREFECT_HOME": str((running / "prefect").absolute()), **spool_of(running)})
    if (running / "postgres").exists() and (running == DEMO_FOLDER or "SIVERA_DATABASE_URL" not in os.environ):
        forget_libpq()
    if running == DEMO_FOLDER:
        # The demo has its own database and secrets: its server must never get real ones.
        for name in [name for name in os.environ if name.startswith("SIVERA_") and name not in UNSAVED_VARIABLES]:
            del os.environ[name]
    return running


def check_given_server(url: str) -> None:
    """Raise ConfigurationError unless something answers at the address of the given Prefect server."""
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=4)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"no Prefect server answers at the address in PREFECT_API_URL ({reason_of(error, url)}): start it, correct "
            "the address (it ends in /api), or unset the variable to let `sivera up` start a server of its own"
        ) from None


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OF_ANOTHER_SERVER)}
