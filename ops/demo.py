"""`sivera demo`: the stack, the sandbox as the four platforms, demo teams, and a run of the main job by the worker.

May not import prefect at its top; see `ops.prefect_server`.
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

from ops.folder import DEMO_FOLDER
from ops.prefect_server import PrefectServer, use_server
from ops.processes import StackError
from ops.stack import Stack, prepare_database
from sivera.crypto import Keyring
from sivera.database import open_engine
from sivera.grants import connect
from sivera.platforms import open_client
from sivera.platforms.base import AppCredentials, utc_now
from sivera.queries.runs import read_summary
from sivera.sandbox.world import CLIENT_ID, CLIENT_SECRET
from sivera.sync.summary import PlatformCounts, SyncSummary
from sivera.values import GrantTokens, PlatformName, Value

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

DEPLOYMENT = "sync-campaigns/all"
TEAMS = ("한빛 커머스", "Northwind Goods", "Lumen Studio")
CONNECTIONS_AT_ONCE = 4
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
        use_server(server.client)
        import ops.deploy  # noqa: F401, PLC0415 - prefect takes seconds to import: do it while the server starts

        server.wait()
    apps = {
        platform: AppCredentials(
            client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET), base_url=f"{sandbox}/{platform.value}"
        )
        for platform in PlatformName
    }
    _deploy(stack, server, url, apps, accounts, sandbox, steps)
    result = _sync(stack, server, url, accounts * len(PlatformName), steps)
    steps.say(f"{time.monotonic() - begun:6.1f} s  in all")
    return result


def _deploy(
    stack: Stack,
    server: PrefectServer,
    url: URL,
    apps: Mapping[PlatformName, AppCredentials],
    accounts: int,
    sandbox: str,
    steps: Steps,
) -> None:
    from blocks.setup import setup  # noqa: PLC0415
    from blocks.token_key import load_keyring  # noqa: PLC0415
    from ops.deploy import deploy  # noqa: PLC0415

    database_url = url.render_as_string(hide_password=False)
    with steps.step("Work pool, limits, blocks and automations"):
        setup(database_url, apps)
        stack.start_worker(server)
    with steps.step(f"{len(TEAMS)} teams connect {accounts * len(apps)} ad accounts"):
        _connect_teams(url, load_keyring(), apps, accounts, sandbox)
    with steps.step("Deployments (the worker starts meanwhile)"):
        deploy(database_url, apps)
        stack.check()


def _connect_teams(
    url: URL, keyring: Keyring, apps: Mapping[PlatformName, AppCredentials], accounts: int, sandbox: str
) -> None:
    engine = open_engine(url)
    shares = {team: accounts // len(TEAMS) + (rank < accounts % len(TEAMS)) for rank, team in enumerate(TEAMS)}
    # One after the other: the sandbox numbers them in this order, each time the same.
    grants = [
        (platform, team, _add_grant(sandbox, platform, share))
        for platform in apps
        for team, share in shares.items()
        if share
    ]
    clients = {platform: open_client(platform, app) for platform, app in apps.items()}
    with ThreadPoolExecutor(CONNECTIONS_AT_ONCE) as pool:
        for future in [
            pool.submit(connect, engine, keyring, clients[platform], team=team, tokens=tokens)
            for platform, team, tokens in grants
        ]:
            future.result()
    engine.dispose()


def _add_grant(sandbox: str, platform: PlatformName, accounts: int) -> GrantTokens:
    """Add a grant to the sandbox and log in to it."""
    grant = httpx.post(f"{sandbox}/control/add_grant", json={"platform": platform.value, "accounts": accounts})
    tokens = grant.raise_for_status().json()
    seconds = tokens["expires_in"]
    return GrantTokens(
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        expires_at=utc_now() + timedelta(seconds=seconds) if seconds else None,
    )


def _sync(stack: Stack, server: PrefectServer, url: URL, expected: int, steps: Steps) -> DemoResult:
    from ops.runs import run_deployment  # noqa: PLC0415

    def watch(run: "FlowRun", ended: int) -> None:
        stack.check()
        status.update(f"{DEPLOYMENT}: {run.state_name}, {ended} tasks of about {expected} ended")

    with steps.console.status(DEPLOYMENT) as status:
        run = run_deployment(DEPLOYMENT, {"options": {"mode": "full"}}, watch)
    waited = run.start_time - run.created if run.start_time and run.created else timedelta()
    steps.say(f"{waited.total_seconds():6.1f} s  The worker takes up {DEPLOYMENT} and starts its process")
    steps.say(
        f"{run.total_run_time.total_seconds():6.1f} s  The run: {run.state_name}, {run.state and run.state.message}"
    )
    summary = _read_summary(url, run)
    result = DemoResult(
        succeeded=run.state_name == "Completed" and summary.synced == summary.accounts == expected,
        accounts=summary.accounts,
        failed=summary.failed,
        platforms={name: summary.platforms[name] for name in PlatformName if name in summary.platforms},
        run_url=server.run_url(run.id),
    )
    _print_summary(summary, result, steps)
    return result


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
    steps.say(f"The run in the Prefect UI: {result.run_url}")
