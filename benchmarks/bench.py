"""What the benchmarks of jobs share: a stack, the platforms' keys, the deployed flow, and what each part uses."""

import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, text

from benchmarks.usage import UsageOf
from ops.stack.prefect_server import PrefectServer, spool_of, use_server
from ops.stack.stack import Stack, open_stack, prepare_database
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sivera.breaker import Breaker
from sivera.database import open_engine
from sivera.grants.renewal import RenewalDependencies
from sivera.grants.source import GrantTokenSource
from sivera.grants.spool import Spool
from sivera.platforms import open_client
from sivera.platforms.base import AppCredentials, PlatformClient
from sivera.values import PlatformName, Value

RECORD_SECONDS = 60
CONTROL_TIMEOUT = 120


def say(line: str) -> None:
    """Tell a person a line."""
    sys.stderr.write(f"{line}\n")


def tell(result: dict[str, Any]) -> None:
    """Print a benchmark's result."""
    sys.stdout.write(json.dumps(result) + "\n")


class FlowRun(Value):
    """A run of a deployment that has ended: its seconds from Running to the end, its id, and its state in words."""

    seconds: float
    id: str
    message: str


class Bench:
    """A stack with a sandbox and the database, whose blocks are saved."""

    def __init__(self, stack: Stack, server: PrefectServer, url: URL, sandbox: str, threads: int) -> None:
        from blocks.setup import setup  # noqa: PLC0415 - imports prefect, after its settings are made
        from blocks.token_key import load_keyring  # noqa: PLC0415
        from sivera.grants.keys import check_keyring  # noqa: PLC0415

        self.stack, self.server, self.sandbox, self.threads = stack, server, sandbox, threads
        self._http = httpx.Client(base_url=sandbox, timeout=CONTROL_TIMEOUT)
        self.engine = open_engine(url, pool_size=threads)
        self.apps = {
            platform: AppCredentials(
                client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET), base_url=f"{sandbox}/{platform.value}"
            )
            for platform in PlatformName
        }
        setup(url, self.apps)
        self.keyring = load_keyring()
        check_keyring(self.engine, self.keyring)

    def deploy(self) -> None:
        """Deploy the jobs and start a worker."""
        from ops.deploy import deploy  # noqa: PLC0415

        deploy()
        self.stack.start_worker(self.server)

    @contextmanager
    def clients(self) -> Iterator[dict[PlatformName, PlatformClient]]:
        """Yield a client a platform, which wait together."""
        breaker = Breaker()
        clients = {platform: open_client(platform, app, breaker) for platform, app in self.apps.items()}
        yield clients
        for client in clients.values():
            client.close()

    def source(self, client: PlatformClient, credential_id: int) -> GrantTokenSource:
        """Return the tokens of a grant."""
        spool = Spool(Path(spool_of(self.stack.folder.path)["SIVERA_SPOOL_DIR"]))
        return GrantTokenSource(RenewalDependencies(self.engine, self.keyring, spool), client, credential_id)

    def run_flow(self, deployment: str, parameters: dict[str, Any] | None = None) -> FlowRun:
        """Let the worker run a deployment to its end, with other parameters than its own where some are given."""
        from ops.stack.runs import run_deployment  # noqa: PLC0415

        run = run_deployment(deployment, parameters or {}, lambda *_: self.stack.check())
        assert run.start_time
        assert run.end_time
        return FlowRun(
            seconds=(run.end_time - run.start_time).total_seconds(),
            id=str(run.id),
            message=f"{run.state_name}: {run.state.message}" if run.state else "",
        )

    def recorded(self, run: FlowRun) -> int:
        """Wait a minute, and count the task runs of accounts or grants (with a space in their name) on the server."""
        from blocks.server import connect as connect_server  # noqa: PLC0415

        say(f"{run.message} in {run.seconds:.1f} s; looking at what is recorded in {RECORD_SECONDS} s")
        time.sleep(RECORD_SECONDS)
        wanted = {
            "flow_runs": {"id": {"any_": [run.id]}},
            "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}, "name": {"like_": " "}},
        }
        with connect_server() as client:
            return int(client.request("POST", "/task_runs/count", json=wanted).json())

    def execute(self, statements: Iterable[str]) -> None:
        """Run statements of SQL in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def control(self, action: str, **arguments: object) -> Any:
        """Tell the sandbox to do something, and return what it says."""
        answer = self._http.post(f"/control/{action}", json=arguments)
        return answer.raise_for_status().json()

    def usage(self) -> UsageOf:
        """Return a context that measures what each part uses."""
        return UsageOf(self.stack)


@contextmanager
def open_bench(threads: int) -> Iterator[Bench]:
    """Start a stack in a folder of its own, and end and delete it all."""
    with _open_stack() as stack:
        server = stack.start_server()
        url = stack.start_postgres()
        prepare_database(url)
        sandbox = stack.start_sandbox()
        use_server(server.client)
        server.wait()
        yield Bench(stack, server, url, sandbox, threads)


@contextmanager
def open_database() -> Iterator[tuple[URL, Path]]:
    """Start a PostgreSQL with default settings; yield the URL of a migrated database, and a folder."""
    with _open_stack() as stack:
        url = stack.start_postgres()
        prepare_database(url)
        yield url, stack.folder.path


@contextmanager
def _open_stack() -> Iterator[Stack]:
    # A short folder: PostgreSQL's socket lies in it.
    with tempfile.TemporaryDirectory(prefix="sivera-bench-") as folder, open_stack(Path(folder), say) as stack:
        yield stack


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in autocommit mode, without limits, for which foreign keys are not checked.

    The rows of a benchmark fit each other: checking each would take minutes.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # the settings are not for the job, which has the engine's other connections
        load(connection, ["SET statement_timeout = 0", "SET session_replication_role = replica"])
        load(connection, ["SET maintenance_work_mem = '512MB'"])
        yield connection


def load(connection: Connection, statements: Iterable[str], **values: object) -> None:
    """Execute statements of SQL, each with those of the values that it names."""
    for statement in statements:
        connection.execute(text(statement), {name: value for name, value in values.items() if f":{name}" in statement})


@contextmanager
def profiled(file: Path) -> Iterator[None]:
    """Write to a file where this thread spends its time."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        with file.open("w") as out:
            pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(40)
