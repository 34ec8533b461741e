"""`python -m benchmarks.sync --accounts N --latency-ms 150`: sync-campaigns beside the same work without Prefect.

In one go, against one sandbox and one database: first the floor (the same fetches and the same writes in a plain pool
of as many threads), then, over a database that is emptied again, the deployed flow through its worker. The last line is
JSON; `--profile FILE` writes where the floor's threads spend their time.
"""

import argparse
import contextlib
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from pydantic import SecretStr
from sqlalchemy import URL, Engine, text
from sqlalchemy.orm import Session

from benchmarks.usage import Usage, UsageMeter
from ops.prefect_server import PrefectServer, use_server
from ops.stack import Stack, open_stack, prepare_database
from sivera.breaker import Breaker
from sivera.database import open_engine
from sivera.grants.connecting import connect
from sivera.grants.renewal import RenewalEdges
from sivera.grants.source import GrantTokenSource
from sivera.grants.spool import Spool
from sivera.platforms import open_client
from sivera.platforms.base import AppCredentials, PlatformClient, utc_now
from sivera.queries.runs import read_summary
from sivera.sandbox.world import CLIENT_ID, CLIENT_SECRET
from sivera.sync.account import SyncEdges, sync_account
from sivera.sync.options import SyncMode, SyncOptions
from sivera.sync.plan import plan_sync
from sivera.sync.summary import Outcome
from sivera.values import GrantTokens, PlatformName

DEPLOYMENT = "sync-campaigns/all"
ACCOUNTS_PER_GRANT = 100
RECORD_SECONDS = 60
CONTROL_TIMEOUT = 120
EMPTY = (
    "TRUNCATE campaigns, campaign_daily_metrics, report_requests, sync_runs",
    "UPDATE ad_accounts SET campaigns_cursor = NULL, synced_as_of = NULL, last_synced_at = NULL",
)


def main() -> None:
    """Run the benchmark and print its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__)
    parser.add_argument("--accounts", type=int, default=500, help="ad accounts, spread over the four platforms")
    parser.add_argument("--latency-ms", type=float, default=150, help="milliseconds before each answer of a platform")
    parser.add_argument("--campaigns", type=int, default=8, help="campaigns per ad account")
    parser.add_argument("--profile", type=Path, help="write a profile of the floor's first 200 accounts to this file")
    options = parser.parse_args()
    # A short folder: PostgreSQL's socket lies in it.
    with tempfile.TemporaryDirectory(prefix="sivera-bench-") as folder, open_stack(Path(folder), say) as stack:
        server = stack.start_server()
        url = stack.start_postgres()
        prepare_database(url)
        sandbox = stack.start_sandbox()
        use_server(server.client)
        server.wait()
        result = Benchmark(stack, server, url, sandbox, options.accounts, options.campaigns).run(
            options.latency_ms, options.profile
        )
    sys.stdout.write(json.dumps(result) + "\n")


def say(line: str) -> None:
    """Tell a person a line."""
    sys.stderr.write(f"{line}\n")


class Benchmark:
    """A stack with connected accounts, on which floor and flow are measured."""

    def __init__(
        self, stack: Stack, server: PrefectServer, url: URL, sandbox: str, accounts: int, campaigns: int
    ) -> None:
        from blocks.setup import setup  # noqa: PLC0415 - imports prefect, after its settings are made
        from blocks.token_key import load_keyring  # noqa: PLC0415
        from ops.deploy import deploy  # noqa: PLC0415
        from tasks.resources import THREADS  # noqa: PLC0415

        self.stack, self.server, self.sandbox, self.threads = stack, server, sandbox, THREADS
        self.engine = open_engine(url, pool_size=THREADS)
        self.apps = {
            platform: AppCredentials(
                client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET), base_url=f"{sandbox}/{platform.value}"
            )
            for platform in PlatformName
        }
        database_url = url.render_as_string(hide_password=False)
        setup(database_url, self.apps)
        self.keyring = load_keyring()
        say(f"connecting {accounts} accounts")
        self._connect(accounts, campaigns)
        deploy(database_url, self.apps)
        stack.start_worker(server)

    def run(self, latency_ms: float, profile: Path | None) -> dict[str, Any]:
        """Measure the floor, then the flow; return the figures."""
        self._control("set_latency", seconds=latency_ms / 1000)
        with UsageOf(self.stack) as floor_usage:
            accounts, floor_seconds = self._floor(profile)
        say(f"floor: {accounts} accounts in {floor_seconds:.1f} s")
        self._empty()
        with UsageOf(self.stack) as flow_usage:
            flow_seconds, run_id, message, synced = self._flow()
        say(f"flow: {message} in {flow_seconds:.1f} s; looking at what is recorded in {RECORD_SECONDS} s")
        time.sleep(RECORD_SECONDS)
        return {
            "accounts": accounts,
            "latency_ms": latency_ms,
            "threads": self.threads,
            "floor_per_s": round(accounts / floor_seconds, 1),
            "flow_per_s": round(synced / flow_seconds, 1),
            "ratio": round((accounts / floor_seconds) / (synced / flow_seconds), 2),
            "synced": synced,
            "flow_seconds": round(flow_seconds, 1),
            "recorded": self._recorded(run_id),
            "message": message,
            "floor": _figures(floor_usage.used),
            "flow": _figures(flow_usage.used),
        }

    def _connect(self, accounts: int, campaigns: int) -> None:
        per_platform = {p: accounts // 4 + (rank < accounts % 4) for rank, p in enumerate(PlatformName)}
        for platform, count in per_platform.items():
            client = open_client(platform, self.apps[platform])
            for first in range(0, count, ACCOUNTS_PER_GRANT):
                tokens = self._control(
                    "add_grant",
                    platform=platform.value,
                    accounts=min(ACCOUNTS_PER_GRANT, count - first),
                    campaigns=campaigns,
                )
                connect(
                    self.engine,
                    self.keyring,
                    client,
                    team=f"Team {first // ACCOUNTS_PER_GRANT + 1}",
                    tokens=GrantTokens(
                        access_token=tokens["access_token"],
                        refresh_token=tokens["refresh_token"],
                        expires_in=timedelta(seconds=tokens["expires_in"]) if tokens["expires_in"] else None,
                    ),
                )
            client.close()

    def _floor(self, profile: Path | None) -> tuple[int, float]:
        """The same fetches and writes in a pool of threads; return how many accounts, and the seconds."""
        breaker = Breaker()
        clients: dict[PlatformName, PlatformClient] = {p: open_client(p, app, breaker) for p, app in self.apps.items()}
        renewal = RenewalEdges(self.engine, self.keyring, Spool(self.stack.folder.path / "spool"))
        tokens = cache(lambda p, i: GrantTokenSource(renewal, clients[p], i))
        edges = SyncEdges(self.engine, clients.__getitem__, tokens)
        with Session(self.engine) as session:
            due = plan_sync(session, SyncOptions(), utc_now()).due
        if profile:
            with _profiled(profile):
                for account in due[:200]:
                    sync_account(edges, account, SyncMode.INCREMENTAL)
            self._empty()
        begun = time.monotonic()
        with ThreadPoolExecutor(self.threads) as pool:
            results = list(pool.map(lambda account: sync_account(edges, account, SyncMode.INCREMENTAL), due))
        seconds = time.monotonic() - begun
        assert all(result.outcome is Outcome.SYNCED for result in results)
        for client in clients.values():
            client.close()
        return len(due), seconds

    def _flow(self) -> tuple[float, str, str, int]:
        """The deployed flow, run by the worker; return its seconds, its id, its message and how many were synced."""
        from ops.runs import run_deployment  # noqa: PLC0415

        run = run_deployment(DEPLOYMENT, {}, lambda *_: self.stack.check())
        assert run.start_time
        assert run.end_time
        message = f"{run.state_name}: {run.state.message}" if run.state else ""
        with Session(self.engine) as session:
            summary = read_summary(session, run.id)
        synced = summary.synced if summary else 0
        return (run.end_time - run.start_time).total_seconds(), str(run.id), message, synced

    def _recorded(self, run_id: str) -> int:
        from blocks.server import connect as connect_server  # noqa: PLC0415

        wanted = {
            "flow_runs": {"id": {"any_": [run_id]}},
            "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}, "name": {"like_": " "}},
        }
        with connect_server() as client:
            return int(client.request("POST", "/task_runs/count", json=wanted).json())

    def _empty(self) -> None:
        _execute(self.engine, EMPTY)

    def _control(self, action: str, **arguments: object) -> Any:
        answer = httpx.post(f"{self.sandbox}/control/{action}", json=arguments, timeout=CONTROL_TIMEOUT)
        return answer.raise_for_status().json()


class UsageOf:
    """Measures what each part of the stack, and this process, use within the context."""

    def __init__(self, stack: Stack) -> None:
        self._pids = {child.name: child.process.pid for child in stack.children}
        self.used: dict[str, Usage] = {}

    def __enter__(self) -> Self:
        def rooted(pid: int) -> Iterable[psutil.Process]:
            return [psutil.Process(pid)]

        groups = {name: (lambda pid=pid: rooted(pid)) for name, pid in self._pids.items()}
        self._meter = UsageMeter({**groups, "this process": lambda: [_Alone()]})
        return self

    def __exit__(self, *_: object) -> None:
        self.used = self._meter.stop()


class _Alone(psutil.Process):
    """This process without its descendants: they are the stack."""

    def children(self, recursive: bool = False) -> list[psutil.Process]:
        return []


def _figures(used: dict[str, Usage]) -> dict[str, dict[str, float]]:
    return {name: usage.model_dump() for name, usage in used.items()}


def _execute(engine: Engine, statements: Iterable[str]) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@contextlib.contextmanager
def _profiled(file: Path) -> Iterator[None]:
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        with file.open("w") as out:
            pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
