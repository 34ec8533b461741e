"""`sivera demo`: the stack, the sandbox as the four platforms, demo teams, and a run of the main job by the worker.

May not import prefect at its top; see `ops.stack.prefect_server`.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL
from sqlalchemy.orm import Session

from ops.stack.folder import DEMO_FOLDER
from ops.stack.prefect_server import PrefectServer
from ops.stack.processes import StackError
from ops.stack.stack import HttpApi, Stack, prepare_database
from sandbox.world import CLIENT_ID, CLIENT_SECRET
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.grants.connecting import connect
from sivera.platforms import open_client
from sivera.platforms.base import AppCredentials
from sivera.sync.queries import read_summary
from sivera.sync.summary import PlatformCounts, SyncSummary
from sivera.values import GrantTokens, PlatformName, Value

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

DEPLOYMENT = "sync-campaigns/all"
TEAMS = ("한빛 커머스", "Northwind Goods", "Lumen Studio")
CONNECTIONS_AT_ONCE = 4
NOTEWORTHY_SECONDS = 3
SANDBOX_SECONDS = 60
"""How long the sandbox may take to answer: it starts beside the Prefect server, which needs both processors."""
COLUMNS = ("accounts", "added", "changed", "unchanged", "removed", "metric_rows", "failed")


class DemoResult(Value):
    """What the demo's run did. `succeeded` where it did what it should: every account synced, none failed."""

    succeeded: bool
    accounts: int
    failed: int
    platforms: dict[PlatformName, PlatformCounts]
    run_url: str


@dataclass(frozen=True)
class Steps:
    """Tells what is done and how long it took."""

    console: Console

    def say(self, line: str) -> None:
        """Print a line as it is."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print the name and the seconds of what the body did."""
        begun = time.monotonic()
        with self.console.status(name):
            yield
        self.say(f"{time.monotonic() - begun:6.1f} s  {name}")


def run_demo(stack: Stack, accounts: int, console: Console) -> DemoResult:
    """Fill a stack with the demo and run sync-campaigns on it, once; print what it did.

    Args:
        stack: A stack in which nothing is started.
        accounts: Ad accounts on each platform, shared by the demo's teams.
        console: Where to print.

    Raises:
        SiveraError: A part does not start, or ends, or refuses.
    """
    steps = Steps(console)
    begun = time.monotonic()
    server = stack.start_server()
    with steps.step("PostgreSQL, migrated (the Prefect server starts meanwhile)"):
        # Another number of accounts is another world, so it gets another database.
        url = stack.start_postgres(f"demo_{accounts}")
        prepare_database(url)
    with steps.step("Sandbox of the four platforms"):
        sandbox = stack.start_sandbox()
    with steps.step("Prefect server (its first start makes its database)"):
        stack.join_server(server)
    demo = _Demo(stack, server, url, sandbox, accounts, steps)
    http_api = demo.deploy()
    result = demo.sync()
    if http_api:
        http_api.wait(steps.say)
    steps.say(f"{time.monotonic() - begun:6.1f} s  in all")
    return result


@dataclass(frozen=True)
class _Demo:
    """A stack whose server, database and sandbox run; `accounts` are those on each platform."""

    stack: Stack
    server: PrefectServer
    url: URL
    sandbox: str
    accounts: int
    steps: Steps

    @property
    def expected(self) -> int:
        """How many accounts the run should sync."""
        return self.accounts * len(PlatformName)

    def deploy(self) -> HttpApi | None:
        """Bring the server up to date, connect the teams, and start the worker and the HTTP API."""
        from blocks.setup import setup  # noqa: PLC0415
        from blocks.token_key import load_keyring  # noqa: PLC0415
        from ops.deploy import deploy  # noqa: PLC0415

        apps = {
            platform: AppCredentials(
                client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET), base_url=f"{self.sandbox}/{platform.value}"
            )
            for platform in PlatformName
        }
        database_url = self.url.render_as_string(hide_password=False)
        with self.steps.step("Work pool, limits, blocks and automations"):
            setup(database_url, apps, self.stack.storage_dir)
            self.stack.start_worker(self.server)
        with self.steps.step(f"{len(TEAMS)} teams connect {self.expected} ad accounts"):
            self._connect_teams(load_keyring(), apps)
        http_api = self.stack.start_http_api()
        with self.steps.step("Deployments (the worker and the HTTP API start meanwhile)"):
            deploy(database_url, apps)
            self.stack.check()
        return http_api

    def sync(self) -> DemoResult:
        """Run the main job through the worker, and print what it did."""
        from ops.stack.runs import run_deployment  # noqa: PLC0415

        def watch(run: "FlowRun", ended: int) -> None:
            self.stack.check()
            status.update(f"{DEPLOYMENT}: {run.state_name}, {ended} tasks ended of about {self.expected}")

        begun = time.monotonic()
        with self.steps.console.status(DEPLOYMENT) as status:
            run = run_deployment(DEPLOYMENT, {"options": {"mode": "full"}}, watch)
        self._say_times(run, time.monotonic() - begun)
        summary = _read_summary(self.url, run)
        result = DemoResult(
            succeeded=run.state_name == "Completed" and summary.synced == summary.accounts == self.expected,
            accounts=summary.accounts,
            failed=summary.failed,
            platforms={name: summary.platforms[name] for name in PlatformName if name in summary.platforms},
            run_url=self.server.run_url(run.id),
        )
        _print_summary(summary, result, self.steps)
        return result

    def _connect_teams(self, keyring: Keyring, apps: Mapping[PlatformName, AppCredentials]) -> None:
        share, rest = divmod(self.accounts, len(TEAMS))
        shares = {team: share + (rank < rest) for rank, team in enumerate(TEAMS)}
        # One after the other: the sandbox numbers them in this order, each time the same.
        grants = [
            (platform, team, _add_grant(self.sandbox, platform, shares[team]))
            for platform in apps
            for team in TEAMS
            if shares[team]
        ]
        clients = {platform: open_client(platform, app) for platform, app in apps.items()}
        engine = open_engine(self.url)
        with ThreadPoolExecutor(CONNECTIONS_AT_ONCE) as pool:
            connecting = [
                pool.submit(connect, engine, keyring, clients[platform], team=team, tokens=tokens)
                for platform, team, tokens in grants
            ]
        engine.dispose()
        for connection in connecting:
            connection.result()

    def _say_times(self, run: "FlowRun", seconds: float) -> None:
        waited = run.start_time - run.created if run.start_time and run.created else timedelta()
        before = seconds - (waited + run.total_run_time).total_seconds()
        if before > NOTEWORTHY_SECONDS:
            self.steps.say(f"{before:6.1f} s  The timetable's own run went first")
        self.steps.say(f"{waited.total_seconds():6.1f} s  The worker takes up {DEPLOYMENT} and starts its process")
        message = run.state.message if run.state else None
        self.steps.say(f"{run.total_run_time.total_seconds():6.1f} s  The run: {run.state_name}, {message}")


def _add_grant(sandbox: str, platform: PlatformName, accounts: int) -> GrantTokens:
    """Add a grant to the sandbox and log in to it."""
    wanted = {"platform": platform.value, "accounts": accounts}
    grant = httpx.post(f"{sandbox}/control/add_grant", json=wanted, timeout=SANDBOX_SECONDS)
    tokens = grant.raise_for_status().json()
    seconds = tokens["expires_in"]
    return GrantTokens(
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        expires_in=timedelta(seconds=seconds) if seconds else None,
    )


def _read_summary(url: URL, run: "FlowRun") -> SyncSummary:
    engine = open_engine(url)
    with Session(engine) as session:
        summary = read_summary(session, run.id)
    engine.dispose()
    if summary is None:
        message = run.state.message if run.state else None
        raise StackError(
            f"{DEPLOYMENT} ended {run.state_name} before it had a result ({message}): see the run '{run.name}' in the "
            f"Prefect UI, and {DEMO_FOLDER / 'logs' / 'prefect-worker.log'}"
        )
    return summary


def _print_summary(summary: SyncSummary, result: DemoResult, steps: Steps) -> None:
    table = Table("platform", box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), justify="right")
    for name, counts in result.platforms.items():
        table.add_row(name.value, *(str(getattr(counts, column)) for column in COLUMNS))
    steps.console.print(table)
    for failure in summary.failures[:10]:
        steps.say(f"{failure.account.platform.value} {failure.account.name}: {failure.reason}")
    amazon = result.platforms.get(PlatformName.AMAZON)
    if amazon and amazon.added and not amazon.metric_rows:
        steps.say("Amazon prepares metrics as reports, which the next run collects.")
    steps.say(f"The run in the Prefect UI: {result.run_url}")
