"""What the benchmarks share: a stack with a sandbox, and the comparison of a deployed flow with its floor."""

import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, text

from benchmarks.usage import Usage
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
from sivera.values import GrantTokens, PlatformName, Value

RECORD_SECONDS = 60
CONTROL_TIMEOUT = 120
PROFILED = 200

Item = TypeVar("Item")
Result = TypeVar("Result")


def say(line: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(f"{line}\n")


def tell(result: dict[str, Any]) -> None:
    """Print a benchmark's result."""
    sys.stdout.write(json.dumps(result) + "\n")


class FlowRun(Value):
    """A deployment's run that has ended: its seconds from Running to the end, its id, and its last state."""

    seconds: float
    id: str
    message: str


class Bench:
    """A stack with a sandbox, a database and saved blocks."""

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
        """Yield a client for each platform, with one breaker."""
        breaker = Breaker()
        clients = {platform: open_client(platform, app, breaker) for platform, app in self.apps.items()}
        yield clients
        for client in clients.values():
            client.close()

    def source(self, client: PlatformClient, credential_id: int) -> GrantTokenSource:
        """Return the source of a grant's tokens."""
        spool = Spool(Path(spool_of(self.stack.folder.path)["SIVERA_SPOOL_DIR"]))
        return GrantTokenSource(RenewalDependencies(self.engine, self.keyring, spool), client, credential_id)

    def add_grant(self, platform: PlatformName, **options: object) -> tuple[int, GrantTokens]:
        """Add a grant to the sandbox; return its id there and its tokens."""
        made = self.control("add_grant", platform=platform.value, **options)
        tokens = {name: made[name] or None for name in GrantTokens.model_fields}
        return made["grant_id"], GrantTokens.model_validate(tokens)

    def in_pool(
        self,
        work: Callable[[Item], Result],
        due: Callable[[], Sequence[Item]],
        reset: Callable[[], None],
        profile: Path | None,
    ) -> tuple[list[Result], float]:
        """Do all the work in a pool of threads; return the results and the seconds.

        With `profile`, first do a part of it in this thread, write its profile to that file, and `reset` it.
        """
        if profile:
            with profiled(profile):
                for item in due()[:PROFILED]:
                    work(item)
            reset()
        items = due()
        start = time.monotonic()
        with ThreadPoolExecutor(self.threads) as pool:
            results = list(pool.map(work, items))
        return results, time.monotonic() - start

    def compare(
        self,
        items: str,
        outcome: str,
        floor: Callable[[], tuple[int, float]],
        reset: Callable[[], None],
        flow: Callable[[], FlowRun],
        count_done: Callable[[FlowRun], int],
    ) -> dict[str, Any]:
        """Measure the floor, `reset` the work, and measure the flow; return the figures.

        `items` names the count of all the work, such as accounts, and `outcome` that of the work done, such as synced.
        """
        with Usage(self.stack) as floor_usage:
            count, seconds = floor()
        say(f"floor: {count} in {seconds:.1f} s")
        reset()
        before = self.calls()
        with Usage(self.stack) as flow_usage:
            run = flow()
        calls, done = self.calls() - before, count_done(run)
        return {
            items: count,
            "threads": self.threads,
            "floor_per_s": round(count / seconds, 1),
            "flow_per_s": round(done / run.seconds, 1),
            "ratio": round((count / seconds) / (done / run.seconds), 2),
            outcome: done,
            "calls": calls,
            "flow_seconds": round(run.seconds, 1),
            "recorded": self.recorded(run),
            "message": run.message,
            "floor": floor_usage.figures,
            "flow": flow_usage.figures,
        }

    def run_flow(self, deployment: str, parameters: dict[str, Any] | None = None) -> FlowRun:
        """Have the worker run a deployment to its end, with its own parameters or others."""
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
        """Wait a minute, then count the server's task runs of accounts or grants: their names contain a space."""
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
        """Execute SQL statements in one transaction."""
        with self.engine.begin() as connection:
            load(connection, statements)

    def control(self, action: str, **arguments: object) -> Any:
        """Call an action of the sandbox's control endpoint, and return the answer."""
        answer = self._http.post(f"/control/{action}", json=arguments)
        return answer.raise_for_status().json()

    def calls(self) -> int:
        """Return the number of calls that the sandbox has answered."""
        return sum(self.control("calls").values())


@contextmanager
def open_bench(threads: int) -> Iterator[Bench]:
    """Start a stack in a temporary folder, and stop and delete it at the end."""
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
    # A short path, because PostgreSQL's socket is in this folder.
    with tempfile.TemporaryDirectory(prefix="sivera-bench-") as folder, open_stack(Path(folder), say) as stack:
        yield stack


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in autocommit mode, without limits and without foreign key checks, which are slow."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # keeps the settings from the job, which uses the engine's other connections
        load(connection, ["SET statement_timeout = 0", "SET session_replication_role = replica"])
        load(connection, ["SET maintenance_work_mem = '512MB'"])
        yield connection


def load(connection: Connection, statements: Iterable[str], **values: object) -> None:
    """Execute SQL statements, each with the values that it names."""
    for statement in statements:
        connection.execute(text(statement), {name: value for name, value in values.items() if f":{name}" in statement})


@contextmanager
def profiled(file: Path) -> Iterator[None]:
    """Profile this thread, and write the result to a file."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        with file.open("w") as out:
            pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(40)
