"""`sivera demo`: the stack, the sandbox as the four platforms, demo teams, and a run of the main job by the worker.

May not import prefect at the top; see `ops.stack.prefect_server`.
"""

import json as json_format
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import httpx
from cyclopts import Parameter
from cyclopts.validators import Number
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL
from sqlalchemy.orm import Session

from ops.commands.session import Flag
from ops.commands.tables import printable, say_json
from ops.stack.folder import DEMO_FOLDER, PUBLIC_URL_FILE, keep_database_url
from ops.stack.processes import StackError
from ops.stack.stack import Stack, open_stack, prepare_database
from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sivera.clock import utc_now
from sivera.crypto import Keyring
from sivera.database import engine_on
from sivera.errors import ConfigurationError
from sivera.grants.connecting import connect
from sivera.grants.links import make_link
from sivera.platforms import open_client
from sivera.platforms.base import AppCredentials
from sivera.sync.queries import read_summary
from sivera.sync.summary import SyncSummary
from sivera.values import GrantTokens, PlatformName

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

DEPLOYMENT = "sync-campaigns/all"
TEAMS = {"한빛 커머스": ("한빛", "KRW"), "Northwind Goods": ("Northwind", "USD"), "Lumen Studio": ("Lumen", "EUR")}
"""The demo's teams, with the brand and the currency of their ad accounts."""
NEW_TEAM = "Harbor Bikes"
CONNECT = f'uv run sivera credentials connect --platform google --team "{NEW_TEAM}"'
LINK = f'uv run sivera credentials link --platform meta --team "{NEW_TEAM}"'
CONNECTIONS_AT_ONCE = 4
LOOKBACK_DAYS = 30
"""Enough metrics for a report of a month."""
SANDBOX_SECONDS = 60
"""How long the sandbox may take to answer while the Prefect server, which starts too, uses both cores."""
COLUMNS = ("accounts", "added", "changed", "unchanged", "removed", "metric_rows", "failed")

Apps = Mapping[PlatformName, AppCredentials]


@dataclass(frozen=True)
class Steps:
    """Prints steps and how long each took."""

    console: Console

    def say(self, line: str) -> None:
        """Print a line without interpreting markup in names."""
        self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show the name while the body runs; then print it with the seconds."""
        started = time.monotonic()
        with self.console.status(name):
            yield
        self.say(f"{time.monotonic() - started:6.1f} s  {name}")


def demo(
    *,
    exit: Flag = False,  # noqa: A002 - the flag's name
    json: Flag = False,
    accounts: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000))] = 12,
) -> int:
    """Start the stack with demo data and run the main job once; stay until Ctrl-C.

    Args:
        exit: Stop after the run; the exit code is 0 if every account was synced.
        json: Print the result as a JSON object in the last line of standard output, and everything else to standard
            error.
        accounts: Ad accounts on each platform.
    """
    steps = Steps(Console(stderr=json))
    with open_stack(DEMO_FOLDER, steps.say) as stack:
        run, summary, run_url = run_demo(stack, accounts, steps)
        if json:
            shown = summary.model_dump(mode="json", include={"accounts", "failed", "platforms"})
            say_json(json_format.dumps(shown | {"run_url": run_url}))
        if not exit:
            steps.say("Ctrl-C ends the demo; its data stays in .sivera/demo.")
            stack.watch()
    is_done = summary.synced == summary.accounts == accounts * len(PlatformName)
    return 0 if run.state_name == "Completed" and is_done else 1


def run_demo(stack: Stack, accounts: int, steps: Steps) -> "tuple[FlowRun, SyncSummary, str]":
    """Start everything, and run sync-campaigns once; return the run, its summary and its page."""
    started = time.monotonic()
    server = stack.start_server()
    with steps.step("PostgreSQL and its migrations (while the Prefect server starts)"):
        # Another number of accounts makes another world, which needs another database.
        url = stack.start_postgres(f"demo_{accounts}")
        prepare_database(url)
    with steps.step("Sandbox of the four platforms"):
        sandbox = stack.start_sandbox()
    with steps.step("Prefect server (the first start creates its database)"):
        stack.join_server(server)
    from blocks.server import links  # noqa: PLC0415
    from blocks.setup import setup  # noqa: PLC0415
    from blocks.token_key import load_keyring  # noqa: PLC0415
    from ops.deploy import deploy  # noqa: PLC0415

    apps = {
        platform: AppCredentials(
            client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET), base_url=f"{sandbox}/{platform.value}"
        )
        for platform in PlatformName
    }
    keep_database_url(stack.folder.path, url)
    with steps.step("Work pool, limits, blocks and automations"):
        done = setup(url, apps, stack.storage_dir)
        stack.start_worker(server)
    expected = accounts * len(PlatformName)
    http_api = stack.start_http_api()
    name = f"Deployments; {len(TEAMS)} teams connect {expected} ad accounts (while the worker and HTTP API start)"
    with steps.step(name), ThreadPoolExecutor(1) as beside:
        connecting = beside.submit(_connect_teams, url, sandbox, load_keyring(), apps, accounts)
        deploy(done=done)
        connecting.result()
        stack.check()
    run, summary = _sync(stack, url, expected, steps)
    run_url = links().run(run.id)
    _print_result(summary, run_url, steps)
    if http_api:
        http_api.wait(steps.say)
    steps.say(f"{time.monotonic() - started:6.1f} s  in total")
    steps.say("Try next, from another terminal in this folder:")
    steps.say(f"  connect one more team in your browser: {CONNECT}")
    if http_api:
        with suppress(ConfigurationError):  # SIVERA_PUBLIC_URL is invalid, as was already said
            steps.say(f"  or open the page that its user would see: {_team_link(stack, load_keyring())}")
            steps.say(f"  or make a link with which its user does that: {LINK}")
    steps.say("  then see its figures: uv run sivera accounts list; uv run sivera accounts sync ID")
    return run, summary, run_url


def _team_link(stack: Stack, keyring: Keyring) -> str:
    public_url = (stack.folder.path / PUBLIC_URL_FILE).read_text()
    return make_link(keyring, public_url, platform=PlatformName.TIKTOK, team=NEW_TEAM, now=utc_now())


def _connect_teams(url: URL, sandbox: str, keyring: Keyring, apps: Apps, accounts: int) -> None:
    share, rest = divmod(accounts, len(TEAMS))
    shares = {team: share + (rank < rest) for rank, team in enumerate(TEAMS)}
    # One after the other, so that the sandbox always numbers them in the same order.
    grants = [
        (platform, team, _add_grant(sandbox, platform, shares[team], *TEAMS[team]))
        for platform in apps
        for team in TEAMS
        if shares[team]
    ]
    httpx.post(f"{sandbox}/control/tell_stories", timeout=SANDBOX_SECONDS).raise_for_status()
    clients = {platform: open_client(platform, app) for platform, app in apps.items()}
    with engine_on(url, CONNECTIONS_AT_ONCE) as engine, ThreadPoolExecutor(CONNECTIONS_AT_ONCE) as pool:
        connecting = [
            pool.submit(connect, engine, keyring, clients[platform], team=team, tokens=tokens)
            for platform, team, tokens in grants
        ]
    for connection in connecting:
        connection.result()


def _add_grant(sandbox: str, platform: PlatformName, accounts: int, brand: str, currency: str) -> GrantTokens:
    """Add a grant to the sandbox and return its tokens."""
    wanted = {"platform": platform.value, "accounts": accounts, "brand": brand, "currency": currency}
    grant = httpx.post(f"{sandbox}/control/add_grant", json=wanted, timeout=SANDBOX_SECONDS)
    tokens = grant.raise_for_status().json()
    seconds = tokens["expires_in"]
    return GrantTokens(
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        expires_in=timedelta(seconds=seconds) if seconds else None,
    )


def _sync(stack: Stack, url: URL, expected: int, steps: Steps) -> "tuple[FlowRun, SyncSummary]":
    """Run the main job through the worker; return the run and its summary."""
    from ops.stack.runs import run_deployment  # noqa: PLC0415

    def watch(run: "FlowRun", ended: int) -> None:
        stack.check()
        status.update(f"{DEPLOYMENT}: {run.state_name}, {ended} tasks ended of about {expected}")

    with steps.console.status(DEPLOYMENT) as status:
        run = run_deployment(DEPLOYMENT, {"options": {"mode": "full", "lookback_days": LOOKBACK_DAYS}}, watch)
    waited = run.start_time - run.created if run.start_time and run.created else timedelta()
    message = run.state.message if run.state else None
    steps.say(f"{waited.total_seconds():6.1f} s  The worker picks up {DEPLOYMENT} and starts its process")
    steps.say(f"{run.total_run_time.total_seconds():6.1f} s  The run: {run.state_name}, {message}")
    with engine_on(url) as engine, Session(engine) as session:
        summary = read_summary(session, run.id)
    if summary is None:
        raise StackError(
            f"{DEPLOYMENT} ended {run.state_name} before it had a result ({message}): see the run '{run.name}' in the "
            f"Prefect UI, and {DEMO_FOLDER / 'logs' / 'prefect-worker.log'}"
        )
    return run, summary


def _print_result(summary: SyncSummary, run_url: str, steps: Steps) -> None:
    table = Table("platform", box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), justify="right")
    for name in PlatformName:
        if counts := summary.platforms.get(name):
            table.add_row(name.value, *(str(getattr(counts, column)) for column in COLUMNS))
    steps.console.print(table)
    for failure in summary.failures[:10]:
        steps.say(f"{failure.platform.value} {failure.name}: {failure.what}")
    amazon = summary.platforms.get(PlatformName.AMAZON)
    if amazon and amazon.added and not amazon.metric_rows:
        steps.say("Amazon is still preparing its reports of metrics; the next run collects them.")
    steps.say(f"The run in the Prefect UI: {run_url}")
